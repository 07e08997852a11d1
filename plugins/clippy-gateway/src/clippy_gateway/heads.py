"""The head of a request, read once: what the gateway wants to know of it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from .forms import Refused
from .headers import PLAIN, header_fault
from .settings import RequestLimits

Pair = tuple[bytes, bytes]

CREDENTIALS = (b"authorization", b"x-api-key", b"api-key")
_ONCE = frozenset(
    {
        *CREDENTIALS, b"host", b"content-length", b"content-type", b"transfer-encoding", b"x-clippy-tenant",
        b"x-clippy-user", b"x-clippy-session", b"x-clippy-route", b"x-clippy-base-url",
    }
)  # fmt: skip
"""Whoever adds a line behind another's must not speak for it, nor be outspoken by it."""
_values = itemgetter(1)
_NO_TARGET = bytes(byte for byte in range(256) if 0x21 <= byte <= 0x7E)


def read_head(scope: Mapping[str, Any], limits: RequestLimits) -> dict[bytes, bytes]:
    """The headers by their names, of those that come twice the last.  Raises Refused for a head that is not taken."""
    fields: Sequence[Pair] = scope["headers"]
    if len(fields) > limits.headers:
        raise Refused(431, "too_many_headers", f"{len(fields)} headers; at most {limits.headers} are read", close=True)
    found = dict(fields)
    if len(found) != len(fields):
        _judge_repeated(fields)
    if sum(map(len, chain.from_iterable(fields))) > limits.head:
        raise Refused(431, "headers_too_long", f"the headers are longer than {limits.head} bytes", close=True)
    if not found.get(b"host"):  # granian makes an empty one where there is none; RFC 9110 section 4.2.1 wants neither
        raise Refused(400, "no_host", "exactly one Host header is needed", close=True)
    return found


def _judge_repeated(fields: Sequence[Pair]) -> None:
    seen = set()
    for name, _ in fields:
        if name in seen and name in _ONCE:
            raise Refused(400, "header_twice", f"the header {name.decode()} comes twice", close=True)
        seen.add(name)


def judge_size(scope: Mapping[str, Any], found: Mapping[bytes, bytes], limits: RequestLimits) -> None:
    """Raises Refused for an address or a body that is not taken; by now *found* has said who asks."""
    _judge_target(scope, limits)
    _judge_length(found, limits)


def _judge_target(scope: Mapping[str, Any], limits: RequestLimits) -> None:
    path: bytes = scope["raw_path"]
    if len(path) + len(scope["query_string"]) > limits.target:
        raise Refused(414, "address_too_long", f"the address is longer than {limits.target} bytes", close=True)
    if not path.startswith(b"/") or (path + scope["query_string"]).translate(None, _NO_TARGET):
        raise Refused(400, "bad_address", "the address holds bytes that must be percent-encoded", close=True)


def _judge_length(found: Mapping[bytes, bytes], limits: RequestLimits) -> None:
    length, coding = found.get(b"content-length"), found.get(b"transfer-encoding")
    if coding is not None and coding.strip().lower() != b"chunked":  # another coding would stay on what is passed on
        raise Refused(400, "transfer_coding", "a body comes in chunks and in no other transfer coding", close=True)
    if length is not None:
        # RFC 9112 sections 6.3 and 5.1: spaces behind a value are none of it, though servers leave them there.
        if coding is not None or not length.rstrip(b" \t").isdigit() or len(length) > 19:
            raise Refused(400, "bad_length", "the length of the body is not told in one plain way", close=True)
        if int(length) > limits.body:
            raise too_large(limits)
    if b"content-encoding" in found and found[b"content-encoding"].strip().lower() not in (b"", b"identity"):
        raise Refused(
            415,
            "encoded_body",
            "a body must come as it is, not packed (Content-Encoding): nobody here unpacks it",
            close=True,
        )


def too_large(limits: RequestLimits) -> Refused:
    """The refusal of a body beyond the limit, whether its length was told or it came."""
    return Refused(413, "body_too_large", f"the body is longer than {limits.body} bytes", close=True)


def judge_fields(fields: Sequence[Pair]) -> None:
    """Look at every header that may go further.  Raises Refused for one with a character that HTTP does not carry.

    The server that read them lets most of this through no more; another one might.
    """
    if not b"".join(map(_values, fields)).translate(None, PLAIN):
        return
    for name, value in fields:
        if value.translate(None, PLAIN):
            fault = header_fault("X", value.decode("latin-1")) or "a header is wrong"
            raise Refused(400, "bad_header", fault.replace("header X", f"header {name[:64].decode('latin-1')}"))
