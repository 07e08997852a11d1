"""``clippy docs build``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from .folder import differences, replace
from .reference import pages
from .site import SiteFault


def docs_group(cli: Any, folder: str) -> click.Group:
    """Write the reference of everything installed."""

    @click.group("docs", help=docs_group.__doc__)
    def docs() -> None: ...

    @docs.command("build")
    @click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(folder),
        metavar="DIR",
        help="Write into DIR/markdown and DIR/html, which are replaced; the setting out if not given.",
    )
    @click.option(
        "--format",
        "form",
        type=click.Choice(["markdown", "html", "both"]),
        default="markdown",
        help="Markdown, pages of HTML (they need Zensical), or both; Markdown if not given.",
    )
    @click.option("--check", is_flag=True, help="Write nothing; end with 1 if what is in DIR is not up to date.")
    @click.pass_context
    def build(ctx: click.Context, out: Path, form: str, check: bool) -> None:  # fmt: skip
        """Hooks, settings, commands and metrics of everything installed, with diagrams of who calls whom."""
        written = pages(cli, ctx.find_root())
        try:
            kinds = _made(written, form)
        except SiteFault as fault:
            raise click.ClickException(str(fault)) from fault
        stale = False
        for kind, files in kinds.items():
            if not check:
                replace(out / kind, files)
                click.echo(f"{len(files)} files are written into {out / kind}")
                continue
            for line in differences(out / kind, files):
                click.echo(line)
                stale = True
        if check:
            again = ["clippy", "docs", "build"]
            again += ["--out", str(out)] if out != Path(folder) else []
            again += ["--format", form] if form != "markdown" else []
            click.echo(f"{out} is not up to date: {shlex.join(again)}" if stale else f"{out} is up to date")
            ctx.exit(1 if stale else 0)

    return docs


def _made(written: dict[str, str], form: str) -> dict[str, dict[str, bytes]]:
    """What goes into each folder: file names and bytes."""
    from .html import html

    kinds: dict[str, dict[str, bytes]] = {}
    if form != "html":
        kinds["markdown"] = {name: text.encode() for name, text in written.items()}
    if form != "markdown":
        kinds["html"] = html(written)
    return kinds
