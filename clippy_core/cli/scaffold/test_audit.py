"""Its test."""

from __future__ import annotations

from clippy_hookspecs import Usage

from clippy_core.testing import Reply

from .audit import Plugin
from .trial import trial


def test_tokens_are_counted_by_model() -> None:
    """Of plain and of streamed answers."""
    plugin = Plugin()
    with trial(plugin, script=Reply("Hello", usage=Usage(input=10, output=5))) as it:
        it.client.chat("One?", model="small")
        it.client.chat("Two?", model="large")
        list(it.client.stream("Three?", model="large", stream_options={"include_usage": True}))
    assert plugin.tokens == {"small": 15, "large": 30}
