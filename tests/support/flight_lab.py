"""Many callers of one host at once, in every colour, in front of a provider that says each piece when a test wants it.

A scenario is an async function over a :class:`Lab`, so that it is written once: under an event loop its callers are
tasks, in the sync colour they are threads and nothing in it suspends.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import httpx
from attrs import define, field
from clippy_hookspecs import AuditRecord, Join, Outcome, Request, RequestContext, hookimpl

import clippy_core
from clippy_core.driven import drive
from clippy_core.testing import VirtualClock
from clippy_core.wire import APIS
from clippy_core.wire.assemble import assemble_stream

PATIENCE = 60.0
"""Seconds after which a scenario that makes no progress has failed."""
URL = "http://fake.test/v1/chat/completions"
WORDS = ("one ", "two ", "three ", "four")


def events(words: Sequence[str] = WORDS, usage: bool = False) -> list[bytes]:
    """A streamed chat answer, event by event."""

    def data(**more: Any) -> bytes:
        body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", **more}
        return b"data: " + json.dumps(body).encode() + b"\n\n"

    def choice(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    told = [data(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})] if usage else []
    said = [data(**choice({"content": word})) for word in words]
    return [data(**choice({"role": "assistant"})), *said, data(**choice({}, "stop")), *told, b"data: [DONE]\n\n"]


def whole(words: Sequence[str] = WORDS) -> bytes:
    """The same in one piece."""
    message = {"role": "assistant", "content": "".join(words)}
    return json.dumps(
        {
            "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        }
    ).encode()  # fmt: skip


@define(eq=False)
class Exchange:
    """One request that reached the provider; ``said`` pieces of its answer may be read, None is all of them."""

    number: int
    body: dict[str, Any]
    pieces: list[bytes]
    status: int = 200
    said: int | None = 0
    head: bool = False
    breaks: Exception | None = None
    """Raised behind the last piece."""
    read: int = 0
    closed: int = 0

    @property
    def whole(self) -> bool:
        """Whether the answer was read; behind a stream's finish reason nothing is missing but its terminal event."""
        return self.read >= max(1, len(self.pieces) - 1)


@define(eq=False)
class Valve:
    """The provider: it says what a test lets it say; ``most`` is how many requests it served at once."""

    status: int = 200
    words: Sequence[str] = WORDS
    breaks: Exception | None = None
    free: bool = False
    exchanges: list[Exchange] = field(factory=list)
    most: int = 0
    _changed: threading.Condition = field(factory=threading.Condition)

    def open(self, request: httpx.Request) -> Exchange:
        body = json.loads(request.content)
        if self.status >= 400:
            pieces = [json.dumps({"error": {"message": "no", "type": "server_error"}}).encode()]
        else:
            usage = bool((body.get("stream_options") or {}).get("include_usage"))
            pieces = events(self.words, usage) if body.get("stream") else [whole(self.words)]
        with self._changed:
            exchange = Exchange(len(self.exchanges) + 1, body, pieces, self.status, breaks=self.breaks)
            exchange.said, exchange.head = (None, True) if self.free else (0, False)
            self.exchanges.append(exchange)
            self.most = max(self.most, sum(not (one.closed or one.whole) for one in self.exchanges))
        return exchange

    def close(self, exchange: Exchange) -> None:
        with self._changed:
            exchange.closed += 1
            self._changed.notify_all()

    def answer(self, number: int = 0) -> None:
        """Let the head of an exchange's answer be read."""
        self._say(lambda one: None, number)

    def say(self, count: int = 1, number: int = 0) -> None:
        """Let so many pieces more be read, of the newest exchange if no number is given."""

        def more(one: Exchange) -> None:
            one.said = (one.said or 0) + count

        self._say(more, number)

    def flow(self, number: int = 0) -> None:
        """Let all be read, of this exchange and, without a number, of all that come."""
        if not number:
            self.free = True

        def all_of_it(one: Exchange) -> None:
            one.said = None

        for one in self.exchanges if not number else [self.exchanges[number - 1]]:
            self._say(all_of_it, one.number)

    def _say(self, what: Callable[[Exchange], None], number: int) -> None:
        with self._changed:
            one = self.exchanges[number - 1]
            one.head = True
            what(one)
            self._changed.notify_all()

    # --- for the transports -------------------------------------------------------------------------------------------

    def blocked(self, ready: Callable[[], bool]) -> None:
        with self._changed:
            if not self._changed.wait_for(ready, PATIENCE):
                raise AssertionError("nobody lets the provider speak")

    @staticmethod
    async def suspended(ready: Callable[[], bool]) -> None:
        with anyio.fail_after(PATIENCE):
            await anyio.lowlevel.checkpoint()
            while not ready():
                await anyio.sleep(0.001)

    @staticmethod
    def may_read(exchange: Exchange) -> bool:
        return exchange.closed > 0 or exchange.said is None or exchange.read < exchange.said

    @staticmethod
    def piece(exchange: Exchange) -> bytes | None:
        if exchange.closed:
            raise httpx.ReadError("closed")
        if exchange.read == len(exchange.pieces):
            if exchange.breaks is not None:
                raise exchange.breaks
            return None
        exchange.read += 1
        return exchange.pieces[exchange.read - 1]

    def response(self, exchange: Exchange, stream: Any) -> httpx.Response:
        kind = "text/event-stream" if exchange.body.get("stream") and exchange.status < 400 else "application/json"
        return httpx.Response(exchange.status, headers={"content-type": kind, "x-request-id": "r1"}, stream=stream)


