"""Its tests."""

from __future__ import annotations

from .compress_context import Plugin
from .trial import trial

CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "One."},
    {"role": "user", "content": "Two?"},
]


def test_the_oldest_turns_are_left_out() -> None:
    """The instructions stay."""
    with trial(Plugin(turns=1)) as it:
        it.client.chat(CONVERSATION)
        sent = it.provider.requests[0].json["messages"]
        assert sent == [CONVERSATION[0], CONVERSATION[-1]]


def test_without_the_setting_everything_is_sent() -> None:
    """A default changes no answer."""
    with trial(Plugin()) as it:
        it.client.chat(CONVERSATION)
        assert it.provider.requests[0].json["messages"] == CONVERSATION
