"""Making a host: which plugins it has, their chains, and its services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clippy_hookspecs import POLICIES, Clock, ConfigError, StateStore, TokenCounter, Upstream

from .chains import Chains, Faults, Step, compile_step, raise_failed
from .config import Config
from .discovery import Discovered, discover
from .registry import Registry
from .runtime import SystemClock
from .state_memory import MemoryStateStore
from .tokens import HeuristicTokenCounter
from .trace import trace_steps


def find_plugins(config: Config, given: Mapping[str, object] | Sequence[object] | None) -> Discovered:
    """The plugins of a host, with warnings for those that it runs without.  Raises ConfigError with every fault."""
    found = discover(config, given)
    faults = (*config.faults, *found.faults)
    if faults:
        raise ConfigError(faults)
    found.log(config.deprecated)
    return found


def compile_chains(config: Config, found: Discovered) -> Chains:
    """The chain of every hook."""
    steps: dict[str, tuple[Step, ...]] = {}
    for hook in POLICIES:
        steps[hook] = tuple(
            compile_step(hook, plugin.name, plugin.version, plugin.method(hook), found.on_failure(plugin))
            for plugin in found.chain(hook)
        )
    steps["audit"] += trace_steps(config)
    return Chains(steps, Faults())


def offer_services(chains: Chains, clock: Clock | None, http: Upstream) -> Registry:
    """The services: *clock* if one is given, then what plugins offer, then the host's own.  Raises PluginError."""
    registry = Registry()
    if clock is not None:
        registry.offer(Clock, clock)
    for step in chains.steps["register_services"]:
        try:
            step.function(registry)
        except Exception as error:
            raise_failed(step, error)
    registry.offer(Clock, SystemClock())
    registry.offer(TokenCounter, HeuristicTokenCounter())
    registry.offer(StateStore, MemoryStateStore(registry.find(Clock)))  # type: ignore[arg-type]
    registry.offer(Upstream, http)
    return registry
