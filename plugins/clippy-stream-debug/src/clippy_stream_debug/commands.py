"""``clippy stream-dump``: shows a recorded stream, without letting it speak to the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import click
from clippy_lines.looking import visible

from .dumps import Dump, Line, load


def dump_group() -> click.Group:
    """Look into files of recorded streams."""

    @click.group("stream-dump", help=dump_group.__doc__)
    def dump() -> None: ...

    @dump.command("show", help="Show what came and what went on, with microseconds.")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--bytes", "with_bytes", is_flag=True, help="Also the bytes themselves.")
    def show(file: Path, with_bytes: bool) -> None:
        try:
            found = load(file)
        except (OSError, ValueError) as error:
            raise click.ClickException(visible(str(error))) from None
        click.echo(_about(found))
        for line in found.lines:
            click.echo(visible(_told(line, with_bytes)))

    return dump


def _about(found: Dump) -> str:
    lost = f", the first {found.lost} records did not fit" if found.lost else ""
    return visible(
        f"{found.id}  {found.model or '-'}  status {found.status or 'none'}  {len(found.lines)} records{lost}"
    )


def _told(line: Line, with_bytes: bool) -> str:
    what = dict(line.what)
    if line.kind == "bytes":
        said = f"{len(what['data'])}" + (f"  {what['data'].decode('utf-8', 'backslashreplace')}" if with_bytes else "")
    elif "chunk" in what:
        said = json.dumps(what["chunk"], ensure_ascii=False)
    else:
        said = "  ".join(f"{name} {value}" for name, value in what.items())
    return f"{line.at / 1e6:+12.6f}  {line.kind:<9}  {said}"
