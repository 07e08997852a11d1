"""The HTTP answer inside an SDK's exception: status, headers and body, found by attribute.

A caller's own transport or an SDK used directly hands us ``openai.RateLimitError``, ``httpx.HTTPStatusError``,
``google.genai.errors.APIError`` or ``botocore.exceptions.ClientError`` instead of an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import evolve
from clippy_hookspecs import Failure, Headers


def with_evidence(failure: Failure) -> Failure:
    """*failure* with what its exception knows about the HTTP answer, where the failure itself does not."""
    exc = failure.exception
    if exc is None or (failure.status is not None and failure.body):
        return failure
    response = getattr(exc, "response", None)
    if isinstance(response, Mapping):
        return _from_botocore(failure, response)
    status = _status(exc, response)
    body = failure.body or _body(exc, response)
    if status is None and not body:
        return failure
    headers = failure.headers if len(failure.headers) else _headers(exc, response)
    return evolve(failure, status=failure.status if failure.status is not None else status, headers=headers, body=body)


def _from_botocore(failure: Failure, response: Mapping[Any, Any]) -> Failure:
    meta = response.get("ResponseMetadata")
    meta = meta if isinstance(meta, Mapping) else {}
    status = meta.get("HTTPStatusCode")
    headers = meta.get("HTTPHeaders")
    return evolve(
        failure,
        status=status if isinstance(status, int) else failure.status,
        headers=_as_headers(headers) if isinstance(headers, Mapping) else failure.headers,
        body=failure.body or _bytes({"Error": response.get("Error")}),
    )


def _status(exc: BaseException, response: object) -> int | None:
    for source, name in (
        (exc, "status_code"),
        (exc, "status"),
        (response, "status_code"),
        (response, "status"),
        (exc, "code"),
    ):
        if name == "code" and any(cls.__name__ == "HttpProcessingError" for cls in type(exc).__mro__):
            continue  # aiohttp's parser calls a malformed answer 400, which is not what the server said
        value = getattr(source, name, None)
        if isinstance(value, int) and not isinstance(value, bool) and 300 <= value <= 599:
            return int(value)
    return None


def _headers(exc: BaseException, response: object) -> Headers:
    for source in (response, exc):
        value = getattr(source, "headers", None)
        if isinstance(value, Mapping):
            return _as_headers(value)
    return Headers()


def _as_headers(value: Mapping[Any, Any]) -> Headers:
    return Headers([(str(name), str(content)) for name, content in value.items()])


def _body(exc: BaseException, response: object) -> bytes:
    for name in ("body", "details"):
        found = _bytes(getattr(exc, name, None))
        if found:
            return found
    try:
        return _bytes(getattr(response, "content", None))
    except RuntimeError:  # httpx: a streamed answer that nobody has read has no content
        return b""


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, Mapping | list):
        try:
            return json.dumps(value).encode()
        except (TypeError, ValueError, RecursionError):
            return b""
    return b""
