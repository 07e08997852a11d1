"""What holds for every failure there can be."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from typing import Any

import pytest
from clippy_errors import KINDS, classify
from clippy_hookspecs import Failure, Headers
from hypothesis import given, settings
from hypothesis import strategies as st

WORDS = st.sampled_from(
    ["error", "code", "type", "message", "status", "details", "insufficient_quota", "rate_limit_exceeded",
     "retry_after", "choices", "finish_reason", "try again in 5s", "limit 5, requested 9",
     "content_filter", "__type", "base_resp"]
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(WORDS, st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=6)),
    max_leaves=20,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    VALUES.map(lambda v: json.dumps(v).encode()),
    VALUES.map(lambda v: json.dumps(v).encode()[:-3]),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["retry-after", "retry-after-ms", "x-should-retry", "x-ratelimit-reset-tokens", "server", "x-amzn-errortype"]
    ),
    st.one_of(st.text(max_size=20), st.sampled_from(["true", "false", "nan", "inf", "-1", "30", "1e9", "6m0s"])),
)  # fmt: skip
EXCEPTIONS = st.sampled_from([None, TimeoutError(), ConnectionError("x"), ValueError("x"), MemoryError()])


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(st.none(), st.integers(0, 700)), HEADERS, BODIES, EXCEPTIONS, st.booleans(), st.sampled_from([0.0, 1e9])
)
def test_every_failure_gets_a_sound_verdict(
    status: int | None, headers: dict[str, str], body: bytes, exception: Any, committed: bool, now: float
) -> None:
    """No input makes the classifier raise, retry a spent quota or a delivered answer, or invent a wait."""
    info = classify(Failure(status, Headers(headers), body, exception, "response", committed, now=now))
    assert info.kind in KINDS
    assert info.retry_after is None or (math.isfinite(info.retry_after) and info.retry_after > 0)
    assert not (info.retryable and (info.kind in ("quota", "unknown") or committed or (info.retry_after or 0) > 60))
    assert len(info.message) <= 300
    assert info.message.isprintable()


@given(st.sampled_from([401, 403, 404, 405, 410, 413, 422]), BODIES)
def test_text_never_makes_a_final_status_retryable(status: int, body: bytes) -> None:
    """Below 500 only a rate limit that hides behind another status can be worth a retry."""
    info = classify(Failure(status, body=body))
    assert not info.retryable or info.category == "rate_limit"


@pytest.mark.parametrize(
    "pump",
    [
        "try again in ",
        '"code": "',
        '{"error": ',
        "[",
        "data: {\n",
        "1h",
        "limit: ",
        "Aa",
        "<title",
        "a1" * 8,
        " ",
        "key: ",
    ],
)
def test_hostile_bodies_cost_linear_time(pump: str) -> None:
    """64 KiB of a repeated piece are judged in well under a second, plain and as a message."""
    text = pump * (65536 // len(pump))
    bodies = [text.encode(), json.dumps({"error": {"message": text, "code": text}}).encode()]
    start = time.thread_time()  # which passes only while it works: a busy machine takes its time
    for body in bodies:
        classify(Failure(429, body=body, now=1.0))
    assert time.thread_time() - start < 1.0


def test_no_http_library_is_imported() -> None:
    """Exceptions are known by name, so installing the classifier brings no HTTP stack along."""
    code = "import sys, clippy_errors; print(sorted({'httpx', 'httpx2', 'anyio', 'clippy_core'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
