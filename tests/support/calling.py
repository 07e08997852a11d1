"""One way to call a host in every colour, so that each behaviour is written down once, and plugins to watch it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import anyio
from attrs import define, field
from clippy_hookspecs import (
    AuditRecord,
    CacheEntry,
    Chunk,
    ErrorInfo,
    Outcome,
    Prices,
    RequestContext,
    Response,
    Retry,
    ServiceRegistry,
    Usage,
    hookimpl,
)

import clippy_core
from clippy_core.testing import FakeProvider, VirtualClock

ROUTE = {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "test-model"}
COLOURS = ("sync", "asyncio", "trio")
WAY_IN = ["pre_request", "cache_lookup", "compress_context"]


@define(eq=False)
class Records:
    """An audit plugin that remembers."""

    records: list[AuditRecord] = field(factory=list)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self.records.append(record)

    @property
    def last(self) -> AuditRecord:
        return self.records[-1]

    @property
    def outcomes(self) -> list[str]:
        return [record.outcome for record in self.records]


@define(eq=False)
class Priced:
    """A price list: dollars for each token, by model."""

    per_token: Mapping[str, float]

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        services.offer(Prices, self)

    def cost(self, model: str, usage: Usage) -> float | None:
        price = self.per_token.get(model)
        return None if price is None else price * usage.total


@define(eq=False)
class Calls:
    """A plugin that notes each hook it was called for, and decides nothing."""

    hooks: list[str] = field(factory=list)

    @hookimpl
    def pre_request(self, request: Any, ctx: RequestContext) -> None:
        self.hooks.append("pre_request")

    @hookimpl
    def cache_lookup(self, key: str) -> None:
        self.hooks.append("cache_lookup")

    @hookimpl
    def compress_context(self, budget: int | None) -> None:
        self.hooks.append("compress_context")

    @hookimpl
    def pre_attempt(self) -> None:
        self.hooks.append("pre_attempt")

    @hookimpl
    def classify_error(self, failure: Any) -> None:
        self.hooks.append("classify_error")

    @hookimpl
    def post_attempt(self, outcome: Outcome) -> None:
        self.hooks.append(f"post_attempt {outcome.state}")

    @hookimpl
    def on_error(self, error: Any) -> None:
        self.hooks.append("on_error")

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> None:
        if "on_chunk" not in self.hooks:
            self.hooks.append("on_chunk")
        if chunk.kind == "end":
            self.hooks.append(f"end {chunk.reason}")

    @hookimpl
    def on_response(self, response: Response) -> None:
        self.hooks.append("on_response")

    @hookimpl
    def cache_store(self, key: str) -> None:
        self.hooks.append("cache_store")

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        self.hooks.append(f"audit {record.outcome}")


@define(eq=False)
class Read:
    """What a caller got: of a stream its pieces, and the exception that ended it."""

    text: str = ""
    error: BaseException | None = None
    chunks: list[Chunk] = field(factory=list)
    response: Response | None = None


@define(eq=False)
class Sent:
    """What an HTTP client got, on the wire."""

    status: int = 0
    headers: dict[str, str] = field(factory=dict)
    pieces: list[bytes] = field(factory=list)
    error: BaseException | None = None
    extensions: Mapping[str, Any] = field(factory=dict)

    def head(self, response: Any) -> None:
        self.status, self.headers = response.status_code, dict(response.headers)
        self.extensions = response.extensions

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


@define(eq=False)
class Caller:
    """Calls a host through our own client in one colour and one HTTP module; the provider is in process."""

    colour: str
    module: ModuleType
    clock: VirtualClock = field(factory=VirtualClock)
    provider: FakeProvider = field(init=False)
    host: clippy_core.Host = field(init=False)
    records: Records = field(factory=Records)

    def start(
        self,
        plugins: Sequence[object] | Mapping[str, object] = (),
        script: Any = None,
        *,
        clock: VirtualClock | None = None,
        record: bool = True,
        **config: Any,
    ) -> Caller:
        """A host with these plugins in front of a provider with this script."""
        self.provider = FakeProvider(script, clock=self.clock)
        named = dict(plugins) if isinstance(plugins, Mapping) else {_name(plugin): plugin for plugin in plugins}
        config = {"routes": {"main": ROUTE}, **config}
        if record:
            named["zz-records"] = self.records
        self.host = clippy_core.Host(named, config=config, clock=clock or self.clock)
        return self

    def chat(self, messages: Any = "Hello", **params: Any) -> Response:
        """One plain call; raises what the client raises."""
        if self.colour == "sync":
            with clippy_core.Client(self.host, self._http()) as client:
                return client.chat(messages, **params)

        async def call() -> Response:
            async with clippy_core.AsyncClient(self.host, self._http()) as client:
                return await client.chat(messages, **params)

        return anyio.run(call, backend=self.colour)

    def stream(self, messages: Any = "Hello", *, stop_after: int | None = None, **params: Any) -> Read:
        """One streamed call, read to its end or for *stop_after* pieces of text and then closed."""
        read = Read()
        if self.colour == "sync":
            self._stream(read, messages, stop_after, params)
        else:
            anyio.run(self._astream, read, messages, stop_after, params, backend=self.colour)
        read.text = "".join(chunk.delta for chunk in read.chunks if chunk.kind == "text")
        return read

    def _stream(self, read: Read, messages: Any, stop_after: int | None, params: Mapping[str, Any]) -> None:
        with clippy_core.Client(self.host, self._http()) as client:
            try:
                with client.stream(messages, **params) as stream:
                    for chunk in stream:
                        read.chunks.append(chunk)
                        if stop_after is not None and _texts(read) >= stop_after:
                            break
            except Exception as error:
                read.error = error

    async def _astream(self, read: Read, messages: Any, stop_after: int | None, params: Mapping[str, Any]) -> None:
        async with clippy_core.AsyncClient(self.host, self._http()) as client:
            try:
                async with await client.stream(messages, **params) as stream:
                    async for chunk in stream:
                        read.chunks.append(chunk)
                        if stop_after is not None and _texts(read) >= stop_after:
                            break
            except Exception as error:
                read.error = error

    def send(
        self, method: str = "POST", path: str = "/chat/completions", *, bare: bool = False, **request: Any
    ) -> Sent:
        """One request by a client of the HTTP module itself, under the host or *bare*."""
        url = f"http://fake.test/v1{path}"
        if self.colour == "sync":
            with self._http() if bare else self.host.wrap(self._http()) as client:
                return self._send(client, method, url, request)
        return anyio.run(self._asend, bare, method, url, request, backend=self.colour)

    def _send(self, client: Any, method: str, url: str, request: Mapping[str, Any]) -> Sent:
        sent = Sent()
        try:
            with client.stream(method, url, **request) as response:
                sent.head(response)
                for piece in response.iter_raw():
                    sent.pieces.append(piece)
        except Exception as error:
            sent.error = error
        return sent

    async def _asend(self, bare: bool, method: str, url: str, request: Mapping[str, Any]) -> Sent:
        sent = Sent()
        async with self._http() if bare else self.host.wrap(self._http()) as client:
            try:
                async with client.stream(method, url, **request) as response:
                    sent.head(response)
                    async for piece in response.aiter_raw():
                        sent.pieces.append(piece)
            except Exception as error:
                sent.error = error
        return sent

    def _http(self) -> Any:
        if self.colour == "sync":
            return self.module.Client(transport=self.provider.transport(self.module))
        return self.module.AsyncClient(transport=self.provider.async_transport(self.module))


def _texts(read: Read) -> int:
    return sum(chunk.kind == "text" and bool(chunk.delta) for chunk in read.chunks)


def _name(plugin: object) -> str:
    """ab-cd of AbCd, and a number for the second of a class."""
    name = type(plugin).__name__
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).strip("-")


@define(eq=False)
class Keep:
    """A cache in a dict."""

    entries: dict[str, CacheEntry] = field(factory=dict)

    @hookimpl
    def cache_lookup(self, key: str) -> CacheEntry | None:
        return self.entries.get(key)

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry) -> None:
        self.entries[key] = entry


@define(eq=False)
class Again:
    """Tries everything again, twice."""

    @hookimpl
    def classify_error(self, failure: Any) -> ErrorInfo:
        return ErrorInfo("transient", "fault", retryable=True, committed=failure.committed)

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        return Retry(1.0) if ctx.route_attempt < 3 and not error.committed else None
