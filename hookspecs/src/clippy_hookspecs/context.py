"""The one mutable object of a request: its context."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Generic, Protocol, TypeVar

from attrs import define, field, frozen

from .records import CacheControl, HookCall, Scope
from .services import Clock, Services
from .types import Provenance, Request, Response

T = TypeVar("T")


class StashKey(Generic[T]):
    """A typed key: ``KEY = StashKey[int]("my-plugin.count")``.  Two keys of the same name are two keys."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"StashKey({self.name!r})"


class Stash:
    """A plugin's notes about one request, found by its own keys."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[StashKey[Any], Any] = {}

    def __setitem__(self, key: StashKey[T], value: T) -> None:
        self._values[key] = value

    def __getitem__(self, key: StashKey[T]) -> T:
        return self._values[key]  # type: ignore[no-any-return]  # what was put there under this key

    def __delitem__(self, key: StashKey[Any]) -> None:
        del self._values[key]

    def __contains__(self, key: StashKey[Any]) -> bool:
        return key in self._values

    def get(self, key: StashKey[T], default: T | None = None) -> T | None:
        return self._values.get(key, default)

    def setdefault(self, key: StashKey[T], make: Callable[[], T]) -> T:
        """The value, made by *make* if there is none."""
        values = self._values
        if key not in values:
            values[key] = make()
        return values[key]  # type: ignore[no-any-return]  # what was put there under this key


class Flow(Protocol):
    """The handle of a live stream.  Every method may be called from any thread, any number of times."""

    @property
    def state(self) -> str:
        """idle, streaming, paused, cancelled, completed or failed."""
        ...

    @property
    def paused_seconds(self) -> float:
        """Seconds of the host's clock that it was paused so far, a pause that goes on included."""
        ...

    def pause(self) -> None:
        """Stop reading after the current chunk; the socket is not read until ``resume``: real back-pressure."""
        ...

    def resume(self) -> None: ...

    def limit(self, chunks_per_second: float | None) -> None:
        """Read at most so fast; None reads as fast as it comes.  What :meth:`pace` asked for before is forgotten."""
        ...

    def pace(self, seconds: float) -> None:
        """What was just passed takes up so many seconds: the next chunk is not read before they are over.

        For ``on_chunk``.  They add up, so that chunks of any size keep one rate; paused time does not count, and a
        cancel does not wait for them.  Raises ValueError for a time that is negative or endless.
        """
        ...

    def cancel(self, reason: str = "cancelled", by: str = "program") -> None:
        """End the stream and close its upstream connection; *by* is who does, for ``AuditRecord.ended_by``."""
        ...


@frozen
class RouteInfo:
    """Where a request goes: the route's name, its wire API and its address without a query.  Never its credentials."""

    name: str
    api: str = ""
    base_url: str = ""


@define(eq=False)
class RequestContext:
    """What is known about one request beside the request itself; alive from pre_request to audit.

    Times are of ``clock``: ``deadline`` is monotonic seconds or None.  ``stream`` says whether the caller reads a
    stream.  ``attempt`` counts every upstream attempt of the request, ``route_attempt`` those on the present route,
    both from 1; ``unsent`` counts those that ended without being sent.  ``partition`` is the cache key without the
    messages (for semantic caches), None when the request may not be cached.  ``committed`` is True once a part of the
    answer has passed the commit point.  ``leases``: a plugin that holds a place for this request (a slot, a probe) adds
    1 while it does; a stream that nobody then reads for a minute is closed as abandoned.  ``account`` tells apart who
    pays: a keyed digest of the credentials that go to the present route, "" without any.  ``provenance`` is who gave
    the answer and why, once there is one.  ``stale_within``: a cache that is asked with it above 0 may answer with what
    is at most so many seconds past its time, because the provider failed.  ``cache_control`` is what caches may do for
    it; hooks change it by ``evolve``.  ``directives`` is what the caller said to plugins: the ``X-Clippy-*`` headers,
    which never go upstream, by their names without the prefix in lower case; a plugin declares the names that it reads
    as the attribute ``directives`` of its class, and a request that says nearly such a name is refused.  A
    request has one context, which is changed by setting its fields: that of a host is not copied (``evolve`` of it
    raises TypeError), and it does not pickle.
    """

    id: str
    scope: Scope
    clock: Clock
    services: Services
    route: RouteInfo
    flow: Flow
    parent: str | None = None
    stream: bool = False
    deadline: float | None = None
    attempt: int = 0
    route_attempt: int = 0
    committed: bool = False
    key: str | None = None
    partition: str | None = None
    leases: int = 0
    stash: Stash = field(factory=Stash)
    trace: list[HookCall] = field(factory=list)
    asker: Callable[[Request], Awaitable[Response]] | None = field(default=None, repr=False)
    account: str = field(default="", repr=False)
    provenance: Provenance | None = None
    stale_within: float = 0.0
    cache_control: CacheControl = CacheControl()
    directives: Mapping[str, str] = field(factory=dict, repr=False)
    key_parts: Callable[[], Mapping[str, str]] | None = field(default=None, repr=False)
    unsent: int = 0
    beginnings: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = field(default=(), repr=False)

    def key_fields(self) -> Mapping[str, str]:
        """What the cache key was made of, by name: a digest of each part, which tells equal from different only.

        ``scope``, ``base_url``, ``header.NAME``, ``body.NAME`` and for each message ``body.messages[N]``.  Empty for a
        request without a key.
        """
        return {} if self.key_parts is None else self.key_parts()

    async def ask(self, request: Request) -> Response:
        """Call a model from inside a plugin: the only way to do it.

        The request goes through the same pipeline and runtime, with this request's scope, deadline and budget, without
        the plugins already on the path, at most three levels deep, and with an audit record of its own.  What this
        request's caller said to plugins (``directives``) holds for it too, over what its own headers say.

        Raises :class:`~clippy_hookspecs.ProviderError` when it fails and RecursionError beyond the third level.
        """
        if self.asker is None:
            raise RuntimeError("ctx.ask works inside hooks of a request that a host is running")
        return await self.asker(request)

    def when_begun(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have *work* done once the answer of the present attempt begins to be read, beside its stream.

        For what should not wait for the end of a long answer: that a provider is back, say.  It is called once, where
        ``committed`` turns true, as a hook is: what it changes of the context it changes there, before it returns.  The
        coroutine runs in a task or thread of its own, for which no chunk waits, however slow a store is; in a sync host
        it may await nothing but services.  An attempt that ends before, or whose answer comes in one piece or is looked
        into by nobody, has none of it done: post_attempt follows at once, or is all there is.  Nor has a request that
        no attempt answers.  What it raises is logged.
        """
        self.beginnings += (work,)

    def time_left(self) -> float | None:
        """Seconds until the deadline (never below 0), None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - self.clock.now())

    def __getstate__(self) -> object:
        raise TypeError("a RequestContext lives with its request and does not pickle; pass ids and values instead")
