"""Its tests."""

from __future__ import annotations

from .cache import Plugin
from .trial import trial


def test_a_question_is_answered_once_by_the_provider() -> None:
    """And from memory afterwards, plain and streamed."""
    with trial(Plugin()) as it:
        first = it.client.chat("Hi").text
        assert it.client.chat("Hi").text == first
        assert "".join(it.client.stream("Hi").text()) == first
        assert it.provider.calls == 1


def test_an_answer_is_good_for_its_time() -> None:
    """Then the provider is asked again."""
    with trial(Plugin(ttl=60.0)) as it:
        it.client.chat("Hi")
        it.clock.advance(59.0)
        it.client.chat("Hi")
        assert it.provider.calls == 1
        it.clock.advance(1.0)
        it.client.chat("Hi")
        assert it.provider.calls == 2


def test_the_oldest_answers_go_first() -> None:
    """There are never more than the configuration allows."""
    with trial(Plugin(max_entries=1)) as it:
        for question in ("one", "two", "two", "one"):
            it.client.chat(question)
        assert it.provider.calls == 3


def test_what_is_invalidated_is_asked_again() -> None:
    """The program has the last word."""
    with trial(Plugin()) as it:
        it.client.chat("Hi")
        it.host.invalidate(key="another")
        it.client.chat("Hi")
        assert it.provider.calls == 1
        it.host.invalidate()
        it.client.chat("Hi")
        assert it.provider.calls == 2
