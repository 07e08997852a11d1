"""The host: plugins, their services and their life.  It knows no feature.

A host is an object; two in one process do not touch each other.  It opens on its first request or by ``with host``,
and is closed by its owner or at exit, never by a client: clients share hosts.
"""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from .flow import FlowHandle
from .forks import close_at_exit, follow_forks
from .http_upstream import HttpUpstream
from .ids import new_id
from .loops import running_library, running_loop
from .made import Made
from .owed import arest, rest
from .portal import Portal
from .repeats import Repeats, SdkRetries
from .runtime import AsyncRuntime, Runtime, SyncRuntime
from .watchdog import Watchdog

# What a host is made of is imported when one is made, and what requests need with the first host that has plugins:
# docs/decisions/033-imports-at-first-use.md.
if TYPE_CHECKING:
    from clippy_hookspecs import Clock, RawReply, RawRequest, Request, Response, Scope, Upstream

    from .asking import asker
    from .attempt import Sender
    from .config import Config
    from .pipeline import Pipeline
    from .records import route_info
    from .request_context import Context
    from .settings import Settings
    from .tables import Tables
    from .upstream import UpstreamSender
    from .whose import whose

C = TypeVar("C")
OWN_HEADERS = "x-clippy-"
"""What these request headers say is for us and never goes upstream."""
_OWN = OWN_HEADERS.encode()


