"""What a walk through an error's JSON finds: codes, sentences, limits, waits, statuses and quoted headers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from attrs import field, frozen
from clippy_hookspecs import Json

_DEPTH = 8
"""Levels of an error: a router's own, its upstream's within, and the details of that one."""

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
    "quotaresetdelay", "estimatedtime", "retryat", "resettime", "resetafter", "resetseconds",
})  # fmt: skip
"""As they are without case, ``_`` and ``-``: a wait in seconds, in milliseconds (``ms``), or the moment of its end."""

_ENVELOPES = frozenset({"error", "response.failed", "about:blank"})
_STREAM_FAULTS = ("exception", "error")
_QUOTED_PAIR = re.compile(
    r"""["'](code|type|status|reason|__type|quotaId|quota_limit|retryDelay)["'] ?: ?["']([\w.:#-]{2,120})["']"""
)
_QUOTED = 16384
"""How much of a sentence is searched for what it quotes."""

_NEAR = 60
_RAISED = re.compile(r"""\b[A-Za-z.]*(?:Error|Exception|Error code: ?[0-9]{3})\b["']? ?[-:] ?(?:b?["'])?\Z""")
"""What stands before a quote: ``OpenAIException - ``, ``litellm.APIError: ``, ``Error code: 429 - ``."""


@frozen(eq=False)
class Findings:
    """Collects from the outside in, so that what the provider says itself stands before what it quotes."""

    codes: list[str] = field(factory=list)
    quoted: list[str] = field(factory=list)
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
                    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
                    value = value / 1000 if number else None
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
                if is_code(value):
                    self.codes.append(value)
                elif " " in value:
                    self.texts.append(value[:2000])  # some put a sentence where the code belongs (xAI)
        number = node.get("status_code")
        if isinstance(number, int) and number > 999:
            self.codes.append(str(number))

    def _say(self, value: Json, depth: int) -> None:
        if not isinstance(value, str) or not value.strip():
            return
        if value.lstrip()[0] in "{[" and depth < _DEPTH:
            inner = parse(value)
            if isinstance(inner, dict | list):
                self._descend(inner, depth)
                return
        self.texts.append(value[:2000])
        self._read_quoted(value[:_QUOTED], depth)
        if depth == 0 and is_code(value) and "_" in value:
            self.codes.append(value)  # OAuth puts its code where others put a sentence: {"error": "invalid_client"}

    def _read_quoted(self, text: str, depth: int) -> None:
        """What a sentence quotes of its upstream's body, as JSON or as Python prints it: *APIError: {'error': ...*.

        Only where the name of an exception stands before it: providers repeat what callers wrote as well.
        """
        at = text.find("{")
        if depth >= _DEPTH or at < 0 or _RAISED.search(text[max(0, at - _NEAR) : at]) is None:
            return
        quote = _object_at(text, at)
        if quote is not None:
            inner = Findings()
            inner.walk(quote, depth + 1)
            self.quoted.extend((*inner.codes, *inner.quoted))
            self.texts.extend(inner.texts)
            self.limits.extend(inner.limits)
            self.waits.extend(inner.waits)
            self.headers.extend(inner.headers)
            return
        for name, value in _QUOTED_PAIR.findall(text, at):
            if name in ("quotaId", "quota_limit"):
                self.limits.append(f"{name}={value}"[:200])
            elif name == "retryDelay":
                self.waits.append(value)
            elif is_code(value):
                self.quoted.append(value)

    def _descend(self, value: Json, depth: int) -> None:
        if depth >= _DEPTH:
            return
        for item in value[:20] if isinstance(value, list) else (value,):
            if isinstance(item, dict):
                self.walk(item, depth + 1)
            elif isinstance(item, str) and isinstance(value, list):
                self._say(item, depth + 1)


def parse(text: str) -> Json:
    """The JSON value of *text*, None if it is not JSON (or null, which says as little)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _object_at(text: str, at: int) -> Mapping[str, Json] | None:
    """The JSON object that begins at a brace, whatever follows it."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_code(value: str) -> bool:
    """Whether *value* has the form of an identifier rather than of a sentence."""
    return len(value) <= 160 and " " not in value and value.isascii() and value.isprintable()


def _as_status(value: Json) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599 else None
