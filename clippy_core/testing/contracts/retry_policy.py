"""What every retry policy must do: when it tries again, after how long, when it stops, and what it never repeats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from attrs import evolve
from clippy_hookspecs import ErrorInfo, Request, Retry, RouteInfo

from ...chains import Run
from ...driven import drive
from ..faults import Fault
from ..script import Reply, Script
from .base import Contract, in_threads, require, vital
from .bench import Bench, Got, colours, context
from .retrying import SAMPLES, TOO_MANY, Judge, Tried, Trouble, Usual, seeded

OVERLOADED = ErrorInfo("transient", "overloaded", retryable=True, outage=True, status=503)
LIMITED = ErrorInfo("rate_limit", "requests", retryable=True, status=429)
NEVER = (
    ErrorInfo(),
    ErrorInfo("unknown", "unknown", status=500),
    ErrorInfo("auth", "invalid_key", status=401),
    ErrorInfo("auth", "permission", status=403),
    ErrorInfo("validation", "invalid_request", status=400),
    ErrorInfo("validation", "context_length", status=400),
    ErrorInfo("validation", "content_filter", status=400),
    ErrorInfo("permanent", "quota", status=429),
    ErrorInfo("permanent", "not_found", status=404),
    ErrorInfo("cancelled", "cancelled"),
    ErrorInfo("plugin", "plugin"),
    evolve(OVERLOADED, retryable=False),
    evolve(LIMITED, retryable=False),
    evolve(LIMITED, retryable=False, retry_after=1.0),
    evolve(OVERLOADED, should_retry=False),
    evolve(LIMITED, should_retry=False, retry_after=1.0),
)
"""Failures that the same request meets again, or that the server does not want to see again."""


class RetryPolicyContract(Contract):
    """Waits, stops, deadlines and what is never repeated, on the virtual clock.

    A policy that is slow to give up, or that counts on a classifier of its own, is judged with it: the suite says what
    each failure is, by a ``classify_error`` that is asked first.
    """

    about = "tries again what can succeed, never too early, and stops"

    def failing(
        self,
        info: ErrorInfo | Sequence[ErrorInfo],
        *,
        then: Any = None,
        script: Any = None,
        colour: str = "sync",
        **config: Any,
    ) -> Bench:
        """A host with a new policy whose provider fails as *info* says (one for each attempt, the last for the rest).

        ``then`` is what the provider answers after as many failures as *info* has; without it it fails for ever, unless
        a *script* says when.
        """
        infos = (info,) if isinstance(info, ErrorInfo) else tuple(info)
        judge = Judge(lambda attempt: infos[min(attempt, len(infos)) - 1])
        faults = [Fault.status(one.status or 503) for one in infos]
        if script is None:
            script = Script(then=faults[-1]) if then is None else Script(*faults, then=then)
        bench = Bench({"tested": self.make(), "zz-judge": judge}, script, clock=self.clock, colour=colour, **config)
        self._benches.append(bench)
        return bench

    def decide(self, plugin: Any, info: ErrorInfo, **more: Any) -> float | None:
        """The wait that a policy decides on when it is asked directly, None for none; *more* is of the context."""
        bench = self.bench(plugin)
        ctx = context(bench.host, **{"attempt": 1, "route_attempt": 1, **more})
        run = Run(ctx, bench.host.sync_runtime())
        decision, _ = drive(bench.host.chains.first(bench.host.chains.on_error, (info, ctx), run))
        require(not bench.blamed, f"on_error raised for {info} at attempt {ctx.route_attempt}")
        if not isinstance(decision, Retry):
            return None
        require(math.isfinite(decision.after) and decision.after >= 0, f"it waits {decision.after} seconds for {info}")
        return decision.after

    # --- trying again -------------------------------------------------------------------------------------------------

    @vital
    def test_what_can_succeed_is_tried_again(self) -> None:
        """A passing failure is repeated and the caller gets the answer, in every colour, plain and streamed."""
        for colour in colours():
            for how in ("chat", "stream"):
                for info in (OVERLOADED, LIMITED):
                    bench = self.failing(info, then=Reply("there you are"), colour=colour)
                    got: Got = getattr(bench, how)("Hello")
                    require(
                        got.text == "there you are",
                        f"{colour}, {how}: a call that failed once ({info.kind}) was not repeated: {got.error!r}",
                    )
                    require(
                        bench.provider.calls == 2, f"{colour}, {how}: {bench.provider.calls} attempts for one failure"
                    )
                    self._unblamed(bench)

    @vital
    def test_what_cannot_succeed_is_not_repeated(self) -> None:
        """Wrong keys and requests, spent money, unknown failures, and what the server does not want to see again."""
        for info in NEVER:
            bench = self.failing(info)
            bench.chat()
            what = f"{info.category}/{info.kind} (retryable={info.retryable}, should_retry={info.should_retry})"
            require(bench.provider.calls == 1, f"{what} was sent {bench.provider.calls} times")
            require(not self._waits(bench), f"after {what} it waited")
            self._unblamed(bench)

    @vital
    def test_a_delivered_part_is_not_repeated(self) -> None:
        """A stream that breaks after its first words stays broken; whoever knows of it, the failure or the context."""
        bench = self.failing(OVERLOADED)
        bench = Bench(
            dict(bench.host.plugins), Script(then=[Fault.reset(at_delta=2), Reply("one two three")]), clock=self.clock
        )
        self._benches.append(bench)
        got = bench.stream("Hello")
        require(bench.provider.calls == 1, "a stream that had delivered words was sent again")
        require(got.error is not None, "a broken stream ended as if it were whole")
        self._unblamed(bench)
        plugin = self.make()
        require(self.decide(plugin, evolve(OVERLOADED, committed=True)) is None, "a committed failure is repeated")
        require(self.decide(plugin, OVERLOADED, committed=True) is None, "a committed request is repeated")

    # --- waiting ------------------------------------------------------------------------------------------------------

    @vital
    def test_it_never_comes_back_before_the_server_allows(self) -> None:
        """Not a moment before retry-after, at any attempt; a wait that is too long for it is no retry at all."""
        for asked in (0.001, 0.1, 0.5, 1.0, 2.5, 7.25, 15.0, 31.0, 59.0, 119.0, 600.0, 86400.0):
            for base in (LIMITED, OVERLOADED, evolve(LIMITED, should_retry=True)):
                bench = self.failing(evolve(base, retry_after=asked))
                bench.chat()
                early = [wait for wait in self._waits(bench) if wait < asked]
                require(
                    not early, f"it came back after {min(early, default=0)} seconds, the server had asked for {asked}"
                )
                self._unblamed(bench)

    @vital
    def test_the_servers_wait_of_each_attempt_counts(self) -> None:
        """Every failure brings its own wait; an earlier or longer one does not stand for it."""
        asked = [1.0, 3.0, 0.5, 9.0, 2.0]
        bench = self.failing([evolve(LIMITED, retry_after=seconds) for seconds in asked], then=Reply("done"))
        bench.chat()
        for wait, seconds in zip(self._waits(bench), asked, strict=False):
            require(wait >= seconds, f"it came back after {wait} seconds, the server had asked for {seconds}")
        bench = self.failing([LIMITED, evolve(LIMITED, retry_after=20.0)], then=Reply("done"))
        bench.chat()
        require(all(wait >= 20.0 for wait in self._waits(bench)[1:2]), "the wait of a second failure was not kept")

    @vital
    def test_no_wait_is_nonsense(self) -> None:
        """Never negative, endless or no number, whatever the server asked for and however often it failed."""
        odd = (None, 0.0, -0.0, -1.0, -math.inf, math.inf, math.nan, 1e-300, 1e9, 1e308, 5e-324)
        for asked in odd:
            for attempt in (1, 2, 3, 7, 30, 64, 1025, 5000, 10**6):
                info = evolve(OVERLOADED, retry_after=asked)
                wait = self.decide(self.make(), info, attempt=attempt, route_attempt=attempt)
                require(wait is None or wait < 86400 * 2 or wait == asked, f"it waits {wait} seconds for {asked}")
            bench = self.failing(evolve(OVERLOADED, retry_after=asked))
            got = bench.chat()
            named = type(got.error).__name__
            require(named == "ProviderError", f"with retry-after {asked} the caller got {named} instead of the failure")
            require(
                all(map(math.isfinite, self._waits(bench))), f"with retry-after {asked} it waited {self._waits(bench)}"
            )
            self._unblamed(bench)

    def test_the_policy_itself_waits_for_nothing(self) -> None:
        """It decides; the host sleeps, once for each repetition."""
        import time

        slept: list[float] = []
        real, time.sleep = time.sleep, slept.append  # type: ignore[assignment]
        try:
            bench = self.failing(OVERLOADED)
            bench.chat()
        finally:
            time.sleep = real
        require(not slept, f"it called time.sleep({slept[:1]}) instead of deciding on a wait")
        waits, calls = len(self._waits(bench)), bench.provider.calls
        require(waits == calls - 1, f"{waits} waits for {calls} attempts")

    # --- stopping -----------------------------------------------------------------------------------------------------

    @vital
    def test_it_stops(self) -> None:
        """A provider that fails for ever is given up, in attempts and in time, and the caller gets its failure."""
        for info in (OVERLOADED, LIMITED, evolve(LIMITED, retry_after=1.0), evolve(OVERLOADED, should_retry=True)):
            for how in ("chat", "stream"):
                began = self.clock.now()
                bench = self.failing(info)
                got: Got = getattr(bench, how)("Hello")
                took, calls = self.clock.now() - began, bench.provider.calls
                require(calls <= TOO_MANY, f"it did not stop after {TOO_MANY} attempts at {info.kind}")
                require(took <= 3600.0, f"it gave up {info.kind} after {took / 60:.0f} minutes")
                error = getattr(got.error, "info", None)
                require(error is not None, f"the caller got {got.error!r} for a provider that always fails")
                assert error is not None
                require(error.kind == info.kind, f"the caller got {error.kind} for {info.kind}")

    @vital
    def test_no_attempt_begins_after_the_deadline(self) -> None:
        """It does not wait for an attempt that would come too late: the caller learns it at once."""
        for total in (0.05, 1.0, 5.0, 10.0, 30.0):
            for asked in (None, 0.02, 4.0, 12.0, 29.0):
                began = self.clock.now()
                bench = self.failing(evolve(LIMITED, retry_after=asked), deadlines={"total": total})
                got = bench.chat()
                took = self.clock.now() - began
                require(took < total, f"it waited until {took} seconds with a deadline of {total}")
                kind = getattr(got.error, "info", ErrorInfo()).kind
                require(
                    kind == LIMITED.kind,
                    f"with a deadline of {total} and retry-after {asked} the caller got {kind}, not the failure",
                )
        # The host refuses such a wait itself, and then nobody else was asked: a fallback may still have helped.
        for left, asked in ((0.01, 0.02), (1.0, 1.0), (3.0, 4.0), (10.0, 30.0)):
            wait = self.decide(self.make(), evolve(LIMITED, retry_after=asked), deadline=self.clock.now() + left)
            require(wait is None, f"with {left} seconds left it decided to wait {wait}, which leaves no time to try")

    def test_a_deadline_that_is_far_away_changes_nothing(self) -> None:
        """With an hour left a passing failure is repeated as without a deadline."""
        bench = self.failing(OVERLOADED, then=Reply("there you are"), deadlines={"total": 3600.0})
        require(bench.chat().text == "there you are", "with a deadline in an hour a call was not repeated")

    # --- one request and the next -------------------------------------------------------------------------------------

    @vital
    def test_requests_do_not_use_up_each_others_attempts(self) -> None:
        """After requests that were given up the next one is tried as often as the first, at once and a day later.

        Between them the provider answers well, because a policy may have a budget for its route that successes fill.
        """
        usual = self._usual(lambda: self._tried(self.failing(OVERLOADED)))
        require(max(usual.counts) > 1, "it never tries again")
        trouble, counts = Trouble(), []
        bench = self.failing(OVERLOADED, script=trouble)
        for number in range(8):
            if number == 6:
                self.clock.advance(86400.0)
            counts.append(seeded(number, partial(self._tried, bench))[0])
            self._recover(bench, trouble, counts[-1] - 1)
        said = f"equal requests, one after the other, were tried {counts} times, and by a new policy {usual}"
        require(usual.like(counts), said)

    @vital
    def test_waits_begin_anew_with_each_request(self) -> None:
        """A request that failed often does not make the next one wait longer."""
        trouble = Trouble()
        bench = self.failing(OVERLOADED, script=trouble)
        first = max(self._first_waits(bench, trouble))
        for _ in range(5):
            self._recover(bench, trouble, self._tried(bench)[0] - 1)
        later = max(self._first_waits(bench, trouble))
        require(later <= 3 * first + 1.0, f"first waits grew from at most {first:g} to {later:g} seconds")

    @vital
    def test_requests_at_the_same_time_are_counted_apart(self) -> None:
        """Failing requests of eight threads, and some that take turns, are tried as often each as one alone."""
        usual = self._usual(lambda: self._tries(self.bench(), ["alone"])["alone"])
        bench = self.bench()
        names = [[f"{thread} {number}" for number in range(3)] for thread in range(8)]
        tried = in_threads(8, lambda thread: self._tries(bench, names[thread]))
        counts = [count for some in tried for count, _ in some.values()]
        require(usual.like(counts), f"alone a request is tried {usual} times, beside others {sorted(set(counts))}")
        self._unblamed(bench)

    @vital
    def test_every_colour_tries_as_often(self) -> None:
        """In sync, asyncio and trio."""
        usual = self._usual(lambda: self._tried(self.failing(OVERLOADED)))
        for colour in colours():
            benches = [self.failing(OVERLOADED, colour=colour) for _ in range(5)]
            counts = [seeded(number, partial(self._tried, bench))[0] for number, bench in enumerate(benches)]
            require(usual.like(counts), f"{colour}: requests are tried {counts} times, in sync {usual}")

    # --- how the checks are made --------------------------------------------------------------------------------------

    def _waits(self, bench: Bench) -> list[float]:
        """What was waited before each repetition of the newest request, in seconds."""
        return [attempt.waited for attempt in bench.records[-1].attempts[1:]]

    def _usual(self, tried: Callable[[], Tried]) -> Usual:
        """How often new policies try a request, each with dice of another fall."""
        return Usual(tuple(seeded(number, tried) for number in range(SAMPLES)))

    def _tried(self, bench: Bench) -> Tried:
        before = bench.provider.calls
        bench.chat()
        return bench.provider.calls - before, tuple(self._waits(bench))

    def _tries(self, bench: Bench, names: Sequence[str]) -> dict[str, Tried]:
        """What becomes of each of some requests that fail in turn; no time passes, and nothing is sent.

        Each is on a route of its own, since those of one route may share a budget.
        """
        host, runtime = bench.host, bench.host.sync_runtime()
        routes = {name: RouteInfo(name, "openai.chat", f"http://fake.test/{name}") for name in names}
        waiting = {name: context(host, id=name, route=routes[name]) for name in names}
        counts: dict[str, int] = {}
        waits: dict[str, tuple[float, ...]] = dict.fromkeys(names, ())
        request = Request("openai.chat")
        while waiting:
            for name, ctx in list(waiting.items()):
                ctx.attempt = ctx.route_attempt = counts[name] = counts.get(name, 0) + 1
                run = Run(ctx, runtime)
                drive(host.chains.fold(host.chains.pre_attempt, request, (ctx,), run))
                decision, _ = drive(host.chains.first(host.chains.on_error, (OVERLOADED, ctx), run))
                if not isinstance(decision, Retry) or ctx.attempt > TOO_MANY:
                    del waiting[name]
                else:
                    waits[name] += (decision.after,)
        return {name: (counts[name], waits[name]) for name in names}

    def _first_waits(self, bench: Bench, trouble: Trouble) -> list[float]:
        """What is waited after the first failure, in 30 requests that a single repetition helps."""
        waits = []
        for _ in range(30):
            trouble.begin(1)
            bench.chat()
            waits += self._waits(bench)[:1]
            self._recover(bench, trouble, 1)
        require(waits, "it never tries again")
        return waits

    def _recover(self, bench: Bench, trouble: Trouble, repeated: int) -> None:
        """Let the provider answer ten requests for each that was *repeated*: what the meanest of budgets asks for."""
        trouble.begin(0)
        for _ in range(10 * min(repeated, 6)):
            bench.chat()
        trouble.begin()

    def _unblamed(self, bench: Bench) -> None:
        require(not bench.blamed, f"the plugin raised in {', '.join(bench.blamed)}")
