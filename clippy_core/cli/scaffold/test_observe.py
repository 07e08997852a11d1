"""Its test."""

from __future__ import annotations

from clippy_core.testing import Reply

from .observe import Plugin
from .trial import trial


def test_what_happens_inside_is_counted() -> None:
    """An attempt, its head, the chunks of a stream, and its end."""
    plugin = Plugin()
    with trial(plugin, script=Reply("Hello", chunks=("Hel", "lo"))) as it:
        list(it.client.stream("Hi"))
    assert plugin.events["attempt"] == plugin.events["head"] == plugin.events["closed"] == 1
    assert plugin.events["chunk_in"] >= 2
    assert plugin.events["bytes"] >= 1
