"""A host with a plugin, and somebody to ask: for the tests of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen

import clippy_core
from clippy_core.testing import FakeProvider, VirtualClock


@frozen
class Trial:
    """A host with the plugin, a client of it, the provider that it asks, and the clock of all three."""

    host: clippy_core.Host
    client: clippy_core.Client
    provider: FakeProvider
    clock: VirtualClock


@contextmanager
def trial(*plugins: object, script: Any = None) -> Iterator[Trial]:
    """A trial of *plugins* against a provider that answers as *script* says; no network, and waiting takes no time."""
    clock = VirtualClock()
    provider = FakeProvider(script, clock=clock)
    routes = {"main": {"base_url": "http://fake.test/v1", "key": "none", "model": "m"}}
    host = clippy_core.Host(plugins, config={"routes": routes}, clock=clock)
    with host, clippy_core.Client(host, provider.client()) as client:
        yield Trial(host, client, provider, clock)
