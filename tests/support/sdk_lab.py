"""One SDK call under three roofs: bare, under a host without plugins, under a host with every plugin at its defaults.

A call is written once, as a coroutine over an SDK's client, and runs in every colour: with a sync client nothing in it
ever suspends, so it is driven without an event loop.
"""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import httpx2
from attrs import define, field, frozen
from sdk_colours import Said, plain, value

import clippy_core
from clippy_core.driven import drive
from clippy_core.testing import FakeProvider, FakeServer, SeenRequest, VirtualClock

COLOURS = ("sync", "asyncio", "trio")
ROOFS = ("bare", "no plugin", "all plugins")
SdkCall = Callable[[Any, Said], Awaitable[None]]
"""What a program does with a client; it says what it got."""

_ID = re.compile(r"(?<![0-9A-Za-z])(chatcmpl-|resp_|req_|msg_|fp_|fc_|rs_|call_|toolu_|file-)[0-9A-Za-z]{8,}")


# --- what came of it ------------------------------------------------------------------------------------------------


@frozen
class Raised:
    """An exception, as a program can tell it from others.

    ``cause`` is the class it was raised from; where that is ours, the next one behind it.
    """

    kind: str
    text: str
    fields: Mapping[str, Any]
    cause: str | None

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        names = ("status_code", "body", "code", "param", "type", "request_id")
        fields = {name: getattr(error, name) for name in names if hasattr(error, name)}
        causes = [name for name in map(_name, _causes(error)) if not name.startswith("clippy_")]
        return cls(_name(error), str(error), fields, causes[0] if causes else None)


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


@define
class Got:
    """What one call came to: for the program, and at the server."""

    said: list[Any] = field(factory=list)
    raised: Raised | None = None
    requests: list[bytes] = field(factory=list)
    connections: list[int] = field(factory=list)
    counters: dict[str, int] = field(factory=dict)
    bodies: list[bytes] = field(factory=list)

    @property
    def result(self) -> tuple[Any, Raised | None]:
        """What the program got; ids are left out, since a later attempt's answer has others."""
        return _anonymous(self.said), _anonymous(self.raised)


def _anonymous(thing: Any) -> Any:
    if isinstance(thing, str):
        return _ID.sub(r"\1", thing)
    if isinstance(thing, Mapping):
        return {key: _anonymous(item) for key, item in thing.items()}
    if isinstance(thing, list):
        return [_anonymous(item) for item in thing]
    if isinstance(thing, Raised):
        return Raised(thing.kind, _anonymous(thing.text), _anonymous(thing.fields), thing.cause)
    return thing


def replayed(thing: Any) -> Any:
    """*thing* as a stored stream tells it: its media type comes back without parameters."""
    if isinstance(thing, dict):
        return {key: replayed(item) for key, item in thing.items()}
    if isinstance(thing, list):
        return [replayed(item) for item in thing]
    return "text/event-stream" if thing == "text/event-stream; charset=utf-8" else thing


# --- the laboratory -------------------------------------------------------------------------------------------------


@functools.cache
def ssl_context() -> ssl.SSLContext:
    """One TLS context for all clients: making one takes longer than a whole call."""
    return httpx2.create_ssl_context()


@functools.cache
def _installed() -> Mapping[str, type[Any]]:
    """The classes of the plugins that are installed, by name."""
    with clippy_core.Host.from_config() as host:
        return {name: type(plugin) for name, plugin in host.plugins.items()}


