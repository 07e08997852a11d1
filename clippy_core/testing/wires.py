"""Answers of the three wire APIs as bytes: whole, streamed, and in error, with the headers that come with them."""

from __future__ import annotations

from attrs import frozen

from . import wire_anthropic, wire_chat, wire_responses
from .faults import Pairs
from .frames import Draft, Ids, Telling, WireEvent, data_event, dumps, named_event
from .script import Reply
from .seen import SeenRequest

_WIRES = {"openai.chat": wire_chat, "openai.responses": wire_responses, "anthropic.messages": wire_anthropic}


@frozen
class _Trouble:
    """One kind of error in the words of OpenAI (type, code) and Anthropic (type), with each one's usual status."""

    message: str
    status: int
    openai_type: str
    code: str | None
    anthropic_type: str
    anthropic_status: int = 0


_TROUBLES = {
    "overloaded": _Trouble(
        "The engine is currently overloaded, please try again later", 503,
        "service_unavailable_error", "server_is_overloaded", "overloaded_error", 529,
    ),
    "server_error": _Trouble(
        "The server had an error while processing your request", 500, "server_error", None, "api_error"
    ),
    "timeout": _Trouble("The request timed out", 504, "server_error", None, "timeout_error"),
    "rate_limit": _Trouble(
        "Rate limit reached for requests", 429, "requests", "rate_limit_exceeded", "rate_limit_error"
    ),
    "quota": _Trouble(
        "You exceeded your current quota, please check your plan and billing details", 429,
        "insufficient_quota", "insufficient_quota", "billing_error", 402,
    ),
    "auth": _Trouble(
        "Incorrect API key provided", 401, "invalid_request_error", "invalid_api_key", "authentication_error"
    ),
    "permission": _Trouble(
        "You do not have access to this model", 403, "invalid_request_error", "model_not_found", "permission_error"
    ),
    "not_found": _Trouble(
        "The model does not exist", 404, "invalid_request_error", "model_not_found", "not_found_error"
    ),
    "too_large": _Trouble(
        "Request exceeds the maximum size", 413, "invalid_request_error", None, "request_too_large"
    ),
    "context_length": _Trouble(
        "prompt is too long: this model's maximum context length is 128000 tokens", 400,
        "invalid_request_error", "context_length_exceeded", "invalid_request_error",
    ),
    "content_filter": _Trouble(
        "The prompt was filtered by the content policy", 400, "invalid_request_error", "content_filter",
        "invalid_request_error",
    ),
    "invalid_request": _Trouble(
        "We could not parse the JSON body of your request", 400, "invalid_request_error", None,
        "invalid_request_error",
    ),
}  # fmt: skip

_KINDS = {
    400: "invalid_request", 401: "auth", 402: "quota", 403: "permission", 404: "not_found", 408: "timeout",
    413: "too_large", 422: "invalid_request", 429: "rate_limit", 503: "overloaded", 504: "timeout", 529: "overloaded",
}  # fmt: skip


def render(seen: SeenRequest, reply: Reply, ids: Ids) -> Draft:
    """*reply* to *seen* in the request's own wire API.  Raises KeyError for a request that is not chat."""
    wire = _WIRES[seen.api]
    told = Telling.of(seen, reply, ids)
    kind = "text/event-stream; charset=utf-8" if seen.stream else "application/json"
    head = merge(headers(seen, ids, kind), reply.headers)
    if seen.stream:
        return Draft(200, head, tuple(wire.stream(told)), streamed=True)
    return Draft(200, head, (WireEvent(wire.plain(told)),))


def error(seen: SeenRequest, ids: Ids, kind: str | None = None, status: int | None = None) -> Draft:
    """An HTTP error in the request's own wire API, by kind (``overloaded``, ``quota`` ...) or by status.

    Raises KeyError for a kind that is not one of ours.
    """
    kind = kind or _KINDS.get(status or 500, "server_error")
    trouble = _trouble(kind)
    usual = trouble.anthropic_status if seen.api == "anthropic.messages" else 0
    body = dumps(_error_body(seen, ids, trouble))
    return Draft(status or usual or trouble.status, headers(seen, ids, "application/json"), (WireEvent(body),))


def error_event(seen: SeenRequest, ids: Ids, kind: str, number: int = 0) -> WireEvent:
    """The error event inside a stream; *number* is its place, which Responses writes into it."""
    trouble = _trouble(kind)
    if seen.api == "anthropic.messages":
        return named_event(_error_body(seen, ids, trouble), "other")
    if seen.api == "openai.responses":
        told = {"code": trouble.code or trouble.openai_type, "message": trouble.message, "param": None}
        return named_event({"type": "error", "sequence_number": number, **told}, "other")
    return data_event(_error_body(seen, ids, trouble), "other")


def headers(seen: SeenRequest, ids: Ids, content_type: str) -> Pairs:
    """The headers that the provider's real answers have."""
    if _anthropic(seen):
        limits = {
            f"anthropic-ratelimit-{what}-{name}": value
            for what, limit, left in (("requests", "4000", "3999"), ("tokens", "480000", "479000"))
            for name, value in (("limit", limit), ("remaining", left), ("reset", "2026-01-01T00:00:00Z"))
        }
        return (
            ("content-type", content_type),
            ("request-id", f"req_011C{ids.word('request', 20)}"),
            ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000"),
            *limits.items(),
        )
    return (
        ("content-type", content_type),
        ("x-request-id", f"req_{ids.hex('request', 32)}"),
        ("openai-organization", "org-fake"),
        ("openai-processing-ms", "42"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "2000000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", "1999000"),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-reset-tokens", "30ms"),
    )


def merge(headers: Pairs, changes: Pairs) -> Pairs:
    """*headers* with *changes* in place of those of the same name."""
    changed = {name.lower() for name, _ in changes}
    return (*(pair for pair in headers if pair[0].lower() not in changed), *changes)


def _anthropic(seen: SeenRequest) -> bool:
    return seen.api == "anthropic.messages" or "anthropic-version" in seen.headers


def _trouble(kind: str) -> _Trouble:
    try:
        return _TROUBLES[kind]
    except KeyError:
        raise KeyError(f"no error kind {kind!r}; use one of {', '.join(sorted(_TROUBLES))}") from None


def _error_body(seen: SeenRequest, ids: Ids, trouble: _Trouble) -> dict[str, object]:
    if _anthropic(seen):
        told = {"type": trouble.anthropic_type, "message": trouble.message}
        return {"type": "error", "error": told, "request_id": f"req_011C{ids.word('request', 20)}"}
    words = {"message": trouble.message, "type": trouble.openai_type, "param": None, "code": trouble.code}
    return {"error": words}
