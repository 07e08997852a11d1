"""Making a host, or changing one that works: which plugins it has, their chains, and its services."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clippy_hookspecs import POLICIES, Clock, ConfigError, StateStore, TokenCounter, Upstream

from .chains import Chains, Step, compile_step
from .config import Config
from .discovery import Discovered, discover, keeping
from .faults import Faults, raise_failed
from .lifespans import Life
from .portal import Portal
from .registry import Registry, ServicesView
from .state_memory import MemoryStateStore
from .tables import Tables
from .tokens import HeuristicTokenCounter
from .trace import trace_steps

if TYPE_CHECKING:
    from .flights import Flights

_NOTHING: frozenset[str] = frozenset()


class SystemClock:
    """The machine's own time."""

    now = staticmethod(time.monotonic)
    time = staticmethod(time.time)


class OwnServices:
    """What a host itself offers, beside its plugins.

    It outlives a change of plugins: counters must not be lost, and time may not jump under requests that are under way,
    so that the first clock is the clock for good.
    """

    def __init__(self, upstream: Upstream, clock: Clock | None) -> None:
        self.upstream, self.clock = upstream, clock
        self.tokens: TokenCounter = HeuristicTokenCounter()
        self.store: StateStore | None = None
        self.flights: Flights | None = None
        self._making = threading.Lock()

    def begin_flights(self) -> Flights:
        """The flights of equal requests, made by the first request: a host without plugins needs none."""
        from .flights import Flights

        with self._making:
            self.flights = self.flights or Flights()
            return self.flights

    def complete(self, registry: Registry) -> None:
        """Offer for everything that no plugin offers."""
        registry.offer(Clock, SystemClock())
        registry.offer(TokenCounter, self.tokens)
        self.clock = clock = registry.find(Clock)  # type: ignore[assignment]
        if self.store is None:
            self.store = MemoryStateStore(clock)  # type: ignore[arg-type]
        registry.offer(StateStore, self.store)
        registry.offer(Upstream, self.upstream)


def make_tables(
    host: object,
    config: Config,
    given: Mapping[str, object] | Sequence[object] | None,
    own: OwnServices,
    portal: Portal,
    before: Tables | None = None,
    load: Callable[[Any], Any] | None = None,
) -> Tables:
    """The tables of a host, which are to replace those of *before*; *load* imports what an entry point names.

    Raises :class:`~clippy_hookspecs.ConfigError` with every fault of the configuration and of plugins that it names,
    and PluginError for a plugin that cannot offer its services.
    """
    found = discover(config, given, load=load)
    faults = (*config.faults, *found.faults)
    if faults:
        raise ConfigError(faults)
    if before is not None:
        found = keeping(before.discovered, found)
    found.log(config.deprecated, before.discovered if before is not None else None)
    kept = _kept(before, found)
    chains = _compile(config, found, _faults(before, kept))
    offers = _offers(chains, before, kept)
    registry = Registry()
    if own.clock is not None:
        registry.offer(Clock, own.clock)
    for offered in offers.values():
        registry.add(offered)
    upstream: Any = registry.find(Upstream)
    own.complete(registry)
    views = {sync: ServicesView(registry, portal, sync) for sync in (True, False)}
    life = Life(host, chains.steps["lifespan"], portal, before.life if before is not None else None, kept)
    tables = Tables(config, found, chains, registry, offers, views, upstream, life)
    if before is not None and before.settings is not None and before.config.host.salt_path == config.host.salt_path:
        tables.salt = before.settings.salt  # where it cannot be written, another would part callers from their answers
    return tables


def _kept(before: Tables | None, now: Discovered) -> frozenset[str]:
    """The plugins that are the same objects as before."""
    if before is None:
        return _NOTHING
    were = {plugin.name: plugin.object for plugin in before.discovered.loaded}
    return frozenset(plugin.name for plugin in now.loaded if were.get(plugin.name) is plugin.object)


def _faults(before: Tables | None, kept: frozenset[str]) -> Faults:
    """A plugin that stays keeps its count of failures, and stays switched off if it was."""
    if before is None:
        return Faults()
    old = before.chains.faults
    return Faults({at: count for at, count in [*old.counts.items()] if at[0] in kept}, old.disabled & kept)


def _compile(config: Config, found: Discovered, faults: Faults) -> Chains:
    """The chain of every hook."""
    steps: dict[str, tuple[Step, ...]] = {}
    for hook in POLICIES:
        steps[hook] = tuple(
            compile_step(hook, plugin.name, plugin.version, plugin.method(hook), found.on_failure(plugin))
            for plugin in found.chain(hook)
        )
    steps["audit"] += trace_steps(config)
    return Chains(steps, faults)


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
