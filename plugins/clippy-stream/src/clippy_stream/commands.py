"""``clippy streams``: the live streams of this user's running programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from clippy_lines.looking import visible, visible_json

from .control import ControlError, ask, sockets

_HINT = "a program takes part with control = true in [plugins.stream], while its host is open"


def streams_group(folder: Path) -> click.Group:
    """Show, pause, resume and cancel the live streams of running programs."""

    @click.group("streams", help=streams_group.__doc__)
    def streams() -> None: ...

    @streams.command("list", help="List the live streams of all programs that take part.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object for each stream.")
    def list_(as_json: bool) -> None:
        found = _everywhere(folder, "list")
        for stream in found:
            click.echo(visible_json(stream) if as_json else _summary(stream))
        if not found and not as_json:
            click.echo(f"no live streams; {_HINT}")

    for name, about in (
        ("show", "Show how far a stream is."),
        ("pause", "Stop reading a stream; the provider's sending blocks."),
        ("resume", "Go on reading a stream."),
        ("cancel", "End a stream and close its connection to the provider."),
    ):
        streams.add_command(_command(folder, name, about))
    return streams


def _command(folder: Path, name: str, about: str) -> click.Command:
    @click.command(name, help=about)
    @click.argument("id")
    @click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
    def command(id: str, as_json: bool) -> None:  # noqa: A002 - the argument's name
        found = _everywhere(folder, name, id)
        if not found:
            raise click.ClickException(f"no program has a stream {visible(id)}; {_HINT}")
        if name == "cancel" and found[0].get("state") != "cancelled":  # whoever reads it has not come to it yet
            click.echo(visible_json(found[0]) if as_json else f"{_summary(found[0])}  cancelling")
            return
        click.echo(visible_json(found[0]) if as_json else _summary(found[0]))

    return command


def _everywhere(folder: Path, what: str, request_id: str = "") -> list[dict[str, Any]]:
    """What all processes say; those that are gone or know no such stream say nothing."""
    found: list[dict[str, Any]] = []
    try:
        paths = sockets(folder)
    except ControlError as error:
        raise click.ClickException(str(error)) from None
    for path in paths:
        try:
            said = ask(path, what, request_id)
        except ControlError as error:
            click.echo(f"warning: {visible(str(error))}", err=True)
            continue
        process = path.name.partition("-")[0]
        for stream in (said or {}).get("streams", ()):
            found.append({**stream, "process": int(process) if process.isdecimal() else None})
    return found


def _summary(stream: dict[str, Any]) -> str:
    """One stream as one line for people."""
    tokens, rate, share = stream.get("tokens"), stream.get("rate"), stream.get("percentage")
    parts = [
        str(stream.get("id")),
        str(stream.get("state")),
        str(stream.get("model") or "-"),
        "" if tokens is None else f"{'about ' if stream.get('estimated') else ''}{tokens} tokens",
        "" if rate is None else f"{rate:.1f}/s",
        "" if share is None else f"{share:.0f} %",
        f"{stream.get('seconds', 0.0):.1f}s",
        f"process {stream.get('process')}",
    ]
    return visible("  ".join(part for part in parts if part))
