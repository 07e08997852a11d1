"""Its tests."""

from __future__ import annotations

import pytest

from clippy_core.testing import Reply

from .on_chunk import Plugin
from .trial import trial

ANSWER = "the secret is no secret"


def test_a_word_is_replaced_in_a_whole_answer() -> None:
    """Everywhere."""
    with trial(Plugin(word="secret"), script=Reply(ANSWER)) as it:
        assert it.client.chat("Hi").text == "the *** is no ***"


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_a_word_is_replaced_in_a_stream_wherever_it_is_cut(cut: int) -> None:
    """A part of the word waits for the rest of it."""
    reply = Reply(ANSWER, chunks=(ANSWER[:cut], ANSWER[cut:]))
    with trial(Plugin(word="secret"), script=reply) as it:
        assert "".join(it.client.stream("Hi").text()) == "the *** is no ***"


def test_without_a_word_nothing_is_replaced() -> None:
    """A default changes no answer."""
    with trial(Plugin(), script=Reply(ANSWER)) as it:
        assert it.client.chat("One?").text == ANSWER
        assert "".join(it.client.stream("Two?").text()) == ANSWER