class Host(Made):
    """A set of plugins, ready to stand between a program and its providers.

    ``Host.from_config()`` takes what is installed and configured; ``Host([plugin, ...])`` takes exactly these, with the
    settings in *config* (a mapping of the file's shape, or a Config) and nothing from files or the environment.
    Raises :class:`~clippy_hookspecs.ConfigError` with every fault of the configuration.
    """

    for_command = False  # see Host of the contract; the command line says so before it opens one
    _sync_runtime: SyncRuntime
    _runtimes: dict[Any, AsyncRuntime]

    def __init__(
        self,
        plugins: Mapping[str, object] | Sequence[object] | None = (),
        *,
        config: Config | Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        from .config import Config, config_of
        from .making import OwnServices, make_tables
        from .serving import Serving

        config = config if isinstance(config, Config) else config_of(config or {})
        self._read: Callable[[], Config] = lambda: config
        self._given, self._given_clock = plugins, clock
        self.repeats, self.sdk_retries = Repeats(), SdkRetries()
        self._scope: ContextVar[Scope | None] = ContextVar("clippy-scope", default=None)
        self._portal, self._watchdog = Portal(), Watchdog()
        self._http = HttpUpstream(self)
        self._own = OwnServices(self._http, clock)
        self._serving = Serving(make_tables(self, config, plugins, self._own, self._portal), _settle)
        self.clock: Clock = self._own.clock  # type: ignore[assignment]
        self._forget()
        follow_forks(self._forget)
        if not self.chains.idle:  # rather now than in the first request
            _import_what_requests_need()
        _hosts.add(self)
        close_at_exit(_at_exit)

    @classmethod
    def from_config(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        plugins: Mapping[str, object] | Sequence[object] | None = None,
        clock: Clock | None = None,
        **overrides: Any,
    ) -> Host:
        """The host that the configuration describes: argument over environment over file over default.

        *overrides* has the shape of the file, and so have *plugins* that are names or tables of settings.
        """
        from .config import in_the_files_shape, read_config

        if in_the_files_shape(plugins):
            overrides["plugins"], plugins = plugins, None
        read = functools.partial(read_config, path, overrides=overrides)
        host = cls(plugins, config=read(), clock=clock)
        host._read = read
        return host

    # --- what it is made of -------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """What requests need to know of the configuration; made when the first one asks."""
        tables = self._serving.current
        return tables.settings or _settle(tables)

    def with_plugins(self, plugins: Mapping[str, object] | Sequence[object]) -> Host:
        """Another host with this configuration and other plugins."""
        return Host(plugins, config=self.config, clock=self._given_clock)

    def reload(self) -> None:
        """Take plugins and configuration as they are now, while requests go on: what ``from_config`` would find.

        Requests under way keep the plugins that they began with.  A plugin whose class and settings are the same stays
        with all that it knows and holds; a new one is opened first; what was removed or changed is closed when the last
        request that uses it has ended, ten minutes later at most.  Raises ConfigError with every fault, or PluginError
        for what cannot open, and then nothing has changed; RuntimeError where an event loop runs, see :meth:`areload`.
        """
        if running_library() is not None:
            raise RuntimeError("host.reload() would block the event loop that it waits for; await host.areload()")
        self._reload()

    async def areload(self) -> None:
        """As ``reload``, for programs with an event loop."""
        import anyio.to_thread

        await anyio.to_thread.run_sync(self._reload)

    def _reload(self) -> None:
        from .reloading import reload_tables

        with self._serving.changing():
            tables = reload_tables(self, self._read, self._given, self._own, self._portal, self._serving)
            if not tables.chains.idle:
                _import_what_requests_need()
            self.sdk_retries.follow(self.owns_retries)

    # --- its life -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open what the plugins hold, for sync use.  Raises PluginError if one cannot."""
        self._serving.open(self._sync_runtime)

    async def aopen(self) -> None:
        """Open what the plugins hold, for the running event loop.  Raises PluginError if one cannot."""
        await self._serving.aopen(self.async_runtime())

    def close(self) -> None:
        """Close what the plugins hold, once streams dropped just before are settled; the host may be used again."""
        rest(self._sync_runtime, [*self._runtimes.values()])
        self._http.close(self._sync_runtime)
        self._serving.close()

    async def aclose(self) -> None:
        """As ``close``, with what belongs to the running event loop."""
        runtime = self.async_runtime()
        await arest(self._sync_runtime, runtime)
        await self._http.aclose(runtime, self._sync_runtime)
        await self._serving.aclose(runtime)

    def __enter__(self) -> Host:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Host:
        await self.aopen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def _forget(self) -> None:
        """To the state of a host that was never opened: a new one, or one after a fork.

        What the parent opened is dropped and not closed: its threads are not here and its connections are the parent's.
        """
        self._portal.forget()
        self._watchdog.forget()
        self._serving.forget(self, self._portal)
        self._sync_runtime = SyncRuntime(self.clock, self._portal, self._watchdog)
        self._runtimes = {}
        self._http.forget()

    def __getstate__(self) -> object:
        raise TypeError("a Host holds connections and threads and does not pickle; rebuild it with Host.from_config()")

    # --- requests -----------------------------------------------------------------------------------------------------

    def wrap(self, client: C) -> C:
        """*client* with this host under it: see :func:`clippy_core.wrapping.wrap`."""
        from .wrapping import wrap

        return wrap(self, client)

    @contextmanager
    def scope(
        self, *, tenant: str | None = None, user: str | None = None, session: str | None = None
    ) -> Iterator[Scope]:
        """On whose behalf the calls inside the block are made; what is not given stays as it is outside."""
        from clippy_hookspecs import Scope

        outer = self._scope.get() or Scope()
        inner = Scope(
            tenant if tenant is not None else outer.tenant,
            user if user is not None else outer.user,
            session if session is not None else outer.session,
        )
        token = self._scope.set(inner)
        try:
            yield inner
        finally:
            self._scope.reset(token)

    async def answer(self, request: RawRequest) -> RawReply:
        """Run a raw HTTP request through the whole pipeline: see :func:`clippy_core.upstream.answer`."""
        from .upstream import answer

        return await answer(self, request)

    async def retold(self, reply: RawReply, api: str, request: RawRequest, made: float) -> RawReply:
        """An answer of another wire API as *request* expects it: see :func:`clippy_core.upstream.retold`."""
        from .upstream import retold

        return await retold(self, reply, api, request, made)

    async def ask(self, request: Request) -> Response:
        """Run a request of ours and return the whole answer.  Raises ProviderError, Refusal, PluginError."""
        from .upstream import ask

        return await ask(self, request)

    def upstream(self, runtime: Runtime) -> Upstream:
        """What sends bytes: the host's own connections, or what a plugin offers in their place."""
        from clippy_hookspecs import Upstream

        found: Upstream = self._serving.of(runtime).view(runtime).get(Upstream)
        return found

    def invalidate(
        self, *, key: str | None = None, tag: str | None = None, scope: Scope | None = None, **more: str | None
    ) -> None:
        """Drop stored answers: by the parts of a :class:`~clippy_hookspecs.Selector`, which must all fit; or all.

        Every cache is told.  Raises an ExceptionGroup with a PluginError for each that could not: it may still answer.
        """
        from .invalidation import invalidate

        invalidate(self, key=key, tag=tag, scope=scope, **more)

    def passes_by(self, scheme: str, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a request is none of our business: no plugin, or a websocket."""
        if scheme in ("ws", "wss"):
            return True
        idle = self.chains.idle
        for name, _ in headers:
            lower = name.lower()
            if lower == b"upgrade":
                return True
            idle = idle and not lower.startswith(_OWN)
        return idle

    def on_portal(self) -> bool:
        """Whether this thread is the one that runs the async hooks of a sync program."""
        return self._portal.here()

    def said_scope(self) -> Scope | None:
        """The scope that ``with host.scope(...)`` says here, None outside of it."""
        return self._scope.get()

    def sync_runtime(self) -> SyncRuntime:
        """The runtime of threads."""
        return self._sync_runtime

    def async_runtime(self) -> AsyncRuntime:
        """The runtime of the running event loop."""
        loop = running_loop()
        runtime = self._runtimes.get(loop)
        if runtime is None:
            for other, kept in list(self._runtimes.items()):
                if not kept.alive():
                    kept.owed.settle_rest()
                    self._serving.drop(kept)
                    self._http.drop(kept)
                    self._runtimes.pop(other, None)
            runtime = self._runtimes[loop] = AsyncRuntime(self.clock, self._portal)
        return runtime

    async def ready_runtime(self) -> AsyncRuntime:
        """That of the running event loop, with everything open for it.  Raises PluginError."""
        runtime = self._runtimes.get(running_loop())
        if runtime is None or not self._serving.ready(runtime):
            await self.aopen()
            runtime = self.async_runtime()
        return runtime

    def begin(
        self,
        request: Request,
        runtime: Runtime,
        sender: Sender,
        *,
        route: str = "",
        wants_values: bool = False,
        again: Callable[[int], bool] | None = None,
        tables: Tables | None = None,
        parent: Pipeline | None = None,
        path: tuple[str, ...] = (),
        scope: Scope | None = None,
        caller: str | None = None,
    ) -> Pipeline:
        """The pipeline for one request, on behalf of *scope* or of whom ``with host.scope`` says.

        *again* says whether the caller's SDK would send it once more; *parent*, with its *tables*, is the request for
        which a plugin on *path* asks this one; *caller* is the digest of its credentials where that is known already.
        """
        given, asked, flights = tables, request, self._own.flights or self._own.begin_flights()
        tables = tables or self._serving.of(runtime)
        settings, flow = tables.settings or _settle(tables), FlowHandle(self.clock.now)
        scope, request, caller, directives = whose(
            request, scope or self._scope.get(), settings, caller, by_credential=not wants_values
        )
        pays: Any = functools.partial(settings.identity, request.headers, request.query) if caller is None else caller
        limit = settings.deadlines(route).total
        deadline, chains = None if limit is None else self.clock.now() + limit, tables.chains
        if parent is not None:
            scope, chains = parent.ctx.scope, tables.without(frozenset(path))
            deadline = parent.ctx.deadline
            directives = {**directives, **parent.ctx.directives}
        ctx = Context(
            new_id(),
            scope,
            self.clock,
            tables.view(runtime),
            route_info(route, request.api, request.url),
            flow,
            parent.ctx.id if parent is not None else None,
            request.endpoint.streams and request.stream,
            deadline,
            pays,
            directives,
        )
        if tables.upstream is not None:
            sender = UpstreamSender(ctx.services.get(Upstream), sender)
        pipeline = Pipeline(request, ctx, flow, chains, runtime, sender, settings, wants_values, again, caller, flights)
        ctx.asker = asker(self, tables, pipeline, path)
        pipeline.ledger.ended = tables.ended
        tables.under_way.add(ctx.id)
        if given is None and self._serving.of(runtime) is not tables:  # the plugins were changed at this very moment
            tables.ended(ctx.id)
            # Without *caller*: the salt of digests may be another as well.
            return self.begin(asked, runtime, sender, route=route, wants_values=wants_values, again=again, scope=scope)
        return pipeline


def _settle(tables: Tables) -> Settings:
    from .settings import settings_of

    _import_what_requests_need()
    tables.settings = settings_of(tables.config.host, tables.discovered.loaded, tables.chains, tables.salt)
    return tables.settings


def _import_what_requests_need() -> None:
    """As names of this module: an import in ``begin`` itself would cost every request half a microsecond a line."""
    global Context, Upstream, Pipeline, UpstreamSender, asker, route_info, whose
    from clippy_hookspecs import Upstream

    from . import invalidation, token_pieces  # noqa: F401 - an upgrade may have replaced them when somebody needs them
    from .asking import asker
    from .pipeline import Pipeline
    from .records import route_info
    from .request_context import Context
    from .upstream import UpstreamSender
    from .whose import whose


_hosts: weakref.WeakSet[Host] = weakref.WeakSet()


def _at_exit() -> None:
    for host in tuple(_hosts):
        host.close()
