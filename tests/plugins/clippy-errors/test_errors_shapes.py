"""The classifier against the documented error shapes of many providers, beyond the corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clippy_errors import KINDS, ErrorClassifier, classify
from clippy_hookspecs import DeadlineExceeded, ErrorInfo, Failure, Headers

NOW = 1763800000.0
SHAPES = [json.loads(line) for line in Path(__file__).with_name("shapes.jsonl").read_text().splitlines()]


def answer(status: int, body: str = "", headers: dict[str, str] | None = None, **more: Any) -> Failure:
    return Failure(status, Headers(headers or {}), body.encode(), now=NOW, **more)


@pytest.mark.parametrize("shape", SHAPES, ids=[f"{n}-{shape['kind']}" for n, shape in enumerate(SHAPES)])
def test_documented_shape(shape: dict[str, Any]) -> None:
    """Kind, retryability and delay follow from what the provider documents."""
    info = classify(answer(shape["status"], shape["body"], shape["headers"]))
    assert (info.kind, info.retryable) == (shape["kind"], shape["retryable"])
    assert info.retry_after == (None if shape["retry_after"] is None else pytest.approx(shape["retry_after"]))
    verdict = KINDS[info.kind]
    assert (info.category, info.scope, info.outage) == (verdict.category, verdict.scope, verdict.outage)


def test_what_is_final_under_its_status_is_final_in_a_stream_as_well() -> None:
    """An error event has no status: nearly always the words alone are enough to know that a retry is of no use."""
    final = [s for s in SHAPES if 400 <= s["status"] < 500 and not s["retryable"] and not s["headers"]]
    told = [s for s in final if s["retry_after"] is None and s["body"].startswith('{"error": ')]
    retried = [s["body"] for s in told if classify(answer(200, s["body"], phase="stream")).retryable]
    assert len(told) > 80
    assert len(retried) <= 0.05 * len(told), retried


def wrapped(status: int, body: str) -> list[str]:
    """*body* as others hand it on: in a list, as a string in a field, in a sentence, there as Python prints it."""
    sentence = "litellm.APIError: XException - {}\nReceived Model Group=x"
    return [
        f"[{body}]",
        json.dumps({"error": {"message": "Provider returned error", "code": status, "metadata": {"raw": body}}}),
        json.dumps({"error": {"message": body, "code": status, "status": "Error"}}),
        json.dumps({"error": {"message": sentence.format(body), "type": None, "code": str(status)}}),
        json.dumps({"error": {"message": sentence.format(json.loads(body)), "type": None, "code": str(status)}}),
    ]


def test_what_is_final_stays_final_whoever_hands_it_on() -> None:
    """A spent quota behind a router is as spent as before, however deep the router has buried it."""
    final = [s for s in SHAPES if s["status"] >= 400 and not s["retryable"] and s["body"].startswith('{"error": {')]
    told = [s for s in final if not s["headers"] and s["retry_after"] is None]
    retried = [
        handed
        for shape in told
        for handed in wrapped(shape["status"], shape["body"])
        if classify(answer(shape["status"], handed)).retryable
    ]
    assert len(told) > 100
    assert retried == []


def test_delivered_text_ends_all_retries() -> None:
    """After the commit point nothing is retryable, whatever the failure is; the breaker still hears of it."""
    body = '{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'
    info = classify(answer(200, body, phase="stream", committed=True))
    assert (info.kind, info.retryable, info.outage, info.committed) == ("overloaded", False, True, True)


def test_the_servers_word_is_kept() -> None:
    """x-should-retry decides both ways, but a spent quota stays spent."""
    quota = '{"error": {"code": "insufficient_quota", "message": "x"}}'
    true, false = {"x-should-retry": "true"}, {"x-should-retry": "false"}
    assert classify(answer(400, "{}", true)).retryable
    assert classify(answer(400, "{}", true)).should_retry is True
    assert not classify(answer(503, "", false)).retryable
    assert classify(answer(503, "", false)).should_retry is False
    assert not classify(answer(429, quota, true)).retryable
    assert classify(answer(429, quota, true)).should_retry is None


def test_the_provider_can_be_named() -> None:
    """A bare number means one thing at one provider and another thing elsewhere."""
    body = '{"error": {"code": "1300", "message": "x"}}'
    assert classify(answer(429, body), provider="zhipu").kind == "content_filter"
    assert classify(answer(429, body), provider="z.ai").kind == "content_filter"
    assert classify(answer(429, body), provider="mistral").kind == "requests"
    assert classify(answer(429, body, url="https://api.mistral.ai/v1/chat/completions")).kind == "requests"


def test_a_longer_wait_may_be_allowed() -> None:
    """max_wait moves the border between sleeping and telling."""
    failure = answer(429, "{}", {"retry-after": "90"})
    assert not classify(failure).retryable
    assert classify(failure, max_wait=120).retryable
    assert classify(failure).retry_after == 90


def test_message_is_short_and_without_secrets() -> None:
    """What goes into logs is one line, and keys, addresses' queries and user names are masked."""
    key = "sk-proj-Abcd1234efgh5678"
    address, blob = "https://u:p@host/x?key=zzz", "Zm9vYmFyMTIzNDU2Nzg5MDEy"
    text = f"Incorrect API key provided: {key}. Also\nbearer q1w2e3 at {address} and {blob}"
    info = classify(answer(401, json.dumps({"error": {"message": text + " x" * 999}})))
    assert len(info.message) <= 300
    assert info.message.isprintable()
    assert not [word for word in (key, "q1w2e3", "u:p", "zzz", "Zm9v") if word in info.message]
    assert "Incorrect API key provided" in info.message


