"""Its test."""

from __future__ import annotations

import pytest
from clippy_hookspecs import ProviderError

from clippy_core.testing import Fault, Reply, Script

from .post_attempt import Plugin
from .trial import trial


def test_attempts_are_counted_by_how_they_ended() -> None:
    """Each once."""
    plugin = Plugin()
    with trial(plugin, script=Script(Fault.status(400), then=Reply("Hello"))) as it:
        with pytest.raises(ProviderError):
            it.client.chat("One?")
        it.client.chat("Two?")
        it.client.chat("Three?")
    assert plugin.ended == {("main", "error"): 1, ("main", "ok"): 2}
