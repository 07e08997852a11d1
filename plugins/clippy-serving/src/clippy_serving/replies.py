"""Answers in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from clippy_hookspecs import Headers
from clippy_hookspecs.services import ByteStream, RawReply


def reply(
    status: int,
    body: bytes | ByteStream,
    content_type: str,
    headers: Mapping[str, str] | None = None,
    **extensions: Any,
) -> RawReply:
    """An answer of one type of content."""
    return RawReply(status, Headers({"content-type": content_type, **(headers or {})}), body, extensions)


def text_reply(status: int, text: str, headers: Mapping[str, str] | None = None) -> RawReply:
    """An answer of plain text."""
    return reply(status, text.encode("utf-8", "replace"), "text/plain; charset=utf-8", headers)


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> RawReply:
    """*value* as JSON.  ``<``, ``>`` and ``&`` are escaped: whoever takes the answer for a page finds no tag in it."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=str)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return reply(status, text.encode("ascii"), "application/json", headers)


def see_other(path: str, headers: Mapping[str, str] | None = None) -> RawReply:
    """Sends a browser on to *path* with a GET."""
    return text_reply(303, f"Go on at {path}\n", {"location": path, **(headers or {})})