@define(eq=False)
class Lab:
    """Runs calls of one SDK in one colour on one HTTP module.

    ``make_client(colour, base_url=, http_client=, **settings)`` makes the SDK's client; *base_url* is an origin, by
    default the server's.  ``http`` are settings of the HTTP client, or what makes them when the server is known.
    """

    colour: str
    module: ModuleType
    make_client: Callable[..., Any]
    http: Mapping[str, Any] | Callable[[FakeServer], Mapping[str, Any]] = field(factory=dict)
    base_url: str | None = None
    tls: ssl.SSLContext | None = None
    clock: VirtualClock = field(factory=VirtualClock)
    provider: FakeProvider = field(init=False, default=None)

    def three(self, call: SdkCall, script: Any = None, *, wire: bool = False, **settings: Any) -> dict[str, Got]:
        """What *call* came to under each roof."""
        return {roof: self.run(call, script, roof=roof, wire=wire, **settings) for roof in ROOFS}

    def run(
        self, call: SdkCall, script: Any = None, *, roof: str = "bare", wire: bool = False, times: int = 1,
        by: str = "wrap", **settings: Any,
    ) -> Got:  # fmt: skip
        """What *call* came to under *roof*: in process, or over a socket when *wire* is true.

        *by* is how the host gets under the client: ``wrap``, or ``transport`` (in process).
        """
        got = Got()
        host = self.host(roof)
        if not wire:
            self.provider = FakeProvider(script, clock=self.clock)
            make = self._in_process(host) if by == "transport" else self._in_process()
            for _ in range(times):
                self._once(call, got, host, by == "wrap", self.base_url or "http://fake.test", make, settings)
            return self._seen(got, self.provider, 0)
        self.provider = FakeProvider(script)
        with FakeServer(self.provider, tls=self.tls) as server:
            for _ in range(times):
                self._once(call, got, host, True, self.base_url or server.origin, self._loopback(server), settings)
            port = server.port
        return self._seen(got, self.provider, port)

    def host(self, roof: str) -> clippy_core.Host | None:
        """The host of *roof*, None under the open sky."""
        if roof == "bare":
            return None
        plugins = {name: kind() for name, kind in _installed().items()} if roof == "all plugins" else {}
        return clippy_core.Host(plugins, clock=self.clock)

    def _once(
        self, call: SdkCall, got: Got, host: clippy_core.Host | None, wrap: bool, origin: str,
        http: Callable[[], Any], settings: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """One run of *call* by a client of its own."""

        async def program() -> None:
            original = self.make_client(self.colour, base_url=origin, http_client=http(), **settings)
            client = host.wrap(original) if host is not None and wrap else original
            try:
                await call(client, lambda thing: got.said.append(plain(thing)))
            except Exception as error:
                got.raised = Raised.of(error)
            finally:
                await value(client.close())
                if client is not original:
                    await value(original.close())
                if host is not None and self.colour == "sync":
                    host.close()
                elif host is not None:
                    await host.aclose()

        if self.colour == "sync":
            drive(program())
        else:
            anyio.run(program, backend=self.colour)

    def _in_process(self, under: clippy_core.Host | None = None) -> Callable[[], Any]:
        assert not callable(self.http)
        settings = {"follow_redirects": True, **self.http}
        sync = self.colour == "sync"
        inner = self.provider.transport(self.module) if sync else self.provider.async_transport(self.module)
        if under is not None:
            inner = (clippy_core.transport if sync else clippy_core.async_transport)(under, self.module, inner)
        make = self.module.Client if sync else self.module.AsyncClient
        return lambda: make(transport=inner, **settings)

    def _loopback(self, server: FakeServer) -> Callable[[], Any]:
        make = self.module.Client if self.colour == "sync" else self.module.AsyncClient
        own = self.http(server) if callable(self.http) else self.http
        settings = {"verify": ssl_context(), "follow_redirects": True, **own}
        return lambda: make(**settings)

    def _seen(self, got: Got, provider: FakeProvider, port: int) -> Got:
        for seen in provider.requests:
            got.requests.append(_steady(seen, seen.raw).replace(f"127.0.0.1:{port}".encode(), b"SERVER"))
            got.bodies.append(_steady(seen, seen.body))
            got.connections.append(seen.connection)
        got.counters = dict(provider.counters)
        return got


def _steady(seen: SeenRequest, data: bytes) -> bytes:
    """*data* with the random boundary of a form upload made one."""
    _, found, boundary = seen.headers.get("content-type", "").partition("boundary=")
    return data.replace(boundary.encode(), b"BOUNDARY") if found else data


SDK_GENERATORS = (
    "ignore:Async generator '(openai|anthropic|httpx2?|httpcore2?)[.]:ResourceWarning",
    "ignore:Exception ignored in. <async_generator object:pytest.PytestUnraisableExceptionWarning",
)
"""pytest filters: the SDKs leave their own async generators to the collector, which trio reports; bare as well."""


def private_folders(monkeypatch: Any, folder: Path) -> None:
    """The user's folders, and the working directory, inside *folder*: no plugin may find or leave anything outside."""
    for name in ("CACHE", "DATA", "STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(folder / name.lower()))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
