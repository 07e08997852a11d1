"""The least that a call under plugins can cost in pure Python: straight-line programs that do what DESIGN.md demands.

python -m benchmarks.instructions --only floor-every,floor-stack

Each case does one thing more than the one before, so that the difference is what that thing costs; the last of them is
the floor, and the host itself stands behind it.  Nothing here can be configured, switched off or traced to a plugin;
what happens when something fails is left out, but for the ``try`` around each hook and the test whether it did.  A
program with the same hooks that does less than this leaves out something that the contract promises.

What the default stack does behind the call in threads is done here in the call, in batches of fixed numbers of calls,
as if 100 of them came in a second; its own threads are paced in the same way (:mod:`benchmarks.pace`).
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic, perf_counter_ns, time
from typing import Any

import httpx
import orjson
from attrs import define, field
from clippy_hookspecs import (
    Event,
    Headers,
    HookCall,
    Request,
    RequestContext,
    Response,
    Usage,
)
from clippy_hookspecs.blocks import draft

from benchmarks import hosts
from benchmarks.bench import BARE, EVERY, STACK, Bench
from benchmarks.calls import CALL_BARS, post
from benchmarks.floor_plugins import Plugins
from benchmarks.floor_steps import (
    ASKED,
    BOOKS,
    EVENTS,
    EVERY_STEPS,
    FIELDS,
    HOOKS,
    KEY,
    LINES,
    OBSERVERS,
    SQLITE,
    STACK_STEPS,
    TIMES,
    VALUES,
)
from benchmarks.floor_values import AROUND, CHAT, CLOCK, ROUTE, SCOPE, nothing
from benchmarks.pace import Whole
from clippy_core.flow import FlowHandle
from clippy_core.records import new_attempt, new_entry, new_outcome, new_provenance, new_record
from clippy_core.testing.timing import Block, Group

_Call, _Event = draft(HookCall), draft(Event)
_NOT_STORED = frozenset({b"content-length", b"date", b"connection", b"set-cookie", b"content-encoding"})
_ABSENT: Any = object()
CALLED_STACK = {
    "pre_request": 5, "cache_lookup": 3, "compress_context": 3, "pre_attempt": 6, "on_response": 1, "post_attempt": 3,
    "cache_store": 3, "audit": 5,
}  # fmt: skip
"""How many plugins of the default stack are called for a call that goes well, as its trace says."""
_CALLED_EVERY = tuple(CALLED_STACK)


@define(eq=False)
class Floor(httpx.BaseTransport):
    """Five plugins in every hook (``hooks`` by name, ``observers``), hand-inlined, up to and with ``last``."""

    inner: httpx.BaseTransport
    last: int
    hooks: Mapping[str, tuple[tuple[str, str, Callable[..., Any]], ...]]
    observers: tuple[Callable[..., Any], ...]
    plugins: Plugins | None = None
    faults: list[Exception] = field(factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        last, hooks, plugins, ctx, asked, key = self.last, self.hooks, self.plugins, None, None, ""
        body = request.read()
        began, began_at = monotonic(), time()
        if last >= VALUES:
            flow = FlowHandle(monotonic)
            identity = os.urandom(8).hex()
            ctx = RequestContext(identity, SCOPE, CLOCK, None, ROUTE, flow)  # type: ignore[arg-type]
            asked = Request.undecoded(
                nothing,
                body,
                api="openai.chat",
                endpoint=CHAT,
                url=str(request.url),
                headers=Headers.undecoded(request.headers.raw),
            )
        trace: list[HookCall] = ctx.trace if ctx is not None else []
        self._tell("request", asked, ctx)
        self._run(hooks["pre_request"], ctx, trace, asked)
        if plugins is not None:
            plugins.begin(request.headers.raw, asked.url, body)  # type: ignore[union-attr]
        if last >= KEY:
            said = orjson.loads(body)
            said.pop("stream", None)
            canonical = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
            key = hashlib.sha256(b"".join((b"[", AROUND, b",", canonical, b"]"))).hexdigest()
            ctx.key = key  # type: ignore[union-attr]
        self._run(hooks["cache_lookup"], ctx, trace, key, asked)
        if plugins is not None:
            plugins.look_up(key, said, canonical)
        self._run(hooks["compress_context"], ctx, trace, asked, None)
        self._run(hooks["pre_attempt"], ctx, trace, asked)
        self._tell("attempt", asked, ctx)
        answer = self.inner.handle_request(request)
        first_token = monotonic() - began
        stream = answer.stream
        self._tell("head", answer.status_code, ctx)
        if last < ASKED:
            data = b"".join(stream)  # type: ignore[arg-type]
        else:
            pieces = []
            for piece in stream:  # type: ignore[union-attr]
                assert flow.cancel_reason is None  # type: ignore[union-attr]  # by whatever thread (DESIGN.md, 3)
                pieces.append(piece)
            data = b"".join(pieces)
        stream.close()  # type: ignore[union-attr]
        self._tell("bytes", data, ctx)
        answer.stream = httpx.ByteStream(data)
        response: Any = None
        if last >= VALUES:
            answer.extensions["clippy"] = ctx
            response = Response.undecoded(
                nothing, data, api="openai.chat", headers=Headers.undecoded(answer.headers.raw)
            )
        self._run(hooks["on_response"], ctx, trace, response)
        outcome, entry, usage, end, duration = None, None, None, None, monotonic() - began
        if last >= BOOKS:
            told = orjson.loads(data)
            counts, choices = told["usage"], told["choices"]
            usage = Usage(counts["prompt_tokens"], counts["completion_tokens"])
            end = choices[0]["finish_reason"]
            outcome = new_outcome("ok", None, 200, usage, duration, first_token)
        self._tell("closed", outcome, ctx)
        self._run(hooks["post_attempt"], ctx, trace, outcome)
        if last >= BOOKS and end == "stop" and not choices[0]["message"]["refusal"]:
            kept = Headers.undecoded(keepable(answer.headers.raw))
            clean = Response.undecoded(nothing, data, api="openai.chat", headers=kept)
            entry = new_entry(clean, (), began_at, None, (), identity)
        self._run(hooks["cache_store"], ctx, trace, key, entry, asked)
        if plugins is not None:
            plugins.store(key, entry, said, told, data, began_at, duration, usage)
        record = None
        if last >= BOOKS:
            record = new_record(
                identity, "answered", began_at, monotonic() - began, "openai.chat", "POST",
                asked.url, said["model"], False, SCOPE, "main", None, 200,  # type: ignore[union-attr]
                (new_attempt(1, "main", 200, None, 0.0, duration),), usage, end, first_token,
                new_provenance("provider", None, "main"), None, tuple(trace),
            )  # fmt: skip
        self._run(hooks["audit"], ctx, trace, record)
        if plugins is not None:
            plugins.audit(record)
        if last >= VALUES:
            flow.enter("completed")
        return answer

    def _run(
        self, steps: Any, ctx: Any, trace: list[HookCall], first: Any, second: Any = _ABSENT, third: Any = _ABSENT
    ) -> None:
        """One hook by all plugins; all that is done for a step stands in this loop."""
        last, observers = self.last, self.observers
        for plugin, hook, function in steps:
            start = perf_counter_ns() if last >= TIMES else 0
            try:
                if second is _ABSENT:
                    result = function(first, ctx)
                elif third is _ABSENT:
                    result = function(first, second, ctx)
                else:
                    result = function(first, second, third, ctx)
            except Exception as error:
                self.faults.append(error)
                continue
            if result is not None or last < OBSERVERS:
                continue
            line = event = None
            if last >= LINES:
                ns = perf_counter_ns() - start
                line = _Call()
                line.plugin, line.hook, line.action, line.ns, line.calls = plugin, hook, "passed", ns, 1
                line.__class__ = HookCall
                trace.append(line)
            elif last >= TIMES:
                perf_counter_ns()
            if not observers:
                continue
            if last >= EVENTS:
                event = _Event()
                event.kind, event.at, event.data, event.value = "hook", int(monotonic() * 1e9), line, None
                event.__class__ = Event
            for observe in observers:
                try:
                    observe(event, ctx)
                except Exception as error:
                    self.faults.append(error)

    def _tell(self, kind: str, data: Any, ctx: Any) -> None:
        """The observers, of what is no hook."""
        if self.last < OBSERVERS or not self.observers:
            return
        event = None
        if self.last >= EVENTS:
            event = _Event()
            event.kind, event.at, event.data, event.value = kind, int(monotonic() * 1e9), data, None
            event.__class__ = Event
        for observe in self.observers:
            try:
                observe(event, ctx)
            except Exception as error:
                self.faults.append(error)

    def close(self) -> None:
        self.inner.close()


def keepable(pairs: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers that a stored answer has."""
    return [pair for pair in pairs if pair[0].lower() not in _NOT_STORED]


