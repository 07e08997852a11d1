"""What an error's body says, whatever its shape: the codes, the words and the limits in it.

Every provider wraps its errors differently: an object or a list around them, ``error`` as an object or as a sentence,
``detail`` (FastAPI), ``__type`` (AWS), ``details`` (Google), ``base_resp`` (MiniMax), the upstream's own body as a
string inside (OpenRouter), an error event in an SSE or NDJSON stream, HTML from a gateway, or JSON that was cut off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Literal

from attrs import field, frozen
from clippy_hookspecs import Headers, Json

from .finishes import finish_kind

Shape = Literal["empty", "json", "truncated", "html", "text"]

_LIMIT = 65536
_CODE_FIELDS = (
    "code", "type", "status", "reason", "error_code", "errorCode", "error_type", "errorType", "__type", "Code",
    "limit_source", "blockReason", "errorcode",
)  # fmt: skip
_TEXT_FIELDS = (
    "message", "Message", "msg", "error_description", "description", "detail", "details", "raw", "errorMessage",
    "error_message", "status_msg", "faultstring", "title", "info", "failed_reason",
)  # fmt: skip
_INNER_FIELDS = (
    "error", "Error", "errors", "response", "choices", "innererror", "inner_error", "metadata", "details", "detail",
    "message", "fault", "base_resp", "violations", "provider_error", "cause", "body", "data",
)  # fmt: skip
_STATUS_FIELDS = ("code", "status", "status_code", "statusCode", "raw_status_code", "http_status_code", "http_code")
_WAIT_FIELDS = frozenset({
    "retrydelay", "retryafter", "retryafterseconds", "retryafterms", "retryin", "retryinseconds", "retryinms",
    "waitseconds", "waitms", "resetsin", "resetsinseconds", "resetinseconds", "resetsat", "resetat",
    "quotaresetdelay", "estimatedtime",
})  # fmt: skip
"""As they are without case, ``_`` and ``-``: a wait in seconds, in milliseconds (``ms``), or the moment of its end."""

_ERROR_MARKS = frozenset({
    "error", "Error", "errors", "fault", "__type", "error_code", "errorCode", "errorMessage", "error_description",
    "error_message", "error_type",
})  # fmt: skip
_ENVELOPES = frozenset({"error", "response.failed", "about:blank"})
_STREAM_FAULTS = ("exception", "error")
_PAIR = re.compile(r'"(code|type|status|message|error)"[ \t\r\n]{0,20}:[ \t\r\n]{0,20}"([^"\\]{1,400})')
_XML = re.compile(r"<(Code|Message)>([^<]{1,400})</")


@frozen
class ErrorBody:
    """What a body says about a failure.

    ``codes`` are identifiers as they came, ``texts`` sentences, the provider's own first.  ``status`` is an HTTP status
    found inside, ``limits`` names of exceeded limits with their values, ``waits`` values that say how long to wait,
    ``finish`` the kind that a finish reason stands for, ``headers`` those of the upstream that a router quotes.
    ``failed`` tells whether the body is an error at all.
    """

    shape: Shape = "empty"
    failed: bool = False
    codes: tuple[str, ...] = ()
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
    found = _parse(text)
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


def _parse(text: str) -> Json:
    """The JSON value of *text*, None if it is not JSON (or null, which says as little)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _events(text: str) -> Iterator[Json]:
    """The JSON values of an SSE stream's data lines or of NDJSON lines."""
    for line in text.replace("\r", "\n").split("\n"):
        line = line.strip()
        if line.startswith("data:"):
            line = line[5:].strip()
        if line[:1] in ("{", "["):
            value = _parse(line)
            if value is not None:
                yield value


