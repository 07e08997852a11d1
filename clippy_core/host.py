"""The host: plugins, their services and their life.  It knows no feature.

A host is an object; two in one process do not touch each other.  It opens on its first request or by ``with host``,
and is closed by its owner or at exit, never by a client: clients share hosts.
"""

from __future__ import annotations

import atexit
import functools
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from .flow import FlowHandle
from .forks import follow_forks
from .http_upstream import HttpUpstream
from .loops import running_loop
from .portal import Portal
from .registry import ServicesView
from .repeats import Repeats
from .runtime import AsyncRuntime, Runtime, SyncRuntime, drive
from .watchdog import Watchdog

# What a host is made of is imported when one is made, and what requests need with the first host that has plugins:
# docs/decisions/033-imports-at-first-use.md.
if TYPE_CHECKING:
    from clippy_hookspecs import (
        Clock,
        RawReply,
        RawRequest,
        Request,
        Response,
        RouteInfo,
        Scope,
        Upstream,
    )

    from .asking import asker
    from .chains import Chains
    from .config import Config
    from .discovery import Discovered
    from .lifespans import Life
    from .pipeline import Pipeline, Sender
    from .request_context import Context
    from .settings import Settings
    from .upstream import UpstreamSender
    from .whose import whose

C = TypeVar("C")
OWN_HEADERS = "x-clippy-"
"""What these request headers say is for us and never goes upstream."""
_OWN = OWN_HEADERS.encode()


