"""``clippy top`` on the whole terminal, by textual, which is an extra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Static

from .top import GROUPS, line, main_table, told
from .watching import CannotTell, Watched


class Top(App[None]):
    """The dashboard's main table, looked at again every few seconds.

    All text is handed over as ``Text``: a string would be read as markup.
    """

    CSS = "Static { height: auto; padding: 0 1; } DataTable { height: 1fr; }"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("m", "by('model')", "By model"),
        Binding("r", "by('route')", "By route"),
        Binding("t", "by('tenant')", "By tenant"),
        Binding("p", "hold", "Pause"),
    ]

    def __init__(self, watched: Watched, every: float = 2.0) -> None:
        super().__init__()
        self.watched = watched
        self.every = every
        self.by = "model"
        self.held = False
        self.document: Mapping[str, Any] = {}

    def compose(self) -> ComposeResult:
        yield Static(Text(line(f"clippy top: {self.watched.name}", 200)), id="told", markup=False)
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        self.look()
        self.set_interval(self.every, self._again)

    def action_by(self, by: str) -> None:
        """Group by something else."""
        self.by = by if by in GROUPS else "model"
        self.show(self.document)

    def action_hold(self) -> None:
        """Stop looking, or go on."""
        self.held = not self.held
        self.show(self.document)

    def _again(self) -> None:
        if not self.held:
            self.look()

    @work(thread=True, exclusive=True)
    def look(self) -> None:
        """Ask, beside the loop that draws."""
        try:
            document = self.watched.look()
        except CannotTell as error:
            self.call_from_thread(self.complain, str(error))
        else:
            self.call_from_thread(self.show, document)

    def complain(self, why: str) -> None:
        """What was shown last stays; the line above says that it is old."""
        self.query_one("#told", Static).update(Text(line(why, 400), style="bold red"))

    def show(self, document: Mapping[str, Any]) -> None:
        """Draw *document*; the line with the cursor stays where it is."""
        self.document = document
        sheet = main_table(document, self.by)
        state = "paused; " if self.held else ""
        self.query_one("#told", Static).update(Text(f"{line(self.watched.name)}: {state}{told(document)}"))
        table = self.query_one(DataTable)
        at = table.cursor_row
        table.clear(columns=True)
        for place, column in enumerate(sheet.columns):
            table.add_column(Text(column, justify="left" if place < sheet.left else "right"))
        for row in sheet.rows:
            cells = (Text(cell, justify="left" if place < sheet.left else "right") for place, cell in enumerate(row))
            table.add_row(*cells)
        table.move_cursor(row=min(at, len(sheet.rows) - 1))