def _read_fragment(text: str) -> ErrorBody:
    """JSON that was cut off: the strings that are whole still speak, and the last one as far as it goes."""
    pairs = _PAIR.findall(text[:8192])
    return ErrorBody(
        shape="truncated",
        failed=any(name == "error" for name, _ in pairs) or '"error"' in text[:200],
        codes=tuple(value for name, value in pairs if name in ("code", "type", "status") and _is_code(value)),
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
    findings = _Findings()
    findings.walk(root, 0)
    return ErrorBody(
        shape="json",
        failed=_is_error(root),
        codes=tuple(dict.fromkeys(findings.codes)),
        texts=tuple(dict.fromkeys(findings.texts)),
        status=findings.status,
        limits=tuple(findings.limits),
        waits=tuple(findings.waits),
        finish=finish_kind(root) or _nothing(root),
        request_id=_request_id(root),
        headers=Headers(findings.headers),
        fields=frozenset(str(name) for name in root),
    )


@frozen(eq=False)
class _Findings:
    """Collects from the outside in, so that what the provider says itself stands before what it quotes."""

    codes: list[str] = field(factory=list)
    texts: list[str] = field(factory=list)
    limits: list[str] = field(factory=list)
    waits: list[Json] = field(factory=list)
    statuses: list[int] = field(factory=list)
    headers: list[tuple[str, str]] = field(factory=list)

    @property
    def status(self) -> int | None:
        return next((status for status in self.statuses if status >= 400), None)

    def walk(self, node: Mapping[str, Json], depth: int) -> None:
        for name in _STATUS_FIELDS:
            status = _as_status(node.get(name))
            if status is not None:
                self.statuses.append(status)
        self._read_codes(node)
        for name in ("quotaId", "quotaMetric", "quotaValue", "quota_limit", "quota_unit", "limit_name"):
            if isinstance(node.get(name), str | int | float):
                self.limits.append(f"{name}={node[name]}"[:200])
        for name, value in node.items():
            plain = name.lower().replace("_", "").replace("-", "")
            if plain in _WAIT_FIELDS:
                if plain.endswith("ms"):
                    value = value / 1000 if isinstance(value, int | float) and abs(value) < 1e15 else None
                self.waits.append(value)
        headers = node.get("headers")
        if isinstance(headers, dict):
            self.headers.extend((name, value) for name, value in headers.items() if isinstance(value, str))
        if isinstance(node.get("error"), str):
            self._say(node["error"], depth)
        for name in _TEXT_FIELDS:
            self._say(node.get(name), depth)
        for name in _INNER_FIELDS:
            self._descend(node.get(name), depth)
        for name, inner in node.items() if depth == 0 else ():
            # Bedrock's event streams name the error in the key: {"throttlingException": {"message": ...}}.
            if isinstance(inner, dict) and name.lower().endswith(_STREAM_FAULTS) and name.lower() != "error":
                self.codes.append(name)
                self._descend(inner, depth)

    def _read_codes(self, node: Mapping[str, Json]) -> None:
        # FastAPI's complaints have a type for each field, which says nothing about the failure.
        names = () if "loc" in node and "msg" in node else _CODE_FIELDS
        for name in names:
            value = node.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**12:
                value = str(value)
            if isinstance(value, str) and value:
                if value in _ENVELOPES:
                    continue
                if _is_code(value):
                    self.codes.append(value)
                elif " " in value:
                    self.texts.append(value[:2000])  # some put a sentence where the code belongs (xAI)
        number = node.get("status_code")
        if isinstance(number, int) and number > 999:
            self.codes.append(str(number))

    def _say(self, value: Json, depth: int) -> None:
        if not isinstance(value, str) or not value.strip():
            return
        if value.lstrip()[0] in "{[" and depth < 4:
            inner = _parse(value)
            if isinstance(inner, dict | list):
                self._descend(inner, depth)
                return
        self.texts.append(value[:2000])
        if depth == 0 and _is_code(value) and "_" in value:
            self.codes.append(value)  # OAuth puts its code where others put a sentence: {"error": "invalid_client"}

    def _descend(self, value: Json, depth: int) -> None:
        if depth >= 5:
            return
        for item in value[:20] if isinstance(value, list) else (value,):
            if isinstance(item, dict):
                self.walk(item, depth + 1)
            elif isinstance(item, str) and isinstance(value, list):
                self._say(item, depth + 1)


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


def _is_code(value: str) -> bool:
    return len(value) <= 160 and " " not in value and value.isascii() and value.isprintable()


def _as_status(value: Json) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599 else None
