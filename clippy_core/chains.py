"""Compiled hook chains: for each hook a tuple of steps, outermost or innermost plugin first as its policy says.

pluggy finds, validates and orders; what runs per request is a loop over a tuple.  Called through pluggy a hook costs
eight times as much, and with ``async def`` implementations its ``firstresult`` takes the first coroutine for an answer
(reference/style.md section 2).  An empty tuple costs one test.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from itertools import groupby
from operator import itemgetter
from time import perf_counter_ns
from typing import Any, Protocol

from attrs import define, field, frozen
from clippy_hookspecs import (
    POLICIES,
    Answer,
    AttemptRefused,
    CacheEntry,
    Chunk,
    Continue,
    ErrorInfo,
    Event,
    HookCall,
    Join,
    PluginError,
    Refusal,
    Request,
    RequestContext,
    Response,
    Restart,
    Retry,
    Stale,
    Switch,
    specs,
)
from clippy_hookspecs.records import EventKind

from .faults import Faults, raise_failed
from .records import begun_call, begun_event, new_call

_MAY_RETURN: dict[str, tuple[type[Any], ...]] = {
    "pre_request": (Request, Answer),
    "cache_lookup": (CacheEntry, Join),
    "compress_context": (Request,),
    "pre_attempt": (Request,),
    "classify_error": (ErrorInfo,),
    "on_error": (Retry, Switch, Answer, Stale, Restart, Continue),
    "on_response": (Response,),
}
_ARGUMENTS = {name: tuple(inspect.signature(getattr(specs, name)).parameters) for name in POLICIES}


class RunsHooks(Protocol):
    """The part of a runtime that chains need: waiting for an async implementation."""

    async def run_hook(self, coroutine: Any, step: Step) -> Any: ...


@frozen
class Step:
    """One implementation of one hook, with its arguments resolved."""

    plugin: str
    version: str
    hook: str
    function: Callable[..., Any]
    on_failure: str
    awaits: bool = False
    inline: bool = False
    owner: object = None

    def blame(self, what: str) -> str:
        """The beginning of every sentence about a fault of this step."""
        return f"plugin {f'{self.plugin} {self.version}'.rstrip()}: {self.hook} {what}"


Steps = tuple[Step, ...]


def compile_step(hook: str, plugin: str, version: str, method: Callable[..., Any], override: str | None) -> Step:
    """The step for *method*; what it does not name of the hook's arguments is left out when it is called."""
    return Step(
        plugin,
        version,
        hook,
        _positional(method, hook),
        override or POLICIES[hook].on_failure,
        inspect.iscoroutinefunction(method),
        getattr(method, "clippy_inline", False),
        getattr(method, "__self__", None),
    )


def _positional(method: Callable[..., Any], hook: str) -> Callable[..., Any]:
    """*method* as a function of all of the hook's arguments in their order; one by a former name gets the present."""
    offered, former = _ARGUMENTS[hook], POLICIES[hook].arguments
    names = inspect.signature(method).parameters
    present = (former[name].instead if name in former and name not in offered else name for name in names)
    wanted = tuple(name for name in present if name in offered)
    if wanted == offered:
        return method
    places = tuple(offered.index(name) for name in wanted)

    def call(*arguments: Any) -> Any:
        return method(*(arguments[place] for place in places))

    return call


