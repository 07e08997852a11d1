"""Which suite is for which plugin."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from clippy_hookspecs import StateStore

from ...plugin_check import check_class
from .base import Contract, suite_for
from .bench import Bench
from .cache import CacheContract
from .observer import ObserverContract
from .plugin import PluginContract
from .retry_policy import LIMITED, OVERLOADED, RetryPolicyContract
from .state_store import StateStoreContract
from .text_filter import TextFilterContract


def _hooks(cls: type[Any]) -> set[str]:
    return set(check_class(cls).implementations)


@contextlib.contextmanager
def _made(cls: type[Any], suite: type[Contract] = Contract) -> Iterator[Any]:
    """A case of *suite* around *cls*, in a folder of its own."""
    case = suite_for(suite, lambda self: cls())()
    case.setup_method()
    try:
        yield case
    finally:
        case.teardown_method()


def _no_misfit(cls: type[Any]) -> str:
    return ""


def _cache(cls: type[Any]) -> str:
    missing = [hook for hook in ("cache_lookup", "cache_store") if hook not in _hooks(cls)]
    if missing:
        return f"it does not implement {' and '.join(missing)}"
    waits_for = _idle(cls)
    return f"it stores nothing without settings ({waits_for})" if waits_for else ""


def _retry_policy(cls: type[Any]) -> str:
    if "on_error" not in _hooks(cls):
        return "it does not implement on_error"
    try:
        with _made(cls, RetryPolicyContract) as case:
            decided = [case.decide(case.make(), info) for info in (OVERLOADED, LIMITED)]
    except Exception:  # then the suite will tell what is wrong
        return ""
    return "" if any(wait is not None for wait in decided) else "its on_error never tries again"


def _text_filter(cls: type[Any]) -> str:
    if "on_chunk" not in _hooks(cls):
        return "it does not implement on_chunk"
    return "it only looks (observes_only)" if _only_looks(cls) else ""


def _state_store(cls: type[Any]) -> str:
    if "register_services" not in _hooks(cls):
        return "it offers no service"
    try:
        with _made(cls) as case:
            bench: Bench = case.bench()
            offers = bench.host.chains.steps["register_services"]
            stores = [bench.host._serving.current.registry.find(StateStore)]  # noqa: SLF001 (as it was offered)
            theirs = bool(offers) and type(stores[0]).__module__ != "clippy_core.state_memory"
    except Exception:  # then the general suite will tell what is wrong
        theirs = False
    return "" if theirs else "it offers no StateStore"


def _observer(cls: type[Any]) -> str:
    if not _hooks(cls) & {"audit", "observe"}:
        return "it implements neither audit nor observe"
    return "" if _only_looks(cls) else "it does not say observes_only"


def _idle(cls: type[Any]) -> str:
    """Why a plugin does nothing as it is made for the suites."""
    try:
        with _made(cls) as case:
            return str(getattr(case.make(), "idle", ""))
    except Exception:  # then the general suite will tell what is wrong
        return ""


def _only_looks(cls: type[Any]) -> bool:
    try:
        with _made(cls) as case:
            return bool(getattr(case.make(), "observes_only", False))
    except Exception:  # then the general suite will tell what is wrong
        return False


SUITES: dict[type[Contract], Callable[[type[Any]], str]] = {
    PluginContract: _no_misfit,
    CacheContract: _cache,
    RetryPolicyContract: _retry_policy,
    TextFilterContract: _text_filter,
    StateStoreContract: _state_store,
    ObserverContract: _observer,
}
"""Each suite, and what says why it does not fit a plugin's class; "" if it does."""
