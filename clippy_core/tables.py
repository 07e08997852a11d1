"""What a host makes of one set of plugins: made whole, never changed, and swapped whole when the plugins change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from .runtime import Runtime, SyncRuntime

if TYPE_CHECKING:
    from clippy_hookspecs import Upstream

    from .chains import Chains
    from .config import Config
    from .discovery import Discovered
    from .lifespans import Life
    from .registry import Registry, ServicesView
    from .settings import Settings


class Tables:
    """One set of plugins under one configuration: chains, services, settings, and what the plugins hold open.

    ``offers`` are the services by plugin, ``upstream`` is the one that a plugin offers.  ``settings`` are made when the
    first request asks.  ``under_way`` are the ids of the requests that use this set; ``unused`` is called when the last
    of them has ended, once somebody waits for that.
    """

    def __init__(
        self,
        config: Config,
        discovered: Discovered,
        chains: Chains,
        registry: Registry,
        offers: Mapping[str, Registry],
        views: Mapping[bool, ServicesView],
        upstream: Upstream | None,
        life: Life,
    ) -> None:
        self.config, self.discovered, self.chains = config, discovered, chains
        self.plugins = MappingProxyType({plugin.name: plugin.object for plugin in discovered.loaded})
        self.registry, self.offers, self.views, self.upstream = registry, offers, views, upstream
        self.life = life
        self.settings: Settings | None = None
        self.salt = b""
        self.under_way: set[str] = set()
        self.unused: Callable[[], None] | None = None
        self._less: dict[frozenset[str], Chains] = {}

    def view(self, runtime: Runtime) -> ServicesView:
        """The services, as requests of this runtime see them."""
        return self.views[isinstance(runtime, SyncRuntime)]

    def without(self, plugins: frozenset[str]) -> Chains:
        """The chains less some plugins: those on whose behalf a request is made."""
        less = self._less.get(plugins)
        if less is None:
            less = self._less[plugins] = self.chains.without(plugins)
        return less

    def record_nothing(self) -> None:
        """Call no ``audit`` and no ``observe``.  Before the first request only."""
        chains = self.chains
        self.chains = type(chains)({**chains.steps, "audit": (), "observe": ()}, chains.faults)

    def ended(self, request: str) -> None:
        """No plugin will be called for this request any more."""
        self.under_way.discard(request)
        unused = self.unused
        if unused is not None and not self.under_way:
            unused()