def floor_every(bench: Bench) -> Group:
    """From the bare call to five plugins in every hook, step by step; then the host's."""
    plugins = {name: hosts.EveryHook() for name in hosts.several(hosts.EveryHook, 5)}
    observers = tuple(plugin.observe for plugin in plugins.values())
    called = {
        hook: tuple((name, hook, getattr(plugin, hook)) for name, plugin in plugins.items()) for hook in _CALLED_EVERY
    }
    cases = {BARE: _lazily(lambda: bench.block(post(bench, httpx, None, False), False))}
    for last, name in EVERY_STEPS.items():
        hooks = called if last >= HOOKS else dict.fromkeys(called, ())
        cases[name] = _floor(bench, partial(Floor, last=last, hooks=hooks, observers=observers))
    cases[EVERY] = _host(bench, lambda: hosts.several(hosts.EveryHook, 5))
    bars = dict.fromkeys((EVERY_STEPS[BOOKS], EVERY), CALL_BARS[EVERY])
    return Group("the floor of 5 plugins in every hook", cases, bars, per_block=12)


def floor_stack(bench: Bench) -> Group:
    """The same for the default stack; its plugins are written out, their hooks' calls are no-ops beside that."""
    quiet = hosts.EveryHook()
    called = {
        hook: tuple((f"plugin-{number}", hook, getattr(quiet, hook)) for number in range(count))
        for hook, count in CALLED_STACK.items()
    }
    cases = {BARE: _lazily(lambda: bench.block(post(bench, httpx, None, False), False))}
    for last, name in STACK_STEPS.items():
        hooks = called if last >= HOOKS else dict.fromkeys(called, ())
        block = _floor(bench, partial(_stack_floor, bench, last=last, hooks=hooks))
        cases[name] = Whole(block) if last >= SQLITE else block
    (place := bench.folder / "floor-host").mkdir(exist_ok=True)
    cases[STACK] = Whole(_host(bench, lambda: hosts.default_stack(place)))
    bars = dict.fromkeys((STACK_STEPS[FIELDS], STACK), CALL_BARS[STACK])
    return Group("the floor of the default stack", cases, bars, per_block=12)


def _stack_floor(bench: Bench, last: int, **rest: Any) -> Floor:
    (place := bench.folder / f"floor-{last}").mkdir(exist_ok=True)
    return Floor(last=last, observers=(), plugins=Plugins(place, last) if last >= BOOKS else None, **rest)


def _lazily(made: Callable[[], Block]) -> Block:
    """A block that is made when it is first wanted: each is counted in a process of its own, which needs no other."""
    known = functools.cache(made)
    return lambda times: known()(times)


def _host(bench: Bench, plugins: Callable[[], Mapping[str, object]]) -> Block:
    def block() -> Block:
        host = bench.host(plugins())
        return bench.block(post(bench, httpx, host, False), False, host)

    return _lazily(block)


def _floor(bench: Bench, made: Callable[..., Floor]) -> Block:
    def block() -> Block:
        inner = httpx.HTTPTransport(verify=hosts.tls(httpx), trust_env=False)
        client = bench.stack.enter_context(hosts.sync_client(httpx, None, made(inner=inner)))
        url = bench.server.chat_url

        def call() -> None:
            assert client.post(url, json=hosts.body()).json()["choices"]

        return bench.block(call, False)

    return _lazily(block)
