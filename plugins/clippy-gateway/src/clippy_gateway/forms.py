"""Errors of the gateway's own, in the form of the provider that the caller believes to talk to."""

from __future__ import annotations

import orjson

Pair = tuple[bytes, bytes]

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}


class Refused(Exception):
    """The gateway's answer to a request that it does not pass on.

    ``close``: what is left of the request was not read, so the connection cannot be used again.  ``stranger``: the
    fingerprint of a key that is none of the gateway's own.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: tuple[Pair, ...] = (),
        close: bool = False,
        stranger: str = "",
    ) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message, self.headers, self.close = status, code, message, headers, close
        self.stranger = stranger


def is_anthropic(path: str, headers: dict[bytes, bytes]) -> bool:
    """Whether the caller speaks Anthropic's API: by its path, or by the header that its SDK always sends."""
    return path.endswith("/messages") or "/messages/" in path or b"anthropic-version" in headers


def error_body(anthropic: bool, status: int, code: str, message: str, request_id: str) -> bytes:
    """An error as its provider writes it (OpenAI: ``error``; Anthropic: ``type`` and ``error``)."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    if anthropic:
        error = {"type": kind, "message": message}
        return orjson.dumps({"type": "error", "error": error, "request_id": request_id})
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def error_headers(refused: Refused, body: bytes) -> list[Pair]:
    """The headers of such an answer; both SDKs obey ``x-should-retry``."""
    again = b"true" if refused.status in (429, 503) else b"false"
    fields = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-should-retry", again),
        *refused.headers,
    ]
    if refused.close:
        fields.append((b"connection", b"close"))
    return fields
