"""A provider that never was, its faults, time that a test owns, and contract suites: for plugin authors and ourselves.

In process, in no time::

    provider = FakeProvider([Fault.status(503), Reply("Hello")], clock=VirtualClock())
    client = OpenAI(api_key="none", http_client=provider.client(httpx2))

Over loopback, for everything that brings its own HTTP::

    with FakeServer(Reply("Hello")) as server:
        client = OpenAI(api_key="none", base_url=server.base_url)

What every cache, retry policy, filter, store, observer and plugin must do::

    class TestMyCache(CacheContract):
        def make(self):
            return MyCache(path=self.folder / "cache.db")

With pytest installed its fixtures ``clippy_host``, ``fake_provider`` and ``clippy_clock`` are there by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clock import VirtualClock
    from .contracts.base import Contract, NotApplicable, vital
    from .contracts.bench import Bench
    from .contracts.cache import CacheContract
    from .contracts.observer import ObserverContract
    from .contracts.plugin import PluginContract
    from .contracts.retry_policy import RetryPolicyContract
    from .contracts.state_store import StateStoreContract
    from .contracts.text_filter import TextFilterContract
    from .faults import Fault
    from .provider import FakeProvider
    from .script import Mix, Raw, Reply, Script, call
    from .seen import SeenRequest
    from .server import FakeServer
    from .upstream import FakeUpstream

_HOME = {
    "Bench": "contracts.bench",
    "CacheContract": "contracts.cache",
    "Contract": "contracts.base",
    "FakeProvider": "provider",
    "FakeServer": "server",
    "FakeUpstream": "upstream",
    "Fault": "faults",
    "Mix": "script",
    "NotApplicable": "contracts.base",
    "ObserverContract": "contracts.observer",
    "PluginContract": "contracts.plugin",
    "Raw": "script",
    "Reply": "script",
    "RetryPolicyContract": "contracts.retry_policy",
    "Script": "script",
    "SeenRequest": "seen",
    "StateStoreContract": "contracts.state_store",
    "TextFilterContract": "contracts.text_filter",
    "VirtualClock": "clock",
    "call": "script",
    "vital": "contracts.base",
}

__all__ = [
    "Bench",
    "CacheContract",
    "Contract",
    "FakeProvider",
    "FakeServer",
    "FakeUpstream",
    "Fault",
    "Mix",
    "NotApplicable",
    "ObserverContract",
    "PluginContract",
    "Raw",
    "Reply",
    "RetryPolicyContract",
    "Script",
    "SeenRequest",
    "StateStoreContract",
    "TextFilterContract",
    "VirtualClock",
    "call",
    "vital",
]


def __getattr__(name: str) -> Any:
    """Import on first use: pytest loads this package wherever it is installed, mostly for tests without any of it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