@define(eq=False)
class Chains:
    """The compiled chains of one set of plugins.  A change of plugins makes a new Chains; this one is never changed."""

    steps: Mapping[str, Steps]
    faults: Faults = field(factory=Faults)
    trace: bool = False
    pre_request: Steps = field(init=False)
    cache_lookup: Steps = field(init=False)
    compress_context: Steps = field(init=False)
    pre_attempt: Steps = field(init=False)
    classify_error: Steps = field(init=False)
    post_attempt: Steps = field(init=False)
    on_error: Steps = field(init=False)
    on_chunk: Steps = field(init=False)
    on_response: Steps = field(init=False)
    cache_store: Steps = field(init=False)
    cache_invalidate: Steps = field(init=False)
    audit: Steps = field(init=False)
    observe: Steps = field(init=False)
    watchers: tuple[Callable[..., Any], ...] = field(init=False)
    every_call: bool = field(init=False)
    """Whether one of them wants to hear of hook calls that returned nothing, too."""
    timed: bool = field(init=False)
    idle: bool = field(init=False)
    want_answers: bool = field(init=False)
    _audiences: dict[tuple[bool, ...], tuple[tuple[bool, Steps], ...]] = field(init=False, factory=dict, repr=False)
    waiting: frozenset[str] = field(init=False)
    """The hooks with an ``async def`` implementation."""

    def __attrs_post_init__(self) -> None:
        for name, policy in POLICIES.items():
            if name in _REQUEST_HOOKS:
                steps = self.steps.get(name, ())
                setattr(self, name, tuple(reversed(steps)) if policy.order == "inner first" else steps)
        self.watchers = tuple(step.function for step in self.observe)
        self.every_call = any(getattr(step.owner, "observes_passed", True) for step in self.observe)
        self.timed = bool(self.trace or self.audit or self.observe)
        self.want_answers = bool(self.on_response or self.on_error or self.audit or self.post_attempt)
        self.waiting = frozenset(hook for hook, steps in self.steps.items() if any(step.awaits for step in steps))
        self.idle = not any(self.steps.get(name) for name in _REQUEST_HOOKS)

    def without(self, plugins: frozenset[str]) -> Chains:
        """These chains less some plugins."""
        kept = {hook: tuple(step for step in steps if step.plugin not in plugins) for hook, steps in self.steps.items()}
        return Chains(kept, self.faults, self.trace)

    def audiences(self, shown: tuple[bool, ...]) -> tuple[tuple[bool, Steps], ...]:
        """The steps of the audit chain in their order, those together that are *shown* content, or are not."""
        known = self._audiences.get(shown)
        if known is None:
            alike = groupby(zip(shown, self.audit, strict=True), itemgetter(0))
            known = tuple((content, tuple(step for _, step in steps)) for content, steps in alike)
            self._audiences[shown] = known
        return known

    # --- the three ways of combining ------------------------------------------------------------------------------

    async def fold(self, steps: Steps, value: Any, arguments: tuple[Any, ...], run: Run) -> Any:
        """Hand each step what the one before returned; None leaves it.  An Answer ends the fold."""
        while True:
            result, by = await self._until(steps, (value, *arguments), run)
            if by is None:
                return value
            value = result
            if type(result) is Answer:
                return value
            steps = _behind(steps, by)

    def first(self, steps: Steps, arguments: tuple[Any, ...], run: Run) -> Coroutine[Any, Any, tuple[Any, Any]]:
        """The first result that is not None, and who gave it; to be awaited."""
        return self._until(steps, arguments, run)

    async def all(self, steps: Steps, arguments: tuple[Any, ...], run: Run) -> None:
        """Call everyone, also when one of them raises; the first exception is raised when all were called."""
        raised: list[Exception] = []
        while steps:
            _, by = await self._until(steps, arguments, run, raised)
            steps = () if by is None else _behind(steps, by)
        if raised:
            raise raised[0]

    async def _until(
        self, steps: Steps, arguments: tuple[Any, ...], run: Run, raised: list[Exception] | None = None
    ) -> tuple[Any, Step | None]:
        """Call *steps* until one has a result; that and the step, or None twice when all were called.

        What a step raises that may not be skipped ends it, or is kept in *raised*.
        The one loop that runs hooks: what it does for a step is what a hook costs that does nothing.
        """
        disabled, ctx = self.faults.disabled, run.ctx
        trace = ctx.trace if ctx is not None and self.timed else None
        for step in steps:
            if disabled and step.plugin in disabled:
                continue
            start = perf_counter_ns() if trace is not None else 0
            run.at = step
            try:
                result = step.function(*arguments)
                if step.awaits:
                    result = await run.runtime.run_hook(result, step)
                if result is None:
                    if trace is not None:  # record(), and new_call(), written out for what nearly all hooks do
                        line, end = begun_call(), perf_counter_ns()
                        line.ns, line.at, line.calls = end - start, end, 1
                        line.plugin, line.hook, line.action = step.plugin, step.hook, "passed"
                        line.__class__ = HookCall
                        trace.append(line)
                        if self.every_call:
                            self.emit("hook", line, ctx)  # type: ignore[arg-type]  # there is no trace without one
                    continue
                if type(result) not in _MAY_RETURN.get(step.hook, ()):
                    _check(step, result)
            except Exception as error:
                try:
                    self._failed(step, error, start, run)
                except Exception as failure:
                    if raised is None:
                        raise
                    raised.append(failure)
                continue
            self.record(step, _ACTIONS.get(type(result), "changed"), start, run, result)
            return result, step
        return None, None

    def _failed(self, step: Step, error: Exception, start: int, run: Run) -> None:
        """A step raised: hand on what always passes, else act by its failure policy."""
        if isinstance(error, Refusal) or (isinstance(error, AttemptRefused) and step.hook == "pre_attempt"):
            self.record(step, type(error).__name__.lower(), start, run)
            raise error
        self.record(step, "failed", start, run)
        if step.on_failure == "raise":
            raise_failed(step, error)
        self.skip(step, error)

    def skip(self, step: Step, error: Exception) -> None:
        """Note a failure that is passed over; who is switched off by it watches no more either."""
        self.faults.note(step, error)
        self.watchers = tuple(one.function for one in self.observe if one.plugin not in self.faults.disabled)

    def record(self, step: Step, action: str, start: int, run: Run, result: object = None) -> None:
        """Add a line to the request's trace and tell the observers; outside a request nobody reads it."""
        if run.ctx is None:
            return
        end = perf_counter_ns() if start else 0
        run.ctx.trace.append(call := new_call(step.plugin, step.hook, action, end - start, end))
        if self.watchers:
            self.emit("hook", call, run.ctx, result)

    # --- chunks: the hot path -----------------------------------------------------------------------------------------

    def chunk(self, chunk: Chunk, ctx: RequestContext, times: ChunkTimes | None, start: int = 0) -> tuple[Chunk, ...]:
        """What the on_chunk chain makes of one chunk, from step *start* on."""
        steps = self.on_chunk[start:] if start else self.on_chunk
        disabled = self.faults.disabled
        for step in steps:
            if disabled and step.plugin in disabled:
                continue
            began = perf_counter_ns() if times is not None else 0
            try:
                result = step.function(chunk, ctx)
                if result is None and times is None:
                    continue
                if result is not None and type(result) is not Chunk:
                    _check_chunks(step, result)
            except Refusal:
                raise
            except Exception as error:
                if step.on_failure == "raise":
                    raise_failed(step, error)
                self.skip(step, error)
                continue
            if times is not None:
                times.add(step, perf_counter_ns() - began, result is not None)
            if result is None:
                continue
            if type(result) is Chunk:
                chunk = result
            else:
                behind = self.on_chunk.index(step) + 1
                return tuple(out for piece in result for out in self.chunk(piece, ctx, times, behind))
        return (chunk,)

    def emit(self, kind: EventKind, data: object, ctx: RequestContext, value: object = None) -> None:
        """Tell the observers."""
        if not self.watchers:
            return
        told = begun_event()
        told.kind, told.at, told.data, told.value = kind, int(ctx.clock.now() * 1e9), data, value
        told.__class__ = Event
        for watch in self.watchers:  # five of them are called two hundred times for one request
            try:
                watch(told, ctx)
            except Exception as error:
                self.skip(next(step for step in self.observe if step.function is watch), error)


