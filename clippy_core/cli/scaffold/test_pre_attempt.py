"""Its test."""

from __future__ import annotations

from .pre_attempt import Plugin
from .trial import trial


def test_an_attempt_has_its_number() -> None:
    """Another for each request."""
    with trial(Plugin(header="x-number")) as it:
        it.client.chat("One?")
        it.client.chat("Two?")
        one, two = (request.headers["x-number"] for request in it.provider.requests)
        assert one.endswith("-1")
        assert two.endswith("-1")
        assert one != two
