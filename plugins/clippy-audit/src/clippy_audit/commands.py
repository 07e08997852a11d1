"""``clippy audit``: shows what was written, without letting it speak to the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from clippy_lines.looking import visible, visible_json

from .lines import find_record, last_records


def audit_group(path: Path, keep: int) -> click.Group:
    """Show what became of requests."""

    @click.group("audit", help=audit_group.__doc__)
    def audit() -> None: ...

    @audit.command("tail", help="Show the newest records.")
    @click.option("-n", "count", type=click.IntRange(min=1), default=10, show_default=True, help="How many.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object for each record.")
    def tail(count: int, as_json: bool) -> None:
        records = last_records(path, count, keep)
        if not records and not as_json:
            click.echo(f"no records in {visible(str(path))}")
        for record in records:
            click.echo(visible_json(record) if as_json else summary(record))

    @audit.command("show", help="Show the whole record of one request; the beginning of its id is enough.")
    @click.argument("id")
    @click.option("--json", "as_json", is_flag=True, help="On one line.")
    def show(id: str, as_json: bool) -> None:  # noqa: A002 - the argument's name
        record, ids = find_record(path, id, keep)
        if ids > 1:
            raise click.ClickException(f"{ids} ids begin with {visible(id)}; give more of one")
        if record is None:
            raise click.ClickException(f"no record of {visible(id)} in {visible(str(path))}; see `clippy audit tail`")
        click.echo(visible_json(record, None if as_json else 2))

    return audit


def summary(record: dict[str, Any]) -> str:
    """One record as one line for people."""
    usage = record.get("usage")
    tokens = f"{usage.get('input', 0)}+{usage.get('output', 0)} tokens" if isinstance(usage, dict) else ""
    error = record.get("error")
    failure = f"{error.get('category')}/{error.get('kind')}" if isinstance(error, dict) else ""
    duration = record.get("duration")
    seconds = f"{duration:.3f}s" if isinstance(duration, (int, float)) else ""
    names = ("time", "outcome", "status", "model", "route")
    shown = [str(record[name]) for name in names if record.get(name) is not None]
    return visible("  ".join(part for part in (*shown, seconds, tokens, failure, str(record.get("id", ""))) if part))