@define(eq=False)
class Run:
    """Where a chain runs: a request's context (None outside of one), the runtime, the step that runs (for ``ask``)."""

    ctx: RequestContext | None
    runtime: RunsHooks
    at: Step | None = field(init=False, default=None)


@define(eq=False)
class ChunkTimes:
    """on_chunk is traced as one line for each plugin: calls, nanoseconds, and whether it changed anything."""

    lines: dict[str, tuple[int, int, bool]] = field(factory=dict)

    def add(self, step: Step, ns: int, changed: bool) -> None:
        calls, total, before = self.lines.get(step.plugin, (0, 0, False))
        self.lines[step.plugin] = (calls + 1, total + ns, before or changed)

    def calls(self) -> list[HookCall]:
        """The lines for the trace."""
        return [
            HookCall(plugin, "on_chunk", "changed" if changed else "passed", ns, calls)
            for plugin, (calls, ns, changed) in self.lines.items()
        ]


_REQUEST_HOOKS = frozenset(
    {
        "pre_request", "cache_lookup", "compress_context", "pre_attempt", "classify_error", "post_attempt", "on_error",
        "on_chunk", "on_response", "cache_store", "cache_invalidate", "audit", "observe",
    }
)  # fmt: skip

_ACTIONS: dict[type[Any], str] = {
    Answer: "answered", CacheEntry: "hit", Join: "joined", ErrorInfo: "classified", Retry: "retry", Switch: "switch",
    Restart: "restart", Stale: "stale", Continue: "continue",
}  # fmt: skip


def _behind(steps: Steps, step: Step) -> Steps:
    """What comes after *step*."""
    return steps[next(place for place, one in enumerate(steps, 1) if one is step) :]


def _check(step: Step, result: Any) -> None:
    allowed = _MAY_RETURN.get(step.hook)
    if allowed is not None and not isinstance(result, allowed):
        names = ", ".join(kind.__name__ for kind in allowed)
        hint = "; it is a coroutine: write async def" if inspect.iscoroutine(result) else ""
        if hint:
            result.close()
        what = step.blame(f"returned {type(result).__name__}; return {names} or None{hint}")
        raise PluginError(what, step.plugin, step.hook)


def _check_chunks(step: Step, result: Any) -> None:
    if not isinstance(result, list) or not all(type(piece) is Chunk for piece in result):
        what = step.blame(f"returned {type(result).__name__}; return a Chunk, a list of Chunks or None")
        raise PluginError(what, step.plugin, step.hook)
