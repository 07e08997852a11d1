"""The pause after a failure begins with the first and ends with an answer to a question that came after it."""

from __future__ import annotations

from clippy_redis.rest import Rest

from clippy_core.testing import VirtualClock


def test_an_answer_from_before_the_failure_does_not_end_the_pause() -> None:
    """Two calls are under way when the server goes: one fails, the other's answer had already come."""
    clock = VirtualClock()
    rest = Rest(5.0, clock.now)
    began_after = rest.failures
    assert rest.begin("it is gone")
    assert not rest.over(began_after)
    assert str(rest.refusal()).startswith("it is gone; not asked again for ")


def test_when_it_is_over_one_caller_tries_and_its_answer_ends_it() -> None:
    """The others wait for that, or for another pause."""
    clock = VirtualClock()
    rest = Rest(5.0, clock.now)
    rest.begin("it is gone")
    clock.advance(7.5)
    assert rest.refusal() is None
    assert rest.refusal() is not None
    assert rest.over(rest.failures)
    assert rest.refusal() is None
    assert not rest.over(rest.failures)


def test_a_failure_is_news_once_in_a_pause() -> None:
    """However many calls learn of it."""
    rest = Rest(5.0, VirtualClock().now)
    assert [rest.begin("it is gone") for _ in range(3)] == [True, False, False]
