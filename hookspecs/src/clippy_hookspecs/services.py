"""What plugins offer each other through the host, as Protocols; nobody imports anybody.

A plugin offers one in ``register_services``; anyone asks for it with ``ctx.services.get(Protocol)``.  The methods that
may wait are ``async``: the host adapts a provider written with plain ``def`` (it runs in place in a sync host, in a
worker thread in an async one) and an async provider in a sync host (it runs on the host's event-loop thread).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload, runtime_checkable

from attrs import field, frozen

from .blocks import Message, Usage
from .headers import Headers
from .records import CacheEntry, Scope, Selector, StoredEntry
from .types import Request

if TYPE_CHECKING:
    from .context import RequestContext, RouteInfo

T = TypeVar("T")


@runtime_checkable
class Clock(Protocol):
    """Time, so that tests can own it.  Not async: reading a clock waits for nothing."""

    def now(self) -> float:
        """Monotonic seconds, for measuring and deadlines."""
        ...

    def time(self) -> float:
        """Unix seconds, for what is stored or compared with dates."""
        ...


@runtime_checkable
class TokenCounter(Protocol):
    """How many tokens a text is.  Not async: counting waits for nothing."""

    def count(self, text: str, model: str = "") -> int:
        """Tokens of *text* for *model*; an estimate where the model's tokenizer is not known."""
        ...

    def count_message(self, message: Message, model: str = "") -> int:
        """Tokens of one message with its blocks and framing."""
        ...


@runtime_checkable
class Prices(Protocol):
    """What tokens cost.  Not async."""

    def cost(self, model: str, usage: Usage) -> float | None:
        """US dollars, or None when the model's price is not known (which is not the same as free)."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Texts to vectors."""

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector of equal length for each text."""
        ...


@runtime_checkable
class MatchVerifier(Protocol):
    """Whether two questions may share an answer: the last word of a cache that goes by meaning."""

    async def same(self, asked: str, stored: str, ctx: RequestContext) -> bool:
        """Whether the answer to *stored* answers *asked*; *ctx* is the asking request's, to ask a model with.

        Everything before the two is the same.  In doubt False: a miss costs a call, a wrong answer more.
        """
        ...


@runtime_checkable
class Summarizer(Protocol):
    """A conversation in fewer words."""

    async def summarize(self, messages: Sequence[Message], budget: int) -> str:
        """At most *budget* tokens that say what *messages* said."""
        ...


@frozen
class Reservation:
    """A share of a limit, held until it is settled or refunded, or until ``expires_at`` (unix seconds)."""

    id: str
    key: str
    amount: float
    expires_at: float


@runtime_checkable
class StateStore(Protocol):
    """Small state that several workers share: limits, budgets, breakers, leases.  Every method is atomic.

    Values are JSON texts.  Everything expires: ``ttl`` is seconds and must be positive.
    """

    async def get(self, key: str) -> str | None:
        """The live value, or None."""
        ...

    async def put(self, key: str, value: str, ttl: float) -> None:
        """Store *value* for *ttl* seconds."""
        ...

    async def swap(self, key: str, expected: str | None, value: str, ttl: float) -> bool:
        """Store *value* if the live value is *expected* (None: if there is none); whether it was."""
        ...

    async def add(self, key: str, amount: float, ttl: float) -> float:
        """Add to a counter, which starts at 0 and lives *ttl* seconds from its first addition; its new value."""
        ...

    async def reserve(self, key: str, amount: float, limit: float, ttl: float) -> Reservation | None:
        """Hold *amount* of *key* if what is used and held stays within *limit*; None if it does not fit."""
        ...

    async def settle(self, reservation: Reservation, actual: float, ttl: float) -> None:
        """Turn a reservation into *actual* use that counts for *ttl* seconds.  Twice is the same as once."""
        ...

    async def refund(self, reservation: Reservation) -> None:
        """Give a reservation back unused.  Twice is the same as once."""
        ...

    async def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool:
        """Take or renew one of *places* for *holder*; False when all are taken by others."""
        ...

    async def release(self, key: str, holder: str) -> None:
        """Give the place back; nothing happens if *holder* has none."""
        ...


@runtime_checkable
class CacheListing(Protocol):
    """What a cache plugin has beside its hooks, so that people can see what it keeps.  For commands and pages.

    Found among ``host.plugins``.  Not async: it may take its time, and is never asked within a request.
    """

    def stored(self, selector: Selector, limit: int) -> Sequence[StoredEntry]:
        """At most *limit* of the entries that *selector* names, latest first; one beyond its time may be among them.

        Raises what reading them raises.
        """
        ...

    def stored_entry(self, key: str) -> CacheEntry | None:
        """The entry of this key, whatever its age, None if there is none; to look at it is not to use it."""
        ...


@frozen
class StatusTable:
    """What a plugin shows of its present state: rows of plain values under named columns.

    ``name`` is what the rows are (``breakers``), in lower case; a number is a number and its unit is in the column's
    name (``open for, s``).  Never content, never a credential.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | bool | None, ...], ...] = ()


@runtime_checkable
class Status(Protocol):
    """What a plugin has beside its hooks, so that people can see how it is doing.  For commands and pages.

    Found among ``host.plugins``.  May ask the host's services; is never called within a request.
    """

    async def status_tables(self) -> Sequence[StatusTable]:
        """What there is to see now, few hundred rows at most.  Raises what asking for it raises."""
        ...


