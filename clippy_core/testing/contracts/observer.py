"""What every plugin that only looks must do: see everything, change nothing, delay nobody, keep no content."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, ClassVar

from clippy_hookspecs import (
    AuditRecord,
    Chunk,
    ErrorInfo,
    Event,
    Headers,
)

from ...chains import Run
from ...driven import drive
from ..script import Script
from .base import Contract, NotApplicable, in_threads, require, vital
from .bench import Bench, colours, context
from .endings import OUTCOMES, WAYS, Cast, every_event, odd_records, script
from .remains import Remains, listening
from .sweeping import cancelled_everywhere

SLOW = 0.025
"""Seconds that a call may take longer than without the observer, at its fastest of several."""


class ObserverContract(Contract):
    """Every outcome seen, audit once, no request delayed, changed, broken or remembered.

    For plugins that implement ``audit`` or ``observe`` and only look.  The suite finds what was recorded by itself: ids
    of requests in the plugin's fields, its files below ``folder``, and what it logs or prints.

    ``outcomes``: those that the observer records, for one that is there for some of them only, as a reporter of
    failures is.  None: what its own setting ``outcomes`` says, a tuple of them, and all if it has none.
    """

    about = "sees every request once; never delays, changes or breaks one"
    outcomes: ClassVar[tuple[str, ...] | None] = None

    def watched(self, plugin: object | None, colour: str = "sync") -> Bench:
        """A host with the observer (None: without one) beside plugins that make requests end in every way."""
        plugins: dict[str, object] = {"aa-cast": Cast()}
        if plugin is not None:
            plugins["tested"] = plugin
        bench = Bench(plugins, Script(then=script), clock=self.clock, colour=colour)
        self._benches.append(bench)
        return bench

    # --- it changes nothing -------------------------------------------------------------------------------------------

    @vital
    def test_every_outcome_is_the_same_with_and_without_it(self) -> None:
        """The caller's answer or failure, what the provider was sent, and the host's own record."""
        for colour in colours():
            for way in WAYS:
                bare, bench = self.watched(None, colour), self.watched(self.make(), colour)
                without, with_it = way.go(bare), way.go(bench)
                where = f"{colour}, {way.name}"
                require(with_it.outcome == without.outcome, f"{where}: {without.outcome} became {with_it.outcome}")
                require(with_it.body == without.body, f"{where}: the bytes of the answer are other ones")
                require(_plain(with_it.chunks) == _plain(without.chunks), f"{where}: the chunks are other ones")
                sent = [(seen.url, seen.body, _ours(seen.headers)) for seen in bench.provider.requests]
                expected = [(seen.url, seen.body, _ours(seen.headers)) for seen in bare.provider.requests]
                require(sent == expected, f"{where}: the provider was sent something else")
                outcomes = [record.outcome for record in bench.records]
                require(outcomes == [record.outcome for record in bare.records], f"{where}: recorded as {outcomes}")
                require(outcomes[-1:] == [way.outcome], f"{where}: recorded as {outcomes[-1:]}")
                require(not bench.blamed, f"{where}: the plugin raised in {', '.join(bench.blamed)}")
                decisions = [_decisions(record) for record in bench.records]
                expected_decisions = [_decisions(record) for record in bare.records]
                require(decisions == expected_decisions, f"{where}: the trace is not what the others did: {decisions}")
                cast: Any = bench.host.plugins["aa-cast"]
                require(not cast.meddled, f"{where}: {', '.join(cast.meddled)}")

    @vital
    def test_a_call_can_be_cancelled_at_every_await(self) -> None:
        """A cancellation goes through it, on asyncio and trio, and all books are closed."""
        wrong = cancelled_everywhere(self.make, self.clock)
        require(not wrong, "; ".join(wrong[:3]))

    # --- it delays nobody ---------------------------------------------------------------------------------------------

    @vital
    def test_nobody_waits_for_it(self) -> None:
        """No sleep, no wait on the clock, and a call takes as long as without it."""
        bare, bench = self.watched(None), self.watched(self.make())
        slept: list[float] = []
        real, time.sleep = time.sleep, slept.append  # type: ignore[assignment]
        try:
            before = self.clock.now()
            for text in ("Hello", "wrong", "refuse", "Hello you there"):
                bench.chat(text)
                bench.stream(text, stop_after=1)
            waited = self.clock.now() - before
        finally:
            time.sleep = real
        require(not slept, f"it called time.sleep({slept[:1]})")
        require(waited == 0, f"{waited} seconds of the clock went by")
        for how in ("chat", "stream"):
            fastest = _fastest(bench, how) - _fastest(bare, how)
            require(
                fastest < SLOW, f"a {how} took {fastest * 1000:.0f} ms longer than without it, at its fastest of five"
            )

    # --- it sees everything -------------------------------------------------------------------------------------------

    @vital
    def test_no_record_makes_it_raise(self) -> None:
        """Records and events of every outcome, with every field empty, odd or large."""
        bench = self.watched(self.make())
        for record in odd_records():
            self._audit(bench, record)
            require(not bench.blamed, f"it raised for {record.outcome!r} with error {record.error!r:.80}")
        for event in every_event():
            _observe(bench, event)
            require(not bench.blamed, f"it raised for an event {event.kind!r} with {event.data!r:.80}")

    @vital
    def test_it_sees_every_outcome(self) -> None:
        """Each request leaves something, however it ended; none that leaves an id is missing."""
        seen: dict[str, bool] = {}
        named = False
        recorded = self._recorded()
        for way in (one for one in WAYS if one.outcome in recorded):
            with self._looking() as (bench, remains):
                before = remains.state()
                way.go(bench)
                bench.close()
                (*_, record) = bench.records
                for place, things in remains.places().items():
                    told = sum(record.id in thing and record.outcome in thing for thing in things)
                    require(told <= 1, f"{way.name}: in {place} it is recorded {told} times")
                by_id = bool(remains.count(record.id))
                named = named or by_id
                seen[way.name] = by_id or remains.state() != before
        if any(seen.values()) and not named:
            return  # one that counts has nothing to count in some of them
        self._all_or_none(seen, "it keeps nothing of requests that were")

    @vital
    def test_each_record_is_kept_once(self) -> None:
        """Given one record of each outcome, plain and streamed, it keeps each of them, and none twice."""
        kept: dict[str, bool] = {}
        for outcome in self._recorded():
            for stream in (False, True):
                with self._looking() as (bench, remains):
                    before = remains.state()
                    record = self._record(f"unique-{outcome}-{stream}", outcome, stream=stream)
                    self._audit(bench, record)
                    bench.close()
                    places = remains.count(record.id)
                    twice = {place: count for place, count in places.items() if count > 1}
                    most = max(twice.values(), default=0)
                    require(not twice, f"a record of {outcome} is in {', '.join(twice)} {most} times")
                    kept[f"{outcome}{' (streamed)' if stream else ''}"] = bool(places) or remains.state() != before
        self._all_or_none(kept, "audit keeps nothing of what was")

    def test_a_recorder_of_events_misses_none(self) -> None:
        """One that keeps most kinds of events keeps all of them, each time."""
        if "observe" not in self._hooks():
            raise NotApplicable("it does not implement observe")
        kinds = {event.kind: event for event in every_event()}
        kept = {}
        for kind, event in kinds.items():
            with self._looking() as (bench, remains):
                states = [remains.state()]
                for _ in range(5):
                    _observe(bench, event)
                    states.append(remains.state())
                bench.close()
                changes = sum(a != b for a, b in pairwise(states))
                require(changes in (0, 5), f"of 5 events {kind!r} it kept {changes}")
                kept[kind] = changes == 5
        missing = [kind for kind, was in kept.items() if not was]
        if len(missing) > len(kinds) // 2:
            return  # it wants few of them, which is its right
        require(not missing, f"of events it keeps all kinds but {', '.join(missing)}")

    @vital
    def test_eight_threads_lose_no_record(self) -> None:
        """Records that come at the same time are all kept, whole, each once."""
        outcome = self._recorded()[0]
        with self._looking() as (bench, remains):

            def work(thread: int) -> None:
                for number in range(20):
                    self._audit(bench, self._record(f"one-{thread}-{number}-end", outcome))

            in_threads(8, work)
            bench.close()
            places = remains.places()
        require(not bench.blamed, f"the plugin raised in {', '.join(bench.blamed)}")
        ids = [f"one-{thread}-{number}-end" for thread in range(8) for number in range(20)]
        holding = [things for things in places.values() if any(ids[0] in thing for thing in things)]
        for things in holding:
            counts = {name: sum(name in thing for thing in things) for name in ids}
            lost = [name for name, count in counts.items() if not count]
            require(not lost, f"{len(lost)} of {len(ids)} records of eight threads are lost")
            if len(things) > 1:
                require(max(counts.values()) == 1, "a record of eight threads is kept twice")

    # --- it keeps nothing of the caller -------------------------------------------------------------------------------

    @vital
    def test_it_does_not_keep_the_callers_memory(self) -> None:
        """After many large calls the prompts and the answers are gone."""
        size, calls = 256 * 1024, 24
        bench = self.watched(self.make())
        bench.chat("x" * size)
        bench.stream("x" * size)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(calls // 3):
                prompt = f"{number} at length " + "x" * size
                bench.chat(prompt)
                bench.stream(prompt)
                bench.chat("wrong " + prompt)
                del prompt
            bench.records.clear()
            bench.provider.requests.clear()
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        kept = grown / size
        require(kept < 8, f"after {calls} calls of {size // 1024} kB it holds {kept:.1f} times the prompt")

    # --- how the checks are made --------------------------------------------------------------------------------------

    def _recorded(self) -> tuple[str, ...]:
        """The outcomes that the observer records."""
        if self.outcomes is not None:
            unknown = [str(name) for name in self.outcomes if name not in OUTCOMES]
            require(self.outcomes and not unknown, f"outcomes: there are {', '.join(OUTCOMES)}, not {unknown}")
            return self.outcomes
        own = getattr(self.make(), "outcomes", None)
        # By that name a plugin may also keep what it has seen; a setting says something from the beginning.
        return own if isinstance(own, tuple) and own and all(name in OUTCOMES for name in own) else OUTCOMES

    def _record(self, id: str, outcome: str, *, stream: bool = False) -> AuditRecord:  # noqa: A002 - the field's name
        error = ErrorInfo("transient", "fault", True, status=503, outage=True) if outcome == "failed" else None
        return AuditRecord(id, outcome, self.clock.time(), 0.5, stream=stream, error=error)  # type: ignore[arg-type]

    @contextmanager
    def _looking(self) -> Iterator[tuple[Bench, Remains]]:
        """A fresh observer in a host, and a look at what it keeps; its folder is emptied before."""
        for file in self.folder.rglob("*"):
            if file.is_file():
                file.unlink()
        plugin = self.make()
        with listening() as heard:
            bench = self.watched(plugin)
            bench.host.open()
            yield bench, Remains(plugin, self.folder, heard)

    def _audit(self, bench: Bench, record: AuditRecord) -> None:
        host = bench.host
        host.open()
        steps = tuple(step for step in host.chains.audit if step.plugin == "tested")
        ctx = context(host, id=record.id, stream=record.stream)
        try:
            drive(host.chains.all(steps, (record, ctx), Run(ctx, host.sync_runtime())))
        except Exception as error:
            raise AssertionError(f"audit raised for {record.outcome!r}: {error}") from error

    def _hooks(self) -> tuple[str, ...]:
        host = self.watched(self.make()).host
        return tuple(
            hook for hook, steps in host.chains.steps.items() if any(step.plugin == "tested" for step in steps)
        )

    def _all_or_none(self, seen: dict[str, bool], what: str) -> None:
        if not any(seen.values()):
            raise NotApplicable("what it records cannot be seen in its fields, its files or its log")
        missing = [name for name, was in seen.items() if not was]
        if missing and "audit" in self._hooks():
            raise AssertionError(f"{what} {', '.join(missing)}")


def _observe(bench: Bench, event: Event) -> None:
    ctx = context(bench.host)
    for step in bench.host.chains.observe:
        if step.plugin == "tested":
            try:
                step.function(event, ctx)
            except Exception as error:
                raise AssertionError(f"observe raised for {event.kind!r}: {error!r}") from error


def _fastest(bench: Bench, how: str) -> float:
    took = []
    for _ in range(5):
        began = time.perf_counter()
        getattr(bench, how)("Hello")
        took.append(time.perf_counter() - began)
    return min(took)


def _plain(chunks: list[Chunk]) -> list[tuple[Any, ...]]:
    return [(c.kind, c.delta, c.block, c.choice, c.name, c.finish_reason, c.raw) for c in chunks]


def _decisions(record: AuditRecord) -> list[tuple[str, str, str]]:
    """What the other plugins did, as the trace has it."""
    return [(one.plugin, one.hook, one.action) for one in record.trace if one.plugin != "tested"]


def _ours(headers: Headers) -> list[tuple[str, str]]:
    return [pair for pair in headers.pairs if pair[0].lower() != "user-agent"]
