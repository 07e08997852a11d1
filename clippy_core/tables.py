"""What a host makes of one set of plugins: made whole, never changed, and swapped whole when the plugins change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import define, field
from clippy_hookspecs import POLICIES, Clock, ConfigError, StateStore, TokenCounter, Upstream

from .chains import Chains, Faults, Step, compile_step, raise_failed
from .config import Config
from .discovery import Discovered, Plugin
from .fingerprint import fingerprint
from .lifespans import Life
from .portal import Portal
from .registry import Registry, ServicesView
from .runtime import Runtime, SyncRuntime, SystemClock
from .salt import load_salt
from .settings import Settings
from .state_memory import MemoryStateStore
from .tokens import HeuristicTokenCounter

if TYPE_CHECKING:
    from .host import Host

log = logging.getLogger("clippy")


@define(eq=False)
class OwnServices:
    """What a host itself offers, beside its plugins.

    It outlives a change of plugins: counters must not be lost, and time may not jump under requests that are under way,
    so that the first clock is the clock for good.
    """

    upstream: Upstream
    clock: Clock | None = None
    store: StateStore | None = None
    tokens: TokenCounter = field(factory=HeuristicTokenCounter)

    def complete(self, registry: Registry) -> None:
        """Offer for everything that no plugin offers."""
        registry.offer(Clock, SystemClock())
        registry.offer(TokenCounter, self.tokens)
        self.clock = clock = registry.find(Clock)  # type: ignore[assignment]
        if self.store is None:
            self.store = MemoryStateStore(clock)  # type: ignore[arg-type]
        registry.offer(StateStore, self.store)
        registry.offer(Upstream, self.upstream)


@define(eq=False)
class Tables:
    """One set of plugins under one configuration: chains, services, settings, and what the plugins hold open.

    ``upstream`` is the one that a plugin offers.  ``under_way`` are the ids of the requests that use this set;
    ``unused`` is called when the last of them has ended, once somebody waits for that.
    """

    config: Config
    discovered: Discovered
    chains: Chains
    registry: Registry
    offers: Mapping[str, Registry]
    views: Mapping[bool, ServicesView]
    upstream: Upstream | None
    life: Life
    under_way: set[str] = field(factory=set)
    unused: Callable[[], None] | None = None
    salt: bytes = field(default=b"", repr=False)
    _settings: Settings | None = None
    _less: dict[frozenset[str], Chains] = field(factory=dict)

    @property
    def settings(self) -> Settings:
        """What requests need to know of the configuration; made when the first one asks."""
        if self._settings is None:
            config = self.config.host
            self._settings = Settings(
                routes=config.routes,
                limits=config.deadlines,
                route_limits={name: route.deadlines for name, route in config.routes.items()},
                context={n: route.context_tokens for n, route in config.routes.items() if route.context_tokens},
                audit_content=config.audit.content,
                trust_headers=config.trust_headers,
                abandoned_after=config.abandoned_after,
                fingerprint=fingerprint(self.discovered.loaded, self.chains),
                salt=b"" if self.chains.idle else self.salt or load_salt(config.salt_path),
            )
        return self._settings

    def view(self, runtime: Runtime) -> ServicesView:
        """The services, as requests of this runtime see them."""
        return self.views[isinstance(runtime, SyncRuntime)]

    def without(self, plugins: frozenset[str]) -> Chains:
        """The chains less some plugins: those on whose behalf a request is made."""
        less = self._less.get(plugins)
        if less is None:
            less = self._less[plugins] = self.chains.without(plugins)
        return less

    def ended(self, request: str) -> None:
        """No plugin will be called for this request any more."""
        self.under_way.discard(request)
        unused = self.unused
        if unused is not None and not self.under_way:
            unused()


def make_tables(
    host: Host, config: Config, discovered: Discovered, own: OwnServices, portal: Portal, before: Tables | None = None
) -> Tables:
    """The tables of a set of plugins, which is to replace that of *before*.

    Raises :class:`~clippy_hookspecs.ConfigError` with every fault of the configuration and of plugins that it names,
    and PluginError for a plugin that cannot offer its services.
    """
    faults = (*config.faults, *discovered.faults)
    if faults:
        raise ConfigError(faults)
    kept = frozenset(_kept(before.discovered, discovered)) if before else frozenset()
    _tell(discovered, before.discovered if before else None)
    chains = _compile(config, discovered, _faults(before, kept))
    offers = _offers(chains, before, kept)
    registry = Registry()
    if own.clock is not None:
        registry.offer(Clock, own.clock)
    for offered in offers.values():
        registry.add(offered)
    upstream: Upstream | None = registry.find(Upstream)  # type: ignore[assignment]
    own.complete(registry)
    views = {sync: ServicesView(registry, portal, sync) for sync in (True, False)}
    life = Life(host, chains.steps["lifespan"], portal, before.life if before else None, kept)
    made = Tables(config, discovered, chains, registry, offers, views, upstream, life)
    if before is not None and before.config.host.salt_path == config.host.salt_path:
        made.salt = before.settings.salt  # where it cannot be written, another would part callers from their answers
    return made


def _kept(before: Discovered, now: Discovered) -> list[str]:
    were = {plugin.name: plugin.object for plugin in before.loaded}
    return [plugin.name for plugin in now.loaded if were.get(plugin.name) is plugin.object]


def _tell(discovered: Discovered, before: Discovered | None) -> None:
    """Log what is odd about the plugins, unless it was said before."""
    said = {line for plugin in before.plugins for line in _oddities(plugin)} if before else set()
    for plugin in discovered.plugins:
        for line in _oddities(plugin):
            if line not in said:
                log.warning("%s", line)


def _oddities(plugin: Plugin) -> tuple[str, ...]:
    if plugin.status != "quarantined":
        return plugin.warnings
    return (
        f"{plugin.reason} (the program runs without it; name it in the configuration if it must not)",
        *plugin.warnings,
    )


def _faults(before: Tables | None, kept: frozenset[str]) -> Faults:
    """A plugin that stays keeps its count of failures, and stays switched off if it was."""
    if before is None:
        return Faults()
    old = before.chains.faults
    return Faults({at: count for at, count in old.counts.items() if at[0] in kept}, old.disabled & kept)


def _compile(config: Config, found: Discovered, faults: Faults) -> Chains:
    steps: dict[str, tuple[Step, ...]] = {}
    for hook in POLICIES:
        steps[hook] = tuple(
            compile_step(hook, plugin.name, plugin.version, plugin.method(hook), found.on_failure(plugin))
            for plugin in found.chain(hook)
        )
    return Chains(steps, faults, trace=config.host.trace)


def _offers(chains: Chains, before: Tables | None, kept: frozenset[str]) -> dict[str, Registry]:
    """What each plugin offers, outermost first; one that stays is not asked again: its services keep their state."""
    offers: dict[str, Registry] = {}
    for step in chains.steps["register_services"]:
        if before is not None and step.plugin in kept:
            offers[step.plugin] = before.offers[step.plugin]
            continue
        offers[step.plugin] = own = Registry()
        try:
            step.function(own)
        except Exception as error:
            raise_failed(step, error)
    return offers
