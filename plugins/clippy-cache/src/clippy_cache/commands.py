"""``clippy cache``: what caches did and what they keep, and how to change that."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from attrs import evolve, frozen
from clippy_hookspecs import CacheEntry, Scope, Selector, StoredEntry
from clippy_lines.looking import visible, visible_json
from clippy_sqlite import StrangeFile

from .books import ANOTHER_API
from .explaining import explanation
from .keeping import selectors_of
from .ledger_file import SECONDS_A_DAY, StoredKey, read_file
from .lines import described, entry_line, summary
from .listings import Listing, dropped, listings_of, silent
from .requests import FileRequest, read_requests
from .statistics import Statistics
from .warming import warm_all

_MANY = 100_000
_FAULTS = 10


@frozen
class _Work:
    """What the commands work on: the command line they belong to, and the file of statistics; None if none is kept."""

    cli: Any
    path: Path | None

    def ledger(self, since: int = 0) -> tuple[Mapping[str, float], list[StoredKey]]:
        """What was counted since a day, and the keys that were stored.  Raises ClickException where nothing is kept."""
        if self.path is None:
            raise click.ClickException("no statistics are kept: keep_statistics is false in [plugins.cache]")
        try:
            return read_file(self.path, since)
        except StrangeFile as error:
            raise click.ClickException(visible(f"no statistics are kept: {self.path} {error}")) from error


def cache_group(cli: Any, path: Path | None) -> click.Group:
    """Show, drop and fill what caches keep."""
    commands = (stats, list_entries, show, invalidate, warm, explain)
    return click.Group("cache", commands, help=cache_group.__doc__, context_settings={"obj": _Work(cli, path)})


def say(text: str) -> None:
    """Print one line, made safe."""
    click.echo(visible(text))


def _selecting(command: Any) -> Any:
    """The options that name stored answers."""
    for option, what in (
        ("--user", "Stored for this user."),
        ("--tenant", "Stored for this tenant."),
        ("--model", "Of this model; `*` is any text and `?` one character, as in rules."),
        ("--tag-prefix", "With a tag that begins so."),
        ("--tag", "With this tag."),
        ("--key-prefix", "Of keys that begin so."),
        ("--key", "Of this key, or of the only one that begins so."),
    ):
        command = click.option(option, help=what)(command)
    return command


_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command("stats")
@click.option("--days", type=click.IntRange(min=1), help="Of the last so many days (in UTC) only.")
@_as_json
@click.pass_obj
def stats(work: _Work, days: int | None, as_json: bool) -> None:
    """Show what caches did in all programs: hits, misses and why, what they saved."""
    since = 0 if days is None else int(time.time() // SECONDS_A_DAY) - days + 1
    found = Statistics.of(work.ledger(since)[0])
    if as_json:
        click.echo(visible_json(found.document(), 2))
    else:
        for line in summary(found):
            say(line)


@click.command("list")
@_selecting
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@_as_json
@click.pass_context
@click.pass_obj
def list_entries(work: _Work, context: click.Context, /, limit: int, as_json: bool, **parts: str | None) -> None:
    """List stored answers, the latest first."""
    with work.cli.host() as host:
        listings, mute = _listings_of(host)
        selector = _selector(parts)
        if selector.key:
            selector = evolve(selector, key=_whole_key(listings, mute, selector.key))
        selectors = selectors_of(selector, listings, _MANY)
        rows = [(one.name, o) for one in listings for each in selectors for o in one.stored(each, limit)]
    for line in silent(listings, mute):
        click.echo(visible(line), err=True)
    rows = sorted(rows, key=lambda row: -row[1].stored_at)[:limit]
    if as_json:
        click.echo(visible_json([described(name, one) for name, one in rows], 2))
    elif asked := [one.name for one in listings if not one.failure]:
        if not rows:
            say(f"no stored answers in {', '.join(asked)}")
        now = time.time()
        for name, one in rows:
            say(entry_line(name, one, now))
    context.exit(1 if all(one.failure for one in listings) else 0)


@click.command("show")
@click.argument("key")
@_as_json
@click.pass_obj
def show(work: _Work, key: str, as_json: bool) -> None:
    """Show a stored answer; KEY may be the beginning of its key."""
    if not key:
        raise click.UsageError("KEY is empty, which would name everything; `clippy cache list` shows keys")
    with work.cli.host() as host:
        name, found, entry = _one_entry(host, key)
    document = {**described(name, found), "status": entry.response.status, "origin": entry.origin}
    document |= {"finish_reason": entry.response.finish_reason, "text": entry.response.text}
    document["tool_calls"] = [[call.name, call.arguments] for call in entry.response.message.tool_calls]
    if as_json:
        click.echo(visible_json(document, 2))
        return
    now = time.time()
    document["stored_at"] = f"{found.stored_at} ({max(0.0, now - found.stored_at):.0f} s old)"
    document["expires_at"] = f"{found.expires_at} ({max(0.0, found.expires_at - now):.0f} s left)"
    for label, value in document.items():
        if label != "text":
            say(f"{label}: {value if isinstance(value, str) else json.dumps(value)}")
    for line in ("", *entry.response.text.splitlines()):
        say(line)


@click.command("invalidate")
@_selecting
@click.option("--all", "everything", is_flag=True, help="Drop all of them.")
@click.pass_context
@click.pass_obj
def invalidate(work: _Work, context: click.Context, /, everything: bool, **parts: str | None) -> None:
    """Drop stored answers: those that every option given fits, or --all."""
    empty = [name for name in ("key", "key_prefix", "tag_prefix") if parts[name] == ""]
    if empty:
        raise click.UsageError(f"--{empty[0].replace('_', '-')} is empty, which would name everything")
    selector = _selector(parts)
    if everything == (selector != Selector()):
        raise click.UsageError("say which: by one or more of --key, --tag, --model, --tenant ..., or --all alone")
    with work.cli.host() as host:
        listings, mute = _listings_of(host, may_be_none=True)
        if selector.key is not None and (listings or mute):
            selector = evolve(selector, key=_whole_key(listings, mute, selector.key))
        selectors = selectors_of(selector, listings, _MANY)
        before = {one.name: sum(len(one.stored(each, _MANY)) for each in selectors) for one in listings}
        failures = {one.name: one.failure for one in listings if one.failure} | dropped(host, selectors)
    for name, count in before.items():
        if name not in failures:
            say(f"dropped {count} from {name}")
    for name in mute:
        if name not in failures:
            said = f"told {name} to drop them; it cannot say how many it kept"
            say(said if selectors else f"{name} was told of no model: no other cache keeps one that fits")
    for name, why in failures.items():
        click.echo(visible(f"{name} may still have what was to be dropped: {why}"), err=True)
    if not before and not mute:
        say("nothing to drop: no cache is active; `clippy plugins list` shows what is")
    else:
        say("what a running program holds in its own memory stays until that program drops it, or ends")
    context.exit(1 if failures else 0)


@click.command("warm")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--at-once", type=click.IntRange(1, 64), default=4, show_default=True, help="Requests under way.")
@click.pass_context
@click.pass_obj
def warm(work: _Work, context: click.Context, file: Any, at_once: int) -> None:
    """Send the requests in FILE, JSON objects one after another, that no cache can answer yet."""
    requests = _read(file)
    with work.cli.host() as host:
        counts, failures = warm_all(work.cli, host, requests, at_once)
    for number, why in failures:
        click.echo(visible(f"line {number}: {why}"), err=True)
    say(f"{counts['hit']} were stored already, {counts['new']} are new, {len(failures)} failed")
    context.exit(1 if failures else 0)


@click.command("explain")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@_as_json
@click.pass_context
@click.pass_obj
def explain(work: _Work, context: click.Context, file: Any, as_json: bool) -> None:
    """Say of each request in FILE (- for standard input) whether a cache can answer it, or why not."""
    requests = _read(file)
    counts, stored = work.ledger() if work.path is not None else ({}, [])
    with work.cli.host(recorded=False) as host, work.cli.client(host) as client:
        told = [(line, explanation(work.cli, host, client, request, stored)) for line, request in requests]
    foreign = Statistics.of(counts).not_stored.get(ANOTHER_API, 0)
    for _, document in told:
        if foreign and document.get("key") and document.get("differing") != []:
            document["said"].append(
                f"  or its answer was not stored: {ANOTHER_API}, as {foreign} in the statistics were"
            )
    if as_json:
        several = [{"line": line, **document} for line, document in told]
        click.echo(visible_json(several if len(told) > 1 else told[0][1], 2))
    else:
        for line, document in told:
            where = f"line {line}: " if len(told) > 1 else ""
            for number, sentence in enumerate(document["said"]):
                say(sentence if number else f"{where}{sentence}")
    context.exit(0 if all(document["hit"] for _, document in told) else 1)


def _selector(parts: Mapping[str, str | None]) -> Selector:
    tenant, user = parts["tenant"], parts["user"]
    return Selector(
        key=parts["key"],
        tag=parts["tag"],
        scope=None if tenant is None and user is None else Scope(tenant, user),
        model=parts["model"],
        key_prefix=parts["key_prefix"],
        tag_prefix=parts["tag_prefix"],
    )


def _listings_of(host: Any, *, may_be_none: bool = False) -> tuple[list[Listing], list[str]]:
    """The caches that can list what they keep, and the names of those that cannot.  Raises ClickException for none."""
    found, mute = listings_of(host)
    if not found and not may_be_none:
        what = f"{', '.join(mute)} cannot" if mute else "no active cache can"
        raise click.ClickException(f"{what} list what is kept; `clippy plugins list` shows what is active")
    return found, mute


def _one_entry(host: Any, key: str) -> tuple[str, StoredEntry, CacheEntry]:
    """The one entry whose key begins so.  Raises ClickException for none, and for several."""
    listings, mute = _listings_of(host)
    for listing, one in _fitting(listings, key):
        entry = listing.stored_entry(one.key)
        if entry is not None:
            return listing.name, one, entry
    for line in silent(listings, mute):
        click.echo(visible(line), err=True)
    raise click.ClickException(f"{_none(key)}; see `clippy cache list`")


def _whole_key(listings: list[Listing], mute: Iterable[str], key: str) -> str:
    """The key of the one answer whose key begins so.  Raises ClickException for none, and for several.

    Where a cache cannot list, a key that no other cache knows is taken for a whole one: it may be kept there.
    """
    found = _fitting(listings, key, ", or name all of them by --key-prefix")
    if found:
        return found[0][1].key
    if not mute and not any(one.failure for one in listings):
        raise click.ClickException(f"{_none(key)}; see `clippy cache list`, or name all that begin so by --key-prefix")
    click.echo(f"{_none(key)} in a cache that can list; the others are asked for a key of just this", err=True)
    return key


def _none(key: str) -> str:
    return f"there is no stored answer whose key begins with {visible(key)}"


def _fitting(listings: list[Listing], key: str, or_else: str = "") -> list[tuple[Listing, StoredEntry]]:
    """Where the answer is kept whose key begins so, none or more caches.  Raises ClickException for several answers."""
    selector = Selector(key_prefix=key)
    found = [(listing, one) for listing in listings for one in listing.stored(selector, _MANY)]
    keys = {one.key for _, one in found}
    if len(keys) > 1:
        raise click.ClickException(f"{len(keys)} keys begin with {visible(key)}; give more of one{or_else}")
    return found


def _read(file: Any) -> list[tuple[int, FileRequest]]:
    faults: list[str] = []
    found = list(read_requests(file.read(), faults))
    if faults:
        more = [f"and {len(faults) - _FAULTS} more"] if len(faults) > _FAULTS else []
        raise click.ClickException("\n".join(visible(one) for one in [*faults[:_FAULTS], *more]))
    if not found:
        raise click.ClickException(
            f"{visible(file.name)} has no request in it; it should have JSON objects, one after another"
        )
    return found
