"""The plugin: one command, and nothing in the way of a request."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from clippy_hookspecs import hookimpl


@define(eq=False)
class Docs:
    """Adds ``clippy docs build``: the reference of everything installed, third-party plugins included."""

    observes_only = True

    out: str = field(default="clippy-docs", metadata={"doc": "the folder into which it writes without `--out`"})

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        """``clippy docs build``: Markdown, pages or both."""
        from .commands import docs_group

        cli.add_command(docs_group(cli, self.out))
