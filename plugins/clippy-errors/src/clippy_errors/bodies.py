"""What an error's body says, whatever its shape: the codes, the words and the limits in it.

Every provider wraps its errors differently: an object or a list around them, ``error`` as an object or as a sentence,
``detail`` (FastAPI), ``__type`` (AWS), ``details`` (Google), ``base_resp`` (MiniMax), the upstream's own body as a
string inside (OpenRouter), an error event in an SSE or NDJSON stream, HTML from a gateway, or JSON that was cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from attrs import field, frozen
from clippy_hookspecs import Headers, Json

from .findings import Findings, is_code, parse
from .finishes import finish_kind

Shape = Literal["empty", "json", "truncated", "html", "text"]

_LIMIT = 65536
_ERROR_MARKS = frozenset({
    "error", "Error", "errors", "fault", "__type", "error_code", "errorCode", "errorMessage", "error_description",
    "error_message", "error_type",
})  # fmt: skip
_PAIR = re.compile(r'"(code|type|status|message|error)"[ \t\r\n]{0,20}:[ \t\r\n]{0,20}"([^"\\]{1,400})')
_XML = re.compile(r"<(Code|Message)>([^<]{1,400})</")


@frozen
class ErrorBody:
    """What a body says about a failure.

    ``codes`` are identifiers as they came, ``quoted`` those that a sentence quotes of another answer, ``texts``
    sentences, the provider's own first.  ``status`` is an HTTP status found inside, ``limits`` names of exceeded limits
    with their values, ``waits`` values that say how long to wait, ``finish`` the kind that a finish reason stands for,
    ``headers`` those of the upstream that a router quotes.  ``failed`` tells whether the body is an error at all.
    """

    shape: Shape = "empty"
    failed: bool = False
    codes: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    status: int | None = None
    limits: tuple[str, ...] = ()
    waits: tuple[Json, ...] = ()
    finish: str | None = None
    request_id: str | None = None
    fields: frozenset[str] = frozenset()
    headers: Headers = field(factory=Headers)

    @property
    def text(self) -> str:
        """All sentences, in lower case, for matching."""
        return " \n".join(self.texts).lower().replace("\u2019", "'")


def read_body(body: bytes) -> ErrorBody:
    """Read the body of a failed answer, or of an answer that may have failed.  Never raises; looks at 64 KiB."""
    text = body[:_LIMIT].decode("utf-8", "replace").removeprefix("\ufeff").strip()
    if not text:
        return ErrorBody()
    found = parse(text)
    if found is not None:
        return _read_json(found)
    events = [event for event in _events(text) if isinstance(event, dict | list)]
    if events:
        # In a stream the error is what it ended with; what came before was the answer.
        parts = [_read_json(event) for event in events]
        return next((part for part in reversed(parts) if part.failed or part.finish), parts[-1])
    low = text[:1024].lower()
    if low.startswith(("<!doctype html", "<html", "<head", "<title", "<body", "<center", "<h1")) or "<html" in low:
        return ErrorBody(shape="html", failed=True, texts=_page_texts(text))
    if text[0] in "{[" or low.startswith(("data:", "event:", ":")):
        return _read_fragment(text)
    if text[0] == "<":
        pairs = _XML.findall(text[:8192])
        return ErrorBody(
            shape="text",
            failed=True,
            codes=tuple(value for name, value in pairs if name == "Code"),
            texts=tuple(value for name, value in pairs if name == "Message") or (text[:2000],),
        )
    return ErrorBody(shape="text", failed=True, texts=(text[:2000],))


def _events(text: str) -> Iterator[Json]:
    """The JSON values of an SSE stream's data lines or of NDJSON lines."""
    for line in text.replace("\r", "\n").split("\n"):
        line = line.strip()
        if line.startswith("data:"):
            line = line[5:].strip()
        if line[:1] in ("{", "["):
            value = parse(line)
            if value is not None:
                yield value


def _read_fragment(text: str) -> ErrorBody:
    """JSON that was cut off: the strings that are whole still speak, and the last one as far as it goes."""
    pairs = _PAIR.findall(text[:8192])
    return ErrorBody(
        shape="truncated",
        failed=any(name == "error" for name, _ in pairs) or '"error"' in text[:200],
        codes=tuple(value for name, value in pairs if name in ("code", "type", "status") and is_code(value)),
        texts=tuple(value for name, value in pairs if name in ("message", "error")),
    )


def _page_texts(text: str) -> tuple[str, ...]:
    low = text.lower()
    start, end = low.find("<title"), low.find("</title")
    title = text[text.find(">", start) + 1 : end].strip() if 0 <= start < end else ""
    return tuple(part for part in (title[:300], text[:4000]) if part)


def _read_json(value: Json) -> ErrorBody:
    if not isinstance(value, dict | list):
        return ErrorBody(shape="text", failed=True, texts=(str(value)[:2000],))
    root = next((item for item in value if isinstance(item, dict)), {}) if isinstance(value, list) else value
    findings = Findings()
    findings.walk(root, 0)
    return ErrorBody(
        shape="json",
        failed=_is_error(root),
        codes=tuple(dict.fromkeys(findings.codes)),
        quoted=tuple(dict.fromkeys(findings.quoted)),
        texts=tuple(dict.fromkeys(findings.texts)),
        status=findings.status,
        limits=tuple(findings.limits),
        waits=tuple(findings.waits),
        finish=finish_kind(root) or _nothing(root),
        request_id=_request_id(root),
        headers=Headers(findings.headers),
        fields=frozenset(str(name) for name in root),
    )


def _is_error(root: Mapping[str, Json]) -> bool:
    if any(root.get(mark) for mark in _ERROR_MARKS):
        return True
    if "error" in (root.get("object"), root.get("type")) or root.get("type") == "response.failed":
        return True
    if root.get("success") is False:
        return True
    base = root.get("base_resp")
    if isinstance(base, dict) and base.get("status_code") not in (0, None):
        return True
    response = root.get("response")
    if isinstance(response, dict) and (response.get("error") or response.get("status") == "failed"):
        return True
    if any(name.lower().endswith("exception") for name in root):
        return True
    choices = root.get("choices")
    failed = isinstance(choices, list) and any(isinstance(c, dict) and c.get("error") for c in choices)
    answer = root.keys() & {"id", "choices", "content", "candidates", "output"}
    return failed or (
        not answer and any(isinstance(root.get(name), str | list) for name in ("message", "detail", "msg"))
    )


def _nothing(root: Mapping[str, Json]) -> str | None:
    """``empty_body`` for an answer with no choice in it."""
    return "empty_body" if any(root.get(name) == [] for name in ("choices", "candidates")) else None


def _request_id(root: Mapping[str, Json]) -> str | None:
    error = root.get("error")
    for node in (root, error if isinstance(error, dict) else {}):
        for name in ("request_id", "requestId", "RequestId"):
            if isinstance(node.get(name), str):
                return str(node[name])
    return None
