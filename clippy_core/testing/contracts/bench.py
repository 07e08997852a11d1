"""A plugin in a host over a fake provider, called in one colour, with everything that came of it on record."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import anyio
import httpx
from attrs import define, field, frozen
from clippy_hookspecs import (
    AuditRecord,
    CacheEntry,
    Chunk,
    Headers,
    RequestContext,
    Response,
    RouteInfo,
    Scope,
    hookimpl,
)
from clippy_hookspecs.stored import undecoded_entry

from ...client import AsyncClient, Client
from ...flow import FlowHandle
from ...host import Host
from ..clock import VirtualClock
from ..provider import FakeProvider

ROUTE = {"base_url": "http://fake.test/v1", "key": "sk-of-the-route", "model": "test-model"}
_LETTERS = [letter for letter in map(chr, range(32, 127)) if letter not in '"\\\\']
JSON = Headers([("content-type", "application/json")])
PATHS = {"openai.chat": "/chat/completions", "openai.responses": "/responses", "anthropic.messages": "/messages"}


def colours() -> tuple[str, ...]:
    """The colours that can be tried here: trio only where it is installed."""
    try:
        import trio  # noqa: F401
    except ImportError:
        return "sync", "asyncio"
    return "sync", "asyncio", "trio"


@define(eq=False)
class Witness:
    """Remembers every audit record, and changes nothing."""

    observes_only = True
    records: list[AuditRecord] = field(factory=list)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord) -> None:
        self.records.append(record)


@define(eq=False)
class Got:
    """What a caller got.  Of a stream also its chunks; of an HTTP client its status and the pieces of the body."""

    text: str = ""
    error: BaseException | None = None
    chunks: list[Chunk] = field(factory=list)
    response: Response | None = None
    status: int = 0
    headers: Mapping[str, str] = field(factory=dict)
    pieces: list[bytes] = field(factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def cached(self) -> bool:
        """Whether a whole answer came from a cache."""
        return self.response is not None and self.response.provenance.source == "cache"

    @property
    def outcome(self) -> tuple[str, str, str]:
        """What a caller sees, in a form that can be compared: text, kind of failure, finish reason."""
        info = getattr(self.error, "info", None)
        failure = type(self.error).__name__ if self.error is not None else ""
        finish = self.response.finish_reason if self.response is not None else ""
        finish = next((chunk.finish_reason for chunk in self.chunks if chunk.finish_reason), finish)
        return self.text, f"{failure} {info.category if info else ''}".strip(), finish or ""


@frozen(eq=False, init=False)
class Bench:
    """A host with *plugins* over a provider with *script*, called in *colour* (sync, asyncio or trio).

    ``clock`` is the time of both.  ``records`` are the audit records so far.  Scopes: ``with bench.host.scope(...)``.
    """

    clock: VirtualClock
    provider: FakeProvider
    host: Host
    colour: str
    witness: Witness = field(factory=Witness)

    def __init__(
        self,
        plugins: Mapping[str, object],
        script: Any = None,
        *,
        clock: VirtualClock | None = None,
        colour: str = "sync",
        **config: Any,
    ) -> None:
        clock = clock or VirtualClock()
        provider = FakeProvider(script, clock=clock)
        witness = Witness()
        config = {"routes": {"main": ROUTE}, **config}
        host = Host({**plugins, "zz-witness": witness}, config=config, clock=clock)
        self.__attrs_init__(clock, provider, host, colour, witness)

    @property
    def records(self) -> list[AuditRecord]:
        return self.witness.records

    @property
    def blamed(self) -> list[str]:
        """Hooks of the tested plugins that raised and were skipped, ``plugin: hook`` each."""
        return [f"{plugin}: {hook}" for plugin, hook in self.host.faults.counts if plugin != "zz-witness"]

    def close(self) -> None:
        """Close the host."""
        self.host.close()

    def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """An async function in this bench's colour; asyncio for sync."""
        return anyio.run(work, *arguments, backend="asyncio" if self.colour == "sync" else self.colour)

    # --- calls of our own client --------------------------------------------------------------------------------------

    def chat(self, messages: Any = "Hello", **params: Any) -> Got:
        """A plain call."""
        got = Got()
        if self.colour == "sync":
            with Client(self.host, self.http()) as client:
                try:
                    got.response = client.chat(messages, **params)
                except Exception as error:
                    got.error = error
        else:
            self.run(self._chat, got, messages, params)
        got.text = got.response.text if got.response is not None else ""
        return got

    async def _chat(self, got: Got, messages: Any, params: Mapping[str, Any]) -> None:
        async with AsyncClient(self.host, self.http()) as client:
            try:
                got.response = await client.chat(messages, **params)
            except Exception as error:
                got.error = error

    def stream(self, messages: Any = "Hello", *, stop_after: int | None = None, **params: Any) -> Got:
        """A streamed call, read to its end, or left after *stop_after* pieces of text."""
        got = Got()
        if self.colour == "sync":
            self._stream(got, messages, stop_after, params)
        else:
            self.run(self._astream, got, messages, stop_after, params)
        got.text = "".join(chunk.delta for chunk in got.chunks if chunk.kind == "text" and chunk.choice == 0)
        return got

    def _stream(self, got: Got, messages: Any, stop_after: int | None, params: Mapping[str, Any]) -> None:
        with Client(self.host, self.http()) as client:
            try:
                with client.stream(messages, **params) as stream:
                    for chunk in stream:
                        got.chunks.append(chunk)
                        if _left(got.chunks, stop_after):
                            break
            except Exception as error:
                got.error = error

    async def _astream(self, got: Got, messages: Any, stop_after: int | None, params: Mapping[str, Any]) -> None:
        async with AsyncClient(self.host, self.http()) as client:
            try:
                async with await client.stream(messages, **params) as stream:
                    async for chunk in stream:
                        got.chunks.append(chunk)
                        if _left(got.chunks, stop_after):
                            break
            except Exception as error:
                got.error = error

    # --- calls as an SDK makes them -----------------------------------------------------------------------------------

    def http(self) -> Any:
        """An HTTP client over the provider, in this bench's colour, without the host."""
        return self.provider.client() if self.colour == "sync" else self.provider.async_client()

    def post(self, path: str, body: bytes | Mapping[str, Any], *, method: str = "POST", **headers: str) -> Got:
        """One request of an HTTP client under the host, *body* as bytes or as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-type": "application/json", "authorization": "Bearer sk-of-the-caller", **headers}
        request = {"content": content, "headers": given}
        got = Got()
        url = f"http://fake.test/v1{path}"
        if self.colour == "sync":
            with self.host.wrap(self.http()) as client:
                try:
                    with client.stream(method, url, **request) as response:
                        got.status, got.headers = response.status_code, dict(response.headers)
                        got.pieces.extend(response.iter_raw())
                except (httpx.HTTPError, httpx.StreamError) as error:
                    got.error = error
        else:
            self.run(self._post, got, method, url, request)
        return got

    async def _post(self, got: Got, method: str, url: str, request: Mapping[str, Any]) -> None:
        async with self.host.wrap(self.http()) as client:
            try:
                async with client.stream(method, url, **request) as response:
                    got.status, got.headers = response.status_code, dict(response.headers)
                    async for piece in response.aiter_raw():
                        got.pieces.append(piece)
            except (httpx.HTTPError, httpx.StreamError) as error:
                got.error = error


def _left(chunks: Sequence[Chunk], stop_after: int | None) -> bool:
    return stop_after is not None and sum(c.kind == "text" and bool(c.delta) for c in chunks) >= stop_after


def body_for(api: str, text: str, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """A request's body in one wire API."""
    turns = [{"role": "user", "content": text}]
    said = {"input": turns} if api == "openai.responses" else {"messages": turns}
    return {"model": "test-model", "max_tokens": 64, **said, **({"stream": True} if stream else {}), **more}


def noise(size: int, seed: object = 0) -> str:
    """*size* letters that no cache can keep in less than four fifths of their bytes; for one *seed* always the same.

    Of random printable ASCII each letter carries 6.5 bits, and JSON writes other letters longer.
    """
    return "".join(Random(str(seed)).choices(_LETTERS, k=size))


def entry_of(
    text: str,
    now: float,
    *,
    headers: Headers = JSON,
    events: tuple[bytes, ...] = (),
    expires_at: float | None = None,
    tags: tuple[str, ...] = (),
) -> CacheEntry:
    """A stored answer of the OpenAI chat API as a host would hand it to a cache at *now* (unix seconds)."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()
    return undecoded_entry(body, "openai.chat", 200, headers, events, now, expires_at, tags, "req-1")


def context(host: Host, scope: Scope | None = None, **more: Any) -> RequestContext:
    """A request's context on *host*, for hooks that a suite calls directly."""
    ctx = RequestContext(
        id=more.pop("id", "check"),
        scope=scope or Scope(),
        clock=host.clock,
        services=host.services,
        route=RouteInfo("main", "openai.chat", "http://fake.test/v1"),
        flow=FlowHandle(),
    )
    for name, value in more.items():
        setattr(ctx, name, value)
    return ctx
