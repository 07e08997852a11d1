"""Recorded calls again: sent to their routes, or through two sets of plugins against the recorded answers."""

from __future__ import annotations

import difflib
import importlib
import logging
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from clippy_hookspecs import Host, RawReply, RawRequest, ServiceRegistry, Upstream, hookimpl

from .exchange import Exchange
from .har import api_of
from .questions import not_kept, question_of
from .replaying import recorded, told, told_in
from .rerunning import Books, Rerun, rerun, without_caches

Run = Callable[[Awaitable[Any]], Any]
Apart = Callable[..., AbstractContextManager[Any]]
"""``cli.apart``: a host with empty stores on a clock of its own, for each run another, with routes it may lack."""

RECORDER = "recorder"


@frozen
class Comparison:
    """Each call as it was recorded, or as the configured plugins had it answered (``Rerun.recorded``), and as it came
    out this time; what to know, and what was logged of simulated calls, each kind of line once."""

    made: tuple[Rerun, ...]
    notes: tuple[str, ...]
    logged: tuple[str, ...] = ()


@define(eq=False)
class Tape:
    """Stands in the provider's place and gives the recorded answer of the call that is made again, whatever is asked:
    a plugin that changes the question is judged by what it does, and not by a miss."""

    clock: Any
    host: Host
    current: Exchange | None = None

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        """Stand in for the provider."""
        services.offer(Upstream, self)

    async def send(self, request: RawRequest, timeout: Mapping[str, float | None]) -> RawReply:
        """The recorded answer, in the recorded time by the host's clock."""
        found = None if self.current is None else recorded(self.current)
        if self.current is None or found is None:
            raise ConnectionError("the answer to this call was not recorded")
        found = told_in(api_of(request.url), found, self.current)
        return await told(found, request, 1.0, self.clock.sleep, self.host)


def compared(
    exchanges: Sequence[Exchange], apart: Apart, run: Run, more: Sequence[str], less: Sequence[str]
) -> Comparison:
    """The recorded calls through the configured plugins, and through those with *more* and *less* of them.

    Both runs begin with empty stores and share nothing with other programs, and nothing is sent to a provider, so the
    same comparison gives the same figures every time.  Raises LookupError for a plugin that there is not.
    """
    calls, notes = _to_make(exchanges, answered=True)
    routes = {_route_of(one): {"api": one.api, "base_url": "https://recorded.invalid/v1"} for one in calls}
    with set_aside() as logged, same_dice() as dice:
        with apart(routes) as found:
            before = _through(calls, found.host, found.clock, dice, run)
            notes += [f"{name} is left out of both runs: {why}" for name, why in found.left_out.items()]
        with apart(routes) as found:
            chosen, about = _chosen(found.host, more, less)
            notes += about
            after = _through(calls, found.host.with_plugins(chosen), found.clock, dice, run)
    made = [
        Rerun(one.id, one.model, then.again, now.again) for one, then, now in zip(calls, before, after, strict=True)
    ]
    return Comparison(tuple(made), tuple(notes), tuple(logged.lines()))


def _to_make(exchanges: Sequence[Exchange], answered: bool) -> tuple[list[Exchange], list[str]]:
    """The calls that can be made again, and what is left out; *answered*: with the recorded answers.

    Raises LookupError if there is none.
    """
    calls, notes = [one for one in exchanges if one.parent is None and one.api], []
    if answered:
        calls.sort(key=lambda one: one.began)
        whole = [one for one in calls if one.status is not None and one.state not in _CUT_SHORT]
        if len(whole) < len(calls):
            notes.append(f"{len(calls) - len(whole)} calls got no whole answer then, and are left out")
        calls = whole
    kept = [one for one in calls if question_of(one) is not None and not (answered and recorded(one) is None)]
    reasons = Counter(not_kept(one) for one in calls if one not in kept)
    if not kept:
        raise LookupError(f"no call can be made again: {next(iter(reasons), 'none asked a model')}")
    notes += [f"{count} calls are left out: {why}" for why, count in reasons.items()]
    return kept, notes


_CUT_SHORT = frozenset({"cancelled", "abandoned", "running"})


def sent_again(
    exchanges: Sequence[Exchange], apart: Apart, run: Run, more: Sequence[str], less: Sequence[str]
) -> Comparison:
    """The recorded calls sent to their routes for good, through the configured plugins with *more* and *less* of them.

    What they learn and write goes afterwards: of a call that is tried out no breaker, no budget and no log may know
    that programs share.  Caches are left out, for they would answer in the provider's place.  Raises LookupError for a
    plugin that there is not, or a call without a route.
    """
    calls, notes = _to_make(exchanges, answered=False)
    with apart({}, live=True) as found:
        notes += [f"{name} is left out: {why}" for name, why in found.left_out.items()]
        chosen, about = _chosen(found.host, more, less)
        asking = without_caches({name: one for name, one in chosen.items() if name != RECORDER or name in more})
        away = [name for name in chosen if name in more and name not in asking]
        notes += [*about, *(f"{name} is left out: --live asks the provider" for name in away)]
        other = found.host.with_plugins({**asking, "books": Books()})
        try:
            made = rerun(calls, other, run)
        finally:
            other.close()
    return Comparison(tuple(made), tuple(notes))


