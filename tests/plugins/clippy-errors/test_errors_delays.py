"""Server-directed waits in all their forms."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from clippy_errors.delays import duration, moment_or_length, rate_limit_reset, retry_after, sentence
from clippy_hookspecs import Headers
from hypothesis import given
from hypothesis import strategies as st

NOW = 1763800000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360), ("1s", 1), ("174ms", 0.174), ("1h2m3.5s", 3723.5), ("7.66s", 7.66), ("500µs", 0.0005),
        ("20 seconds", 20), ("1 minute", 60), ("2 minutes and 5 seconds", 125), ("1h, 30 min", 5400), ("00:12:34", 754),
        ("2d", 172800), ("", None), ("0s", None), ("soon", None), ("5 apples", None), ("1s1h", None), ("s", None),
    ],
)  # fmt: skip
def test_lengths(text: str, seconds: float | None) -> None:
    """Go's, protobuf's and people's ways to write a length of time; nothing else is one."""
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 7m12s.", 432), ("Please retry after 86400 seconds. Go here", 86400),
        ("try again in 174ms", 0.174), ("Please retry in 28.5s.", 28.5),
        ("Please wait 23 seconds before retrying.", 23),
        ("Retry after 20.", 20), ("Retry after 3 attempts", None), ("try again later", None),
        ("Try again at 12:30:00", None),
        ("Created within the last 5 minutes, please wait a moment and try again.", None),
        ("wait 5 seconds, or try again in 10 seconds", 10), ("resets in about 2 hours", 7200),
        ("Please try again in at least 3 seconds", 3), ("quota resets at 2025-11-22T08:27:10Z", 30),
        ("retry after: 9s", 9), ("await 5 seconds", None),
        ("Limit resets at: 2025-11-22 08:27:10 UTC", 30), ("available at 2025-11-22 08:27:10.5Z.", 30),
        ("resets on 2025-11-22 08:27 GMT", 20), ("Limit resets at 2025-11-22 08:27:10", None),
        ("Please retry your request after 1.5 minutes", 90), ("come back in 10 minutes", 600), ("in 2 weeks", None),
        ("Try again in 1,200 seconds", 1200), ("Try again in 10-15 seconds", 15), ("wait 1 to 2 minutes", 120),
        ("Please try again in 2 weeks", 1209600), ("请在 20 秒后重试", 20), ("请 1 分钟之后再试", 60),
        ("20秒後に再試行してください", 20), ("请稍后再试", None), ("每 60 秒 3 次", None),
        ("resets at 2025-99-99 08:27:10 UTC", None), ("resets at 2025-11-21 08:27:10 UTC", None),
    ],
)  # fmt: skip
def test_sentences(text: str, seconds: float | None) -> None:
    """Only a length that the sentence ties to coming back is a wait, and the longest of them counts."""
    assert sentence(text, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20), ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after": "2", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "2", "retry-after-ms": "nan"}, 2), ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, None), ({"retry-after": str(NOW + 30)}, 30),
        ({"retry-after": "1763800030000"}, 30), ({"retry-after": "1m30s"}, 90), ({"retry-after": "9" * 400}, None),
        ({"retry-after": "٣"}, None), ({"retry-after": "1_0"}, None),
        ({"retry-after": "Thu, 99 Foo"}, None), ({}, None),
        ({"x-ms-retry-after": "9"}, 9), ({"llm_provider-retry-after": "9"}, 9), ({"x-no-retry-after-all": "9"}, None),
        ({"retry-after": "2", "llm_provider-retry-after": "9"}, 2),
        ({"retry-after": "30", "llm_provider-retry-after-ms": "100"}, 30),
        ({"retry-after": "", "x-retry-after": "9"}, 9),
        ({"retry-after": "30, 120"}, 120), ({"retry-after": "1m, 5"}, 60), ({"retry-after": "5, soon"}, 5),
        ({"retry-after": "-5, 0"}, None), ({"retry-after": ","}, None),
    ],
)  # fmt: skip
def test_retry_after_headers(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, fractions, milliseconds, dates and moments; what is none of them is as if it had not been sent."""
    assert retry_after(Headers(headers), NOW) == (None if seconds is None else pytest.approx(seconds))


def test_limits_that_are_not_spent_say_nothing() -> None:
    """Reset headers come with every answer; only the spent limit's time is a wait."""
    both = {"x-ratelimit-reset-requests": "8h", "x-ratelimit-reset-tokens": "6m0s"}
    left = {"x-ratelimit-remaining-requests": "9", "x-ratelimit-remaining-tokens": "0"}
    assert rate_limit_reset(Headers({**both, **left}), "requests", NOW) == 360
    assert rate_limit_reset(Headers(both), "tokens", NOW) == 360
    assert rate_limit_reset(Headers({"ratelimit": '"default";r=0;t=5'}), "requests", NOW) == 5
    assert rate_limit_reset(Headers({"ratelimit-limit": "3", "ratelimit-reset": "7"}), "requests", NOW) == 7
    assert rate_limit_reset(Headers({"anthropic-ratelimit-tokens-reset": "2025-11-22T08:27:10Z"}), "tokens", NOW) == 30
    assert rate_limit_reset(Headers({"content-type": "x"}), "requests", NOW) is None


@given(
    st.one_of(
        st.text(max_size=80), st.floats(), st.integers(), st.none(), st.booleans(),
        st.text("0123456789:.smhd -", max_size=20),
        st.dictionaries(
            st.sampled_from(["seconds", "nanos"]), st.one_of(st.floats(), st.integers(), st.text(max_size=5))),
    ),
    st.sampled_from([0.0, NOW]),
)  # fmt: skip
def test_a_delay_is_finite_and_positive_or_none(value: object, now: float) -> None:
    """Whatever a server sends, backoff never sees NaN, infinity, zero or a negative number."""
    waits = [moment_or_length(value, now)]
    if isinstance(value, str):
        waits += [sentence(f"try again in {value}", now), retry_after(Headers({"retry-after": value}), now)]
    for wait in waits:
        assert wait is None or (math.isfinite(wait) and wait > 0)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_lengths_add_up(hours: int, minutes: int, seconds: int, millis: int) -> None:
    """A length written in parts is the sum of its parts, alone and in a sentence."""
    text = f"{hours}h{minutes}m{seconds}s{millis}ms"
    total = hours * 3600 + minutes * 60 + seconds + millis / 1000
    expected = pytest.approx(total) if total else None
    assert duration(text) == expected
    assert sentence(f"Please try again in {text}. Bye", NOW) == expected