def test_code_and_request_id_are_found() -> None:
    """The provider's own code and id are kept for support requests."""
    info = classify(answer(400, '{"error": {"code": "x_y", "type": "z"}}', {"x-request-id": "req_1"}))
    assert (info.code, info.request_id, info.status) == ("x_y", "req_1", 400)
    info = classify(answer(429, '{"type":"error","error":{"type":"rate_limit_error"},"request_id":"req_2"}'))
    assert (info.code, info.request_id) == ("rate_limit_error", "req_2")


def test_the_hosts_own_deadlines() -> None:
    """A passed idle deadline is a timeout like any other; when the total is over, nothing is worth repeating."""
    idle = classify(Failure(exception=DeadlineExceeded(ErrorInfo(), "idle", 5.0)))
    total = classify(Failure(exception=DeadlineExceeded(ErrorInfo(), "total", 5.0)))
    assert (idle.kind, idle.retryable, idle.outage) == ("idle_timeout", True, True)
    assert (total.kind, total.retryable, total.outage) == ("total_timeout", False, False)


def test_the_plugin_leaves_what_it_does_not_know_to_others(errors_ctx: Any) -> None:
    """An unknown failure is None, so that another classifier is asked; a known one is judged with the settings."""
    plugin = ErrorClassifier(max_wait=100.0, providers={"r": "zhipu"})
    assert plugin.classify_error(Failure(exception=type("Odd", (Exception,), {})()), errors_ctx) is None
    judged = plugin.classify_error(answer(429, "{}", {"retry-after": "90"}), errors_ctx)
    assert judged is not None
    assert judged.retryable
    named = plugin.classify_error(answer(429, '{"error": {"code": "1302"}, "x": 1}'), errors_ctx)
    assert named is not None
    assert named.kind == "concurrency"


ECHOES = [
    # status, type, what the provider says, what of it is the caller's own, kind
    (503, "overloaded_error", "Overloaded. {}", "{'error': {'code': 'context_length_exceeded'}}", "overloaded"),
    (500, "server_error", "Internal error at {}", '{"error": {"code": "invalid_api_key"}}', "server_error"),
    (400, "invalid_request_error", "messages.0: {}", "{'error': {'code': 'overloaded_error'}}", "invalid_request"),
    (429, "rate_limit_error", "You exceeded your current quota. {}", "{'error': x 'retryDelay': '3s'}", "quota"),
    (503, "overloaded_error", "Overloaded: {}", "APIError: {'error': {'code': 'invalid_api_key'}}", "overloaded"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "own", "says", "echoed", "kind"), ECHOES)
def test_what_a_caller_wrote_and_a_provider_repeats_decides_nothing(status, own, says, echoed, kind) -> None:
    body = json.dumps({"error": {"message": says.format(echoed), "type": own}})
    assert classify(answer(status, body)).kind == kind


def test_of_a_body_and_what_it_quotes_the_longer_wait_counts() -> None:
    quoted = 'litellm.RateLimitError: OpenAIException - {"error": {"headers": {"retry-after": "1"}}}'
    body = {"error": {"message": quoted, "details": [{"retryDelay": "30s"}]}}
    assert classify(answer(429, json.dumps(body))).retry_after == 30