@define(eq=False)
class Logged:
    """What plugins log of simulated calls: each kind of line is told once, with how many there were."""

    _first: dict[str, str] = field(init=False, factory=dict)
    _count: Counter[str] = field(init=False, factory=Counter)

    def keep(self, record: logging.LogRecord) -> bool:
        """As a filter of a log's handler: nothing is shown of it by now."""
        self._first.setdefault(str(record.msg), record.getMessage())
        self._count[str(record.msg)] += 1
        return False

    def lines(self) -> Iterator[str]:
        """One for each kind, in their order."""
        for kind, count in self._count.items():
            yield f"logged in the simulation, {count} times: {self._first[kind]}"


@contextmanager
def set_aside() -> Iterator[Logged]:
    """What the plugins log meanwhile is kept from whatever the command's log is shown on: it did not happen."""
    logged, handlers = Logged(), [*logging.getLogger("clippy").handlers]
    for one in handlers[:1]:
        one.addFilter(logged.keep)
    for one in handlers[1:]:
        one.addFilter(_nothing)
    try:
        yield logged
    finally:
        for one in handlers:
            one.removeFilter(logged.keep)
            one.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


@contextmanager
def same_dice() -> Iterator[random.Random]:
    """Whatever plugins throw dice for meanwhile comes from these, which are seeded alike for a call in both runs.

    Waits of another length would be told as something that a plugin does.
    """
    dice, system, state = random.Random(), random.SystemRandom.random, random.getstate()  # noqa: S311 (no secret)
    random.SystemRandom.random = lambda self: dice.random()  # type: ignore[method-assign]
    try:
        yield dice
    finally:
        random.SystemRandom.random = system  # type: ignore[method-assign]
        random.setstate(state)


def _route_of(exchange: Exchange) -> str:
    return exchange.route or exchange.api.replace(".", "-")


def _through(exchanges: Sequence[Exchange], host: Host, clock: Any, dice: random.Random, run: Run) -> list[Rerun]:
    """Each call in its time: who counts by the minute, or waits for a breaker, meets the pauses that there were."""
    tape = Tape(clock, host)
    kept = {name: plugin for name, plugin in host.plugins.items() if name != RECORDER}
    other = host.with_plugins({**kept, "recorded-answers": tape, "books": Books()})
    start, made = clock.now(), []
    try:
        for exchange in exchanges:
            due = start + exchange.began - exchanges[0].began
            if due > clock.now():
                run(clock.sleep(due - clock.now()))
            tape.current = exchange
            dice.seed(exchange.id)
            random.seed(exchange.id)
            made += rerun([exchange], other, run)
    finally:
        other.close()
    return made


def _chosen(host: Host, more: Sequence[str], less: Sequence[str]) -> tuple[dict[str, object], list[str]]:
    """The plugins of *host* with *more* and *less* of them, and what is strange about that."""
    unknown = [name for name in less if name not in host.plugins]
    if unknown:
        near = difflib.get_close_matches(unknown[0], list(host.plugins), 1)
        hint = f"; did you mean {near[0]}?" if near else "; `clippy plugins list` shows what is"
        raise LookupError(f"--without {unknown[0]}: no such plugin is active{hint}")
    chosen, notes = {name: one for name, one in host.plugins.items() if name not in less}, []
    for said in more:
        name = said.rpartition(":")[2]
        if said in chosen:
            notes.append(f"{said} is active as it is; --without {said} shows what it does")
        else:
            chosen[name] = plugin_named(said)
        idle = getattr(chosen[name], "idle", None)
        if isinstance(idle, str):
            notes.append(f"{name} does nothing: {idle}")
    return chosen, notes


def _installed(package: str) -> bool:
    try:
        return bool(package) and find_spec(package) is not None
    except ValueError:  # __main__ has none
        return True


def plugin_named(name: str) -> object:
    """An installed plugin by its name, or ``module:Class``, with its default settings.  Raises LookupError.

    A module that is not installed is looked for where the command runs, behind everything that is: it was named for
    that.  For one that is installed nothing is: a file there would stand for what others import if they can.
    """
    if ":" in name:
        module, _, attribute = name.partition(":")
        if not _installed(module.partition(".")[0]) and (here := str(Path.cwd())) not in sys.path:
            sys.path.append(here)
        return _made(name, lambda: getattr(importlib.import_module(module), attribute))
    for entry in entry_points(group="clippy"):
        if entry.name == name:
            return _made(name, entry.load)
    raise LookupError(f"no installed plugin is named {name!r}; clippy plugins lists them")


def _made(name: str, load: Callable[[], Any]) -> object:
    try:
        found = load()
    except Exception as error:  # whatever a module does when it is imported
        raise LookupError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    try:
        made: object = found()
    except Exception as error:  # a setting without a default, or one that this machine cannot keep
        raise LookupError(f"{name} cannot be made with its default settings: {error}") from error
    return made
