"""``clippy top``: how requests are doing, in a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from .top import GROUPS, line, main_table, plugin_tables, told

if TYPE_CHECKING:  # the command line lists its commands without what reads the numbers
    from .watching import Watched

_NEEDED = "clippy top needs textual to draw: pip install 'clippy-inspect[top]'; with --once it prints and needs nothing"


def top_command() -> click.Command:
    """Show how the requests of a program are doing.

    WHERE is the address of its pages, such as http://127.0.0.1:8765, or a recording. The token of an address is
    the one in [plugins.inspect]; without --token-file you are asked for it. It is no option, since others may see
    those.
    """

    @click.command("top", help=top_command.__doc__)
    @click.argument("where")
    @click.option("--token-file", type=click.File("r"), help="File with the token; - is standard input.")
    @click.option(
        "--by", type=click.Choice(list(GROUPS)), default="model", show_default=True, help="One line for each."
    )
    @click.option("--every", type=click.FloatRange(0.5, 3600), default=2.0, show_default=True, help="Seconds.")
    @click.option("--once", is_flag=True, help="Print the table and end.")
    @click.option("--plugins", is_flag=True, help="With --once, print the tables of the plugins and workers as well.")
    def top(where: str, token_file: IO[str] | None, by: str, every: float, once: bool, plugins: bool) -> None:
        from .watching import CannotTell

        if not once and not sys.stdout.isatty():
            raise click.UsageError("no terminal; use --once")
        if plugins and not once:
            raise click.UsageError("--plugins goes with --once; without it the pages show those tables")
        try:
            watched = _watched(where, token_file)
            if once:
                _print(watched, by, plugins)
                return
        except CannotTell as error:
            raise click.ClickException(line(error, 400)) from error
        try:
            from .terminal import Top
        except ImportError as error:
            raise click.ClickException(_NEEDED) from error
        app = Top(watched, every)
        app.by = by
        app.run()

    return top


def _watched(where: str, token_file: IO[str] | None) -> Watched:
    from .watching import Inspector, Recorded

    if "://" not in where:
        return Recorded(Path(where))
    return Inspector(where, token_of(token_file))


def token_of(file: IO[str] | None) -> str:
    """The token in *file*, else from whoever sits before the terminal: it is no option, since others may see those."""
    given = click.prompt("token", hide_input=True, err=True) if file is None else file.readline()
    return str(given).strip()


def _print(watched: Watched, by: str, plugins: bool) -> None:
    document = watched.look()
    click.echo(f"{line(watched.name)}: {told(document)}")
    for sheet in (main_table(document, by), *(plugin_tables(document) if plugins else ())):
        click.echo(f"\n{sheet.title}")
        for text in sheet.lines():
            click.echo(text)
