"""What a request may take up, judged by its head alone: before its body is read, and long before anything parses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

Field = tuple[bytes, bytes]
Fault = tuple[int, str]


@frozen
class Limits:
    """The most that one request may bring; sizes in bytes, times in seconds."""

    body: int = 1024 * 1024
    headers: int = 100
    head: int = 32 * 1024
    """Names and values of all headers together."""
    target: int = 8 * 1024
    """Path and query."""
    head_seconds: float = 30.0
    """From the connection to the end of the first head."""
    body_seconds: float = 30.0
    stall_seconds: float = 300.0
    """In which a reader may take nothing of an answer that waits for it: as long as Envoy's ``stream_idle_timeout``."""


def fault_of_head(scope: Mapping[str, Any], limits: Limits) -> Fault | None:
    """Why the head of an ASGI *scope* is refused, as status and sentence; None lets it through.

    RFC 9112 section 3.2 for Host, 6.3 for the two ways to give a length: where two servers on a path read them
    differently, one request becomes two.
    """
    fields: Sequence[Field] = scope["headers"]
    target = target_of(scope)
    if len(fields) > limits.headers:
        return 431, f"{len(fields)} headers; at most {limits.headers} are read."
    if sum(len(name) + len(value) for name, value in fields) > limits.head:
        return 431, f"The headers are longer than {limits.head} bytes."
    if len(target) > limits.target:
        return 414, f"The address is longer than {limits.target} bytes."
    if not target.startswith(b"/"):
        return 400, "The address must be a path that begins with a slash."
    if any(byte <= 0x20 or byte >= 0x7F for byte in target):
        return 400, "The address holds bytes that must be percent-encoded."
    if sum(name == b"host" for name, _ in fields) != 1:
        return 400, "Exactly one Host header is needed."
    return _fault_of_length(fields, limits)


def _fault_of_length(fields: Sequence[Field], limits: Limits) -> Fault | None:
    lengths = [value for name, value in fields if name == b"content-length"]
    if len(lengths) > 1 or (lengths and any(name == b"transfer-encoding" for name, _ in fields)):
        return 400, "The length of the body is told twice."
    if any(name == b"transfer-encoding" and value.strip().lower() != b"chunked" for name, value in fields):
        return 400, "A body comes in chunks and in no other transfer coding."
    if not lengths:
        return None
    if not lengths[0].isdigit() or len(lengths[0]) > 19:  # 19 digits: what fits into 64 bits
        return 400, "Content-Length must be a number."
    return fault_of_body(int(lengths[0]), limits)


def fault_of_body(size: int, limits: Limits) -> Fault | None:
    """Why a body of *size* bytes is refused; None lets it through."""
    if size > limits.body:
        return 413, f"The body is longer than {limits.body} bytes."
    return None


def target_of(scope: Mapping[str, Any]) -> bytes:
    """Path and query as they were sent: nothing is decoded, so nothing can be decoded twice."""
    path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    query: bytes = scope.get("query_string") or b""
    return path + b"?" + query if query else path