@define(eq=False)
class _Body(httpx.SyncByteStream):
    valve: Valve
    exchange: Exchange

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> bytes:
        self.valve.blocked(lambda: self.valve.may_read(self.exchange))
        piece = self.valve.piece(self.exchange)
        if piece is None:
            raise StopIteration
        return piece

    def close(self) -> None:
        self.valve.close(self.exchange)


@define(eq=False)
class _AsyncBody(httpx.AsyncByteStream):
    valve: Valve
    exchange: Exchange

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> bytes:
        try:
            await self.valve.suspended(lambda: self.valve.may_read(self.exchange))
        except BaseException:
            self.valve.close(self.exchange)  # as httpcore does when a read is cancelled
            raise
        piece = self.valve.piece(self.exchange)
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        self.valve.close(self.exchange)


@define(eq=False)
class _Transport(httpx.BaseTransport):
    valve: Valve

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        exchange = self.valve.open(request)
        self.valve.blocked(lambda: exchange.head)
        return self.valve.response(exchange, _Body(self.valve, exchange))


@define(eq=False)
class _AsyncTransport(httpx.AsyncBaseTransport):
    valve: Valve

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        exchange = self.valve.open(request)
        try:
            await self.valve.suspended(lambda: exchange.head)
        except BaseException:
            self.valve.close(exchange)
            raise
        return self.valve.response(exchange, _AsyncBody(self.valve, exchange))


@define(eq=False)
class Together:
    """Lets equal requests share a flight."""

    @hookimpl(trylast=True)
    def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> Join:
        return Join(key)


@define(eq=False)
class Witness:
    """Knows the context, the records and the ends of attempts of each caller, by the header that it sends."""

    contexts: dict[str, RequestContext] = field(factory=dict)
    records: dict[str, list[AuditRecord]] = field(factory=dict)
    attempts: list[str] = field(factory=list)
    observes_only = True

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        self.contexts[request.headers.get("x-caller", "")] = ctx

    @hookimpl
    def post_attempt(self, outcome: Outcome) -> None:
        self.attempts.append(outcome.state)

    @hookimpl
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        name = next((name for name, one in self.contexts.items() if one is ctx), "")
        self.records.setdefault(name, []).append(record)


@define(eq=False)
class Call:
    """One caller: what it got so far.  ``allowed`` pieces may be taken; None is all."""

    name: str
    lab: Lab
    body: dict[str, Any]
    allowed: int | None = None
    pieces: list[bytes] = field(factory=list)
    status: int = 0
    error: BaseException | None = None
    done: bool = False
    leaving: bool = False
    _scope: Any = None

    @property
    def text(self) -> str:
        """What the answer says."""
        if self.body.get("stream"):
            return assemble_stream(APIS["openai.chat"], self.pieces).text
        found: str = json.loads(b"".join(self.pieces))["choices"][0]["message"]["content"]
        return found

    @property
    def record(self) -> AuditRecord:
        """Its only audit record."""
        (record,) = self.lab.witness.records[self.name]
        return record

    def take(self, count: int = 1) -> None:
        """Let the caller take more pieces."""
        self.allowed = (self.allowed or 0) + count

    def go_on(self) -> None:
        """Let it read to the end."""
        self.allowed = None

    def leave(self) -> None:
        """Have it close its answer before the next piece."""
        self.leaving = True

    def cancel(self) -> None:
        """Cancel its task; a thread's by its flow."""
        if self._scope is not None:
            self._scope.cancel()
        else:
            self.lab.witness.contexts[self.name].flow.cancel("by the test")

    def _may_take(self) -> bool:
        return self.leaving or self.allowed is None or len(self.pieces) < self.allowed

    def run(self) -> None:
        try:
            with self.lab.http.stream("POST", URL, json=self.body, headers=self._headers()) as response:
                self.status = response.status_code
                pieces = response.iter_raw()
                while True:
                    self.lab.block(self._may_take)
                    if self.leaving or (piece := next(pieces, None)) is None:
                        break
                    self.pieces.append(piece)
        except Exception as error:
            self.error = error
        finally:
            self.done = True

    async def arun(self) -> None:
        try:
            with anyio.CancelScope() as self._scope:
                # Not by httpx's client, whose async generators complain when they are left in the middle.
                request = httpx.Request("POST", URL, json=self.body, headers=self._headers())
                response = await self.lab.http.handle_async_request(request)
                try:
                    self.status = response.status_code
                    pieces = aiter(response.stream)
                    while True:
                        await self.lab.until(self._may_take)
                        if self.leaving or (piece := await anext(pieces, None)) is None:
                            break
                        self.pieces.append(piece)
                finally:
                    await response.aclose()
        except Exception as error:
            self.error = error
        finally:
            self.done = True

    def _headers(self) -> dict[str, str]:
        return {"authorization": "Bearer sk-test", "x-caller": self.name, **self.lab.headers.get(self.name, {})}