class Host:
    """A set of plugins, ready to stand between a program and its providers.

    ``Host.from_config()`` takes what is installed and configured; ``Host([plugin, ...])`` takes exactly these, with the
    settings in *config* (a mapping of the file's shape, or a Config) and nothing from files or the environment.

    Raises :class:`~clippy_hookspecs.ConfigError` with every fault of the configuration.
    """

    _life: Life
    _sync_runtime: SyncRuntime
    _runtimes: dict[Any, AsyncRuntime]

    def __init__(
        self,
        plugins: Mapping[str, object] | Sequence[object] | None = (),
        *,
        config: Config | Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        from clippy_hookspecs import Clock, Upstream

        from .config import Config, config_of
        from .making import compile_chains, find_plugins, offer_services

        self.config = config if isinstance(config, Config) else config_of(config or {})
        self.discovered: Discovered = find_plugins(self.config, plugins)
        self.repeats = Repeats()
        self._given_clock = clock
        self._scope: ContextVar[Scope | None] = ContextVar("clippy-scope", default=None)
        self._portal = Portal()
        self._watchdog = Watchdog()
        self._http = HttpUpstream(self)
        self.chains = compile_chains(self.config, self.discovered)
        self.faults = self.chains.faults
        self._registry = offer_services(self.chains, clock, self._http)
        self.clock: Clock = self._registry.find(Clock)  # type: ignore[assignment]
        self._views = {sync: ServicesView(self._registry, self._portal, sync) for sync in (True, False)}
        offered: Any = self._registry.find(Upstream)
        self._upstream: Upstream | None = None if offered is self._http else offered
        self._settings: Settings | None = None
        self._forget()
        follow_forks(self._forget)
        if not self.chains.idle:  # rather now than in the first request
            _import_what_requests_need()
        _hosts.add(self)

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

        *overrides* has the shape of the file: ``Host.from_config(disable=["audit"])``.
        """
        from .config import read_config

        return cls(plugins, config=read_config(path, overrides=overrides), clock=clock)

    # --- what it is made of -------------------------------------------------------------------------------------------

    @property
    def services(self) -> ServicesView:
        """The services, as a sync program sees them."""
        return self._views[True]

    @property
    def plugins(self) -> Mapping[str, object]:
        """The active plugins by name."""
        return MappingProxyType({plugin.name: plugin.object for plugin in self.discovered.loaded})

    @property
    def owns_retries(self) -> bool:
        """Whether a plugin decides what happens after a failure, so that an SDK must not do it as well."""
        return bool(self.chains.on_error)

    @property
    def settings(self) -> Settings:
        """What requests need to know of the configuration; made when the first one asks."""
        if self._settings is None:
            from .settings import settings_of

            _import_what_requests_need()
            self._settings = settings_of(self.config.host, self.discovered.loaded, self.chains)
        return self._settings

    def with_plugins(self, plugins: Mapping[str, object] | Sequence[object]) -> Host:
        """Another host with this configuration and other plugins."""
        return Host(plugins, config=self.config, clock=self._given_clock)

    # --- its life -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open what the plugins hold, for sync use.  Raises PluginError if one cannot."""
        self._life.open()

    async def aopen(self) -> None:
        """Open what the plugins hold, for the running event loop.  Raises PluginError if one cannot."""
        await self._life.aopen(self.async_runtime())

    def close(self) -> None:
        """Close what the plugins hold; the host opens again when it is used again."""
        for runtime in list(self._runtimes.values()):
            if not runtime.alive():
                runtime.settle_rest()
        self._http.close(self._sync_runtime)
        self._life.close()

    async def aclose(self) -> None:
        """As ``close``, with what belongs to the running event loop."""
        runtime = self.async_runtime()
        await self._http.aclose(runtime)
        await self._life.aclose(runtime)

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
        from .lifespans import Life

        self._portal.forget()
        self._watchdog.forget()
        self._life = Life(self, self.chains.steps["lifespan"], self._portal)
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

    async def ask(self, request: Request) -> Response:
        """Run a request of ours and return the whole answer.  Raises ProviderError, Refusal, PluginError."""
        from .upstream import ask

        return await ask(self, request)

    def upstream(self, runtime: Runtime) -> Upstream:
        """What sends bytes: the host's own connections, or what a plugin offers in their place."""
        from clippy_hookspecs import Upstream

        found: Upstream = self._views[isinstance(runtime, SyncRuntime)].get(Upstream)
        return found

    def invalidate(self, *, key: str | None = None, tag: str | None = None, scope: Scope | None = None) -> None:
        """Drop stored answers: by key, by tag, of a scope, or all."""
        from clippy_hookspecs import Selector

        from .chains import Run

        run = Run(None, self.sync_runtime())
        drive(self.chains.all(self.chains.cache_invalidate, (Selector(key, tag, scope),), run))

    def passes_by(self, scheme: str, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a request is none of our business: no plugin, or a websocket."""
        if scheme in ("ws", "wss"):
            return True
        idle = self.chains.idle
        for name, _ in headers:
            lower = name.lower()
            if lower == b"upgrade":
                return True
            if idle and lower.startswith(_OWN):
                idle = False
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
                    kept.settle_rest()
                    self._life.drop(kept)
                    self._http.drop(kept)
                    self._runtimes.pop(other, None)
            runtime = self._runtimes[loop] = AsyncRuntime(self.clock, self._portal)
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
        parent: Pipeline | None = None,
        path: tuple[str, ...] = (),
    ) -> Pipeline:
        """The pipeline for one request.

        *again* says whether the caller's SDK would send it once more; *parent* is the request for which a plugin on
        *path* asks this one.
        """
        settings, flow = self.settings, FlowHandle()
        trust = self.config.host.trust_headers
        scope, request, caller = whose(
            request, self._scope.get(), settings, trust_headers=trust, by_credential=not wants_values
        )
        limit = settings.deadlines(route).total
        deadline = None if limit is None else self.clock.now() + limit
        chains = self.chains
        if parent is not None:
            scope, chains = parent.ctx.scope, _without(self.chains, frozenset(path))
            deadline = parent.ctx.deadline
        ctx = Context(
            id=os.urandom(8).hex(),
            scope=scope,
            clock=self.clock,
            services=self._views[isinstance(runtime, SyncRuntime)],
            route=RouteInfo(route, request.api, request.url),
            flow=flow,
            parent=parent.ctx.id if parent is not None else None,
            stream=request.endpoint.streams and request.stream,
            deadline=deadline,
        )
        if self._upstream is not None:
            sender = UpstreamSender(self.upstream(runtime), sender)
        pipeline = Pipeline(request, ctx, flow, chains, runtime, sender, settings, wants_values, again, caller)
        ctx.asker = asker(self, pipeline, path)
        return pipeline

    def ssl_context(self, module: ModuleType) -> Any:
        """The process's one TLS context for *module*: making one costs two hundred times what a client costs."""
        return _ssl_context(module)


@functools.cache
def _ssl_context(module: ModuleType) -> Any:
    return module.create_ssl_context()


@functools.lru_cache(maxsize=64)
def _without(chains: Chains, plugins: frozenset[str]) -> Chains:
    return chains.without(plugins)


def _import_what_requests_need() -> None:
    """As names of this module: an import in ``begin`` itself would cost every request half a microsecond a line."""
    global Context, RouteInfo, Pipeline, UpstreamSender, asker, whose
    from clippy_hookspecs import RouteInfo

    from .asking import asker
    from .pipeline import Pipeline
    from .request_context import Context
    from .upstream import UpstreamSender
    from .whose import whose


_hosts: weakref.WeakSet[Host] = weakref.WeakSet()


def _at_exit() -> None:
    for host in tuple(_hosts):
        host.close()


atexit.register(_at_exit)
