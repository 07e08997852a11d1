"""``clippy recordings`` looks into files and turns them into others; ``clippy replay`` answers from one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from clippy_lines.looking import visible, visible_json

from .cleaning import cleaned
from .documents import document
from .dumps import from_dump, is_dump
from .exchange import Exchange
from .exports import to_curl, to_jsonl, to_python
from .files import read, write
from .har import answer_of, answer_pieces, from_har, to_har
from .questions import not_kept
from .reading import StrangeRecording


def calls_of(path: Path) -> list[Exchange]:
    """The calls in a recording, an HTTP archive or a file of clippy-stream-debug.  Raises click.ClickException."""
    broken: list[int] = []
    try:
        if path.suffix == ".har":
            calls = from_har(json.loads(path.read_bytes()))
        else:
            calls = [cleaned(from_dump(path))] if is_dump(path) else [*read(path, broken)]
    except (StrangeRecording, OSError, ValueError, RecursionError) as error:
        raise click.ClickException(visible(str(error))) from error
    if broken:
        click.echo(f"{len(broken)} calls could not be read and are left out (lines {broken[:5]} ...)", err=True)
    return calls


_file = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def recordings_group() -> click.Group:
    """Look into recorded calls: list, show, export, import, prune."""

    @click.group(help=recordings_group.__doc__)
    def recordings() -> None: ...

    recordings.add_command(_list())
    recordings.add_command(_show())
    recordings.add_command(_export())
    recordings.add_command(_import())
    recordings.add_command(_prune())
    return recordings


def _list() -> click.Command:
    @click.command("list")
    @_file
    @click.option("-n", "count", type=click.IntRange(1), default=50, show_default=True, help="The newest so many.")
    @click.option("-m", "--model", help="Only calls of this model; gpt-4o* all that begin so, *mini that end so.")
    @click.option(
        "-q",
        "--query",
        default="",
        help="Only calls that this filter of the pages fits: words, or terms "
        'such as failed, status:>=500, model:gpt*, ms:>500, -cached, text:"two words".',
    )
    @_json
    def list_(file: Path, count: int, model: str | None, query: str, as_json: bool) -> None:
        """The calls in FILE, a line each, the newest last."""
        from .filter import FilterError, only, parse  # what sends calls again comes with it

        try:
            asked = [parse(query), *([] if model is None else [only("model", model)])]
        except FilterError as error:
            raise click.UsageError(visible(str(error))) from error
        calls = calls_of(file)
        wanted = [one for one in calls if all(fits(one) for fits in asked)]
        if calls and not wanted:
            click.echo(f"none of {len(calls)} calls fits", err=True)
        if as_json:
            click.echo(visible_json([_summary(one) for one in wanted[-count:]], 2))
            return
        for one in wanted[-count:]:
            click.echo(_line(one))

    return list_


def _summary(exchange: Exchange) -> dict[str, Any]:
    kept = ("id", "began", "scope", "model", "state", "status", "stream", "route", "duration", "usage", "cost", "error")
    told = document(exchange)
    return {name: told[name] for name in kept if name in told}


def _line(exchange: Exchange) -> str:
    usage, tenant = exchange.usage, exchange.scope.tenant
    about = "about " if usage is not None and usage.estimated else ""
    parts = [
        exchange.id,
        datetime.fromtimestamp(exchange.began).astimezone().isoformat(" ", "seconds"),
        exchange.state if exchange.ended_by is None else f"{exchange.state} by {exchange.ended_by}",
        str(exchange.status or "-"),
        exchange.model or "-",
        "" if exchange.answering_model is None else f"answered by {exchange.answering_model}",
        "stream" if exchange.stream else "",
        "-" if exchange.duration is None else f"{exchange.duration / 1e6:.3f} s",
        "" if usage is None else f"{about}{usage.input}+{usage.output} tokens",
        "" if len(exchange.attempts) < 2 else f"{len(exchange.attempts)} attempts",
        "" if tenant is None else f"tenant {tenant}",
    ]
    return visible("  ".join(part for part in parts if part))


def _show() -> click.Command:
    @click.command()
    @_file
    @click.argument("id")
    @_json
    def show(file: Path, id: str, as_json: bool) -> None:  # noqa: A002 - the argument's name
        """One call of FILE with its attempts, what each plugin did, and what was said."""
        one = _found(file, id)
        if as_json:
            click.echo(visible_json(document(one), 2))
            return
        click.echo(_line(one))
        for attempt in one.attempts:
            failure = f" {attempt.error.get('category')}/{attempt.error.get('kind')}" if attempt.error else ""
            status = attempt.answer.status if attempt.answer is not None else "-"
            click.echo(
                visible(f"  attempt {attempt.number} {attempt.route} {attempt.url} {status} {attempt.state}{failure}")
            )
        for step in one.steps:
            times = f" x{step.calls}" if step.calls > 1 else ""
            click.echo(visible(f"  {step.plugin} {step.hook} {step.action} {step.ns // 1000} us{times}"))
        answer = answer_of(one)
        body = answer.body or b"".join(piece.data for piece in answer_pieces(one))
        if one.state == "refused":
            click.echo(f"  {not_kept(one)}")
        for title, text in (*_written(one), ("asked", one.came.body), ("answered", body)):
            if text:
                click.echo(f"{title}:")
                click.echo(visible(text.decode("utf-8", "replace").replace("\r\n", "\n"), keep="\n\t"))

    return show


def _written(one: Exchange) -> list[tuple[str, bytes]]:
    """What its caller wrote, where what came is what the host made of it."""
    return [] if one.asked is None else [(f"asked in {visible(one.asked.api)}", one.asked.message.body)]


def _found(file: Path, request_id: str) -> Exchange:
    one = next((one for one in calls_of(file) if one.id == request_id), None)
    if one is None:
        raise click.ClickException(
            f"{visible(str(file))} has no call {visible(request_id)!r}; clippy recordings list shows them"
        )
    return one


_FORMATS = ("har", "curl", "jsonl", "python")


def _export() -> click.Command:
    @click.command()
    @_file
    @click.option("--format", "form", type=click.Choice(_FORMATS), default="har", show_default=True)
    @click.option("--id", "id", help="Only this call.")
    @click.option("-o", "--output", type=click.Path(path_type=Path), help="A new file; default: print.")
    def export(file: Path, form: str, id: str | None, output: Path | None) -> None:  # noqa: A002
        """FILE as an HTTP archive, curl commands, JSON lines or programs with the official SDKs."""
        calls = calls_of(file) if id is None else [_found(file, id)]
        text, without = exported(calls, form)
        for line in without:
            click.echo(visible(f"{line}; it is left out"), err=True)
        if without and not text:
            raise click.ClickException(f"no call of {visible(str(file))} can be written as {form}")
        if without:
            click.echo(f"{len(without)} of {len(calls)} calls are left out", err=True)
        if output is None:
            click.echo(text if not sys.stdout.isatty() else visible(text, keep="\n\t"), nl=False)
            return
        try:
            with output.open("x", encoding="utf-8") as new:
                output.chmod(0o600)
                new.write(text)
        except OSError as error:
            raise click.ClickException(visible(f"{output}: {error.strerror}")) from error

    return export


def exported(calls: list[Exchange], form: str) -> tuple[str, list[str]]:
    """*calls* in one of the forms, and of each that has none why, in a line."""
    if form == "har":
        return json.dumps(to_har(calls), indent=1) + "\n", []
    if form == "jsonl":
        return to_jsonl(*calls), []
    one: Callable[[Exchange], str] = {"curl": to_curl, "python": to_python}[form]
    written, without = [], []
    for call in calls:
        try:
            written.append(one(call))
        except ValueError as error:
            without.append(f"{call.id}: {error}")
    return "".join(written), without


def _import() -> click.Command:
    @click.command("import")
    @_file
    @click.argument("output", type=click.Path(path_type=Path))
    def import_(file: Path, output: Path) -> None:
        """FILE as a recording OUTPUT (.jsonl or .sqlite): an HTTP archive (.har), what clippy-stream-debug dumped, or
        another recording.

        Keys in it are taken out, whoever wrote it.
        """
        if output.suffix not in (".jsonl", ".sqlite"):
            raise click.ClickException("a recording's name ends in .jsonl or .sqlite")
        calls = calls_of(file)
        try:
            count = write(output, map(cleaned, calls))
        except OSError as error:
            raise click.ClickException(visible(f"{output}: {error.strerror}")) from error
        click.echo(f"{count} calls")

    return import_


def _prune() -> click.Command:
    @click.command()
    @_file
    @click.option("--keep", type=click.IntRange(0), help="Leave the newest so many.")
    @click.option(
        "--before", type=click.DateTime(("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")),
        help="Take out what began before this day or second, in local time.",
    )  # fmt: skip
    def prune(file: Path, keep: int | None, before: datetime | None) -> None:
        """Take old calls out of FILE, for good; a program may be adding to it."""
        from .pruning import prune as pruned

        if keep is None and before is None:
            raise click.UsageError("say what may go: --keep COUNT or --before DATE, or both")
        try:
            gone, left = pruned(file, keep, None if before is None else before.timestamp())
        except (StrangeRecording, OSError) as error:
            raise click.ClickException(visible(str(error))) from error
        click.echo(f"{gone} calls are gone, {left} are left")

    return prune


def replay_command(cli: Any) -> click.Command:
    """Serve FILE as a provider on loopback, or make its calls again.

    As a server: point an SDK's base URL at it; nothing leaves this machine.  With --live the calls are made again
    on the configured routes.  With --with or --without they go through another set of plugins, against the recorded
    answers.
    """

    @click.command(help=replay_command.__doc__)
    @_file
    @click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of 127.0.0.1; 0: any that is free.")
    @click.option(
        "--speed", type=click.FloatRange(0), default=1.0, show_default=True, help="2: twice as fast, 0: at once."
    )
    @click.option(
        "--extra", type=click.Choice(("404", "kill", "forward")), default="404", show_default=True,
        help="What becomes of a request that is not in FILE.",
    )  # fmt: skip
    @click.option("--live", is_flag=True, help="Send each request again to its route, and show what differs.")
    @click.option("--with", "more", multiple=True, metavar="PLUGIN", help="Make the calls through this plugin as well.")
    @click.option("--without", "less", multiple=True, metavar="PLUGIN", help="Make the calls without this plugin.")
    @_json
    def replay(
        file: Path,
        port: int,
        speed: float,
        extra: Any,
        live: bool,
        more: tuple[str, ...],
        less: tuple[str, ...],
        as_json: bool,
    ) -> None:
        from .serving import serve

        calls = calls_of(file)
        if live or more or less:
            _again(cli, calls, live, more, less, as_json)
        else:
            serve(cli, calls, port, speed, extra)

    return replay


def _again(
    cli: Any, calls: list[Exchange], live: bool, more: tuple[str, ...], less: tuple[str, ...], as_json: bool
) -> None:
    from .other_plugins import compared, sent_again
    from .reporting import lines, report

    try:
        again = sent_again if live else compared
        found = again(calls, cli.apart, cli.run, more, less)
        made, notes = list(found.made), found.notes
    except LookupError as error:
        raise click.ClickException(visible(str(error))) from error
    for note in notes:
        click.echo(visible(note), err=True)
    before = "recorded" if live else "configured"
    if as_json:
        click.echo(visible_json(report(made, before, notes), 2))
    else:
        for line in lines(made, before):
            click.echo(visible(line))
    for line in found.logged:
        click.echo(visible(line), err=True)