@define(eq=False)
class Lab:
    """A host with these plugins, and its callers."""

    colour: str
    plugins: dict[str, object] = field(factory=dict)
    valve: Valve = field(factory=Valve)
    config: dict[str, Any] = field(factory=dict)
    headers: dict[str, dict[str, str]] = field(factory=dict)
    clock: VirtualClock | None = None
    nested: bool = False
    """Its plugins ask for themselves as well, which are no calls of the lab's."""
    witness: Witness = field(factory=Witness)
    calls: list[Call] = field(factory=list)
    host: Any = None
    http: Any = None
    _threads: list[threading.Thread] = field(factory=list)
    _tasks: Any = None

    def run(self, scenario: Callable[[Lab], Awaitable[None]]) -> Lab:
        """Run *scenario*, wait for all callers, and see that every book is closed."""
        plugins = {"together": Together(), **self.plugins, "zz-witness": self.witness}
        self.host = clippy_core.Host(plugins, config=self.config, clock=self.clock)
        if self.colour == "sync":
            with self.host, self.host.wrap(httpx.Client(transport=_Transport(self.valve))) as self.http:
                drive(self._play(scenario))  # type: ignore[arg-type]
        else:
            anyio.run(self._arun, scenario, backend=self.colour)
        self.check()
        return self

    async def _arun(self, scenario: Callable[[Lab], Awaitable[None]]) -> None:
        async with self.host:
            self.http = clippy_core.async_transport(self.host, module=httpx, inner=_AsyncTransport(self.valve))
            async with anyio.create_task_group() as self._tasks:
                await self._play(scenario)

    async def _play(self, scenario: Callable[[Lab], Awaitable[None]]) -> None:
        await scenario(self)
        await self.until(lambda: all(call.done for call in self.calls))
        await self.until(lambda: all(one.closed for one in self.valve.exchanges))
        await self.until(lambda: not self.flights)

    def check(self) -> None:
        """One record for each caller, each attempt ended once, each connection closed, and no flight left."""
        if self.nested:
            return
        assert {name: len(records) for name, records in self.witness.records.items()} == {
            call.name: 1 for call in self.calls
        }
        assert len(self.witness.attempts) == sum(len(call.record.attempts) for call in self.calls)
        assert [] == [one.number for one in self.valve.exchanges if not one.closed]
        assert {} == self.flights

    @property
    def flights(self) -> dict[str, Any]:
        """The flights under way."""
        found: dict[str, Any] = self.host._own.begin_flights()._flights
        return found

    @property
    def waiting(self) -> int:
        """How many callers are in a flight which they do not lead."""
        return sum(len(flight.waiting) + len(flight.aboard) for flight in [*self.flights.values()])

    def call(self, *, stream: bool = False, allowed: int | None = None, **body: Any) -> Call:
        """Start a caller."""
        said = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0}
        call = Call(str(len(self.calls)), self, {**said, "stream": stream, **body}, allowed)
        self.calls.append(call)
        if self._tasks is not None:
            self._tasks.start_soon(call.arun)
        else:
            thread = threading.Thread(target=call.run, daemon=True)
            self._threads.append(thread)
            thread.start()
        return call

    async def until(self, ready: Callable[[], bool]) -> None:
        """Let the callers go on until *ready*."""
        if self._tasks is None:
            return self.block(ready)
        end = time.monotonic() + PATIENCE
        await anyio.lowlevel.checkpoint()
        while not ready():
            if time.monotonic() > end:
                raise AssertionError(f"this never came true: {self._state()}")
            await anyio.sleep(0.0005)
        return None

    def block(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not ready():
            if time.monotonic() > end:
                raise AssertionError(f"this never came true: {self._state()}")
            time.sleep(0.0005)

    def _state(self) -> str:
        calls = [(call.name, call.done, len(call.pieces), call.error) for call in self.calls]
        asked = [(one.number, one.read, one.said, one.closed) for one in self.valve.exchanges]
        return f"callers {calls}, exchanges {asked}, flights {self.flights}"

    async def asked(self, count: int = 1) -> None:
        """Until so many requests have reached the provider."""
        await self.until(lambda: len(self.valve.exchanges) >= count)

    async def finished(self, *calls: Call) -> None:
        """Until these callers have their answers."""
        await self.until(lambda: all(call.done for call in calls))