@frozen
class RawRequest:
    """An HTTP request as bytes, for those who bring their own HTTP server.

    ``route`` names a route of the configuration: it replaces address, model and credentials, and of ``url`` only the
    path below the wire API's root counts (``/v1/chat/completions``).  "" sends it to ``url`` with the caller's own
    headers.  ``scope`` is on whose behalf; None leaves that to what the host knows of its caller.  ``routes`` are the
    only ones to which on_error may switch it, () for any: others are passed over as ``route_unfit``.
    """

    method: str
    url: str
    headers: Headers
    body: bytes = field(default=b"", repr=False)
    route: str = ""
    scope: Scope | None = None
    routes: tuple[str, ...] = ()


@runtime_checkable
class ByteStream(Protocol):
    """Pieces of a body.  One reader at a time; ``aclose`` may be called any number of times."""

    async def next(self) -> bytes | None:
        """The next piece, None at the end."""
        ...

    async def aclose(self) -> None: ...


@frozen
class RawReply:
    """An HTTP answer; ``body`` is whole bytes or a stream of them."""

    status: int
    headers: Headers
    body: bytes | ByteStream
    extensions: Mapping[str, Any]


@runtime_checkable
class Upstream(Protocol):
    """Sends bytes to an address: what lies under the pipeline.  A plugin may offer another (a recorder, a replay)."""

    async def send(self, request: RawRequest, timeout: Mapping[str, float | None]) -> RawReply:
        """*timeout* is in seconds with the keys connect, read, write and pool; None waits for ever."""
        ...


class Routes(Protocol):
    """What ``register_routes`` gets: the pages of a gateway beside the calls that it passes on."""

    def route(self, method: str, path: str, handler: Callable[[RawRequest], Awaitable[RawReply]]) -> None:
        """Have *handler* answer *method* on *path*, which begins with a slash; one that ends in ``/*`` is all below it.

        The handler gets the path with its query as ``url``, and checks by itself who may see what it shows: a caller of
        the gateway may not be one who may read its pages.  Raises ValueError for a path that is taken.
        """
        ...


class Services(Protocol):
    """The registry of services of one host."""

    # Callable, not type[T]: type checkers refuse a Protocol class for the latter.
    @overload
    def get(self, protocol: Callable[..., T]) -> T: ...
    @overload
    def get(self, protocol: Callable[..., T], default: None) -> T | None: ...
    def get(self, protocol: Callable[..., T], default: None = None) -> T | None:
        """The provider of *protocol*, adapted to this host; LookupError if there is none and no default."""
        ...


class ServiceRegistry(Protocol):
    """What ``register_services`` gets."""

    def offer(self, protocol: type[Any], provider: object) -> None:
        """Offer *provider* for *protocol*.  The outermost plugin that offers one wins."""
        ...


class Host(Protocol):
    """What a plugin may ask of its host: handed to ``lifespan``, and needed by gateways and debuggers."""

    @property
    def services(self) -> Services: ...

    @property
    def plugins(self) -> Mapping[str, object]:
        """The active plugins by name."""
        ...

    @property
    def routes(self) -> Mapping[str, RouteInfo]:
        """The routes of the configuration by name, the default one first."""
        ...

    @property
    def for_command(self) -> bool:
        """Whether a command made it to ask something of it and ends then: nobody would look at pages of its own."""
        ...

    async def answer(self, request: RawRequest) -> RawReply:
        """Run a raw HTTP request through the whole pipeline.

        Failures are answers in the request's own wire API; 502 says that the provider could not be reached.  In
        ``extensions["clippy"]`` of the reply is the :class:`~clippy_hookspecs.RequestContext`, unless no plugin had
        anything to do with it; in ``extensions["failure"]`` the :class:`~clippy_hookspecs.ErrorInfo` of a failure that
        no provider told of, whose words are for who runs the host; in ``extensions["refusal"]`` the code of a refusal,
        whose words are for the caller.  Raises ConfigError if there is no such route.
        """
        ...

    async def retold(self, reply: RawReply, api: str, request: RawRequest, made: float) -> RawReply:
        """*reply*, which speaks the wire API *api*, as the caller of *request* would have been given it.

        For who keeps answers in their provider's words.  Nothing is sent and no plugin asked.  A stream is told anew
        event by event, as it is read.  *made* is unix seconds, for an answer that does not say when it was made.  What
        cannot be said in the API of *request* is a 502 in it.
        """
        ...

    async def ask(self, request: Request) -> Any:
        """Run a request and return its :class:`~clippy_hookspecs.Response`."""
        ...

    def with_plugins(self, plugins: Mapping[str, object]) -> Host:
        """Another host with this configuration and other plugins.  Whoever makes one closes it."""
        ...

    def close(self) -> None:
        """Close what the plugins hold, in a program without an event loop."""
        ...

    async def aclose(self) -> None:
        """Close what the plugins hold, with what belongs to the running event loop."""
        ...


__all__ = [
    "ByteStream",
    "CacheListing",
    "Clock",
    "Embedder",
    "Host",
    "MatchVerifier",
    "Prices",
    "RawReply",
    "RawRequest",
    "Reservation",
    "Routes",
    "ServiceRegistry",
    "Services",
    "StateStore",
    "Status",
    "StatusTable",
    "Summarizer",
    "TokenCounter",
    "Upstream",
]
