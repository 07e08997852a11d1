"""Exchanges from JSON documents that anybody may have written: nothing in them is trusted."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any, get_args

from clippy_hookspecs import Scope, Usage

from .exchange import Asked, Attempt, Exchange, Message, Piece, State, Step

_STATES = frozenset(get_args(State))
_PIECES = frozenset({"bytes", "chunk_in", "chunk_out"})
_KNOWN_TEXTS = (
    "kind", "delta", "id", "name", "finish_reason", "reason", "source", "by", "route", "category", "code", "message",
)  # fmt: skip
_KNOWN_NUMBERS, _KNOWN_WHOLES = ("age", "retry_after"), ("block", "choice", "status")
"""What is in a chunk, an error and a provenance, where they say the same by the same name."""
_LARGEST = 2**63
"""What a whole number stays below: nothing that is counted here comes near, and what reads it divides by others."""
_LAST_DAY = 253_402_128_000.0
"""Unix seconds: the last that are a date in every time zone."""


class StrangeRecording(ValueError):
    """What was read is no recording of ours, or not a whole one."""


def exchange_of(value: Any) -> Exchange:
    """The exchange that a document tells of.  Raises StrangeRecording for anything else."""
    if not isinstance(value, Mapping):
        raise StrangeRecording("a recorded call is a JSON object")
    told = _Told(value, "call")
    state = told.text("state", "running")
    if state not in _STATES:
        raise StrangeRecording(f"a call's state is {state[:40]!r}; it is one of {', '.join(sorted(_STATES))}")
    scope, usage = told.maybe("scope"), told.maybe("usage")
    answered = told.maybe("answered")
    if not told.text("id"):
        raise StrangeRecording("the 'id' of a call is empty")
    return Exchange(
        id=told.text("id"),
        began=told.moment("began"),
        parent=told.optional("parent"),
        api=told.text("api", ""),
        method=told.text("method", "POST"),
        url=told.text("url", ""),
        model=told.optional("model"),
        stream=told.flag("stream"),
        scope=Scope() if scope is None else Scope(*[scope.optional(name) for name in ("tenant", "user", "session")]),
        route=told.optional("route"),
        state=state,  # type: ignore[arg-type]  # it is one of them
        status=told.maybe_whole("status"),
        duration=told.maybe_whole("duration"),
        first_token=told.maybe_whole("first_token"),
        usage=None if usage is None else _usage_of(usage),
        cost=told.maybe_number("cost"),
        finish_reason=told.optional("finish_reason"),
        provenance=told.typed("provenance"),
        error=told.typed("error"),
        came=_message_of(told.maybe("came")) or Message(),
        answered=_message_of(answered),
        attempts=tuple(_attempt_of(one) for one in told.each("attempts")),
        steps=tuple(_step_of(one) for one in told.each("steps")),
        pieces=tuple(_piece_of(one) for one in told.each("pieces")),
        lost=told.whole("lost", 0),
        unread=told.whole("unread", 0),
        asked=_asked_of(told.maybe("asked")),
    )


class _Told:
    """One object of a document, read field by field."""

    def __init__(self, value: Mapping[str, Any], what: str) -> None:
        self._value, self._what = value, what

    def _is(self, name: str, kinds: type | tuple[type, ...], word: str) -> Any:
        found = self._value.get(name)
        if found is not None and (not isinstance(found, kinds) or (isinstance(found, bool) and kinds is not bool)):
            raise StrangeRecording(f"{name!r} of a {self._what} must be {word}, got {type(found).__name__}")
        return found

    def text(self, name: str, default: str | None = None) -> str:
        found = self._is(name, str, "a text")
        if found is None:
            if default is None:
                raise StrangeRecording(f"a {self._what} has no {name!r}")
            return default
        return str(found)

    def optional(self, name: str) -> str | None:
        found: str | None = self._is(name, str, "a text")
        return found

    def number(self, name: str, default: float) -> float:
        found = self.maybe_number(name)
        return default if found is None else found

    def moment(self, name: str) -> float:
        found = self.number(name, 0.0)
        if not 0 <= found <= _LAST_DAY:
            raise StrangeRecording(f"{name!r} of a {self._what} is no time between the years 1970 and 9999")
        return found

    def maybe_number(self, name: str) -> float | None:
        found = self._is(name, (int, float), "a number")
        try:
            number = None if found is None else float(found)
        except OverflowError:
            number = math.inf
        if number is not None and not math.isfinite(number):
            raise StrangeRecording(f"{name!r} of a {self._what} is larger than any number of JSON")
        return number

    def whole(self, name: str, default: int) -> int:
        found = self.maybe_whole(name)
        return default if found is None else found

    def maybe_whole(self, name: str) -> int | None:
        found: int | None = self._is(name, int, "a whole number")
        if found is not None and not -_LARGEST < found < _LARGEST:
            raise StrangeRecording(f"{name!r} of a {self._what} is larger than anything that is counted")
        return found

    def flag(self, name: str) -> bool:
        return bool(self._is(name, bool, "true or false"))

    def mapping(self, name: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self._is(name, dict, "an object")
        return found

    def typed(self, name: str) -> Mapping[str, Any] | None:
        """An object of any fields, of which those that we know are what they should be."""
        found = self.maybe(name)
        if found is None:
            return None
        for text in _KNOWN_TEXTS:
            found.optional(text)
        for number in _KNOWN_NUMBERS:
            found.maybe_number(number)
        for whole in _KNOWN_WHOLES:
            found.maybe_whole(whole)
        return self.mapping(name)

    def maybe(self, name: str) -> _Told | None:
        found = self.mapping(name)
        return None if found is None else _Told(found, name)

    def each(self, name: str) -> list[_Told]:
        found = self._is(name, list, "a list") or []
        if not all(isinstance(one, dict) for one in found):
            raise StrangeRecording(f"{name!r} of a {self._what} must be objects")
        return [_Told(one, name.removesuffix("s")) for one in found]

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        found = self._is(name, list, "a list") or []
        pairs = [tuple(one) for one in found if isinstance(one, list) and len(one) == 2]
        if len(pairs) != len(found) or not all(isinstance(text, str) for pair in pairs for text in pair):
            raise StrangeRecording(f"{name!r} of a {self._what} must be pairs of texts")
        return tuple(pairs)

    def octets(self, name: str) -> bytes:
        told = self.maybe(name)
        if told is None:
            return b""
        text, encoded = told.optional("text"), told.optional("base64")
        if text is not None:
            return text.encode("utf-8", "surrogatepass")
        try:
            return base64.b64decode(encoded or "", validate=True)
        except (binascii.Error, ValueError) as error:
            raise StrangeRecording(f"{name!r} of a {self._what} is no base64") from error


def _usage_of(told: _Told) -> Usage:
    return Usage(
        told.whole("input", 0),
        told.whole("output", 0),
        told.whole("cache_read", 0),
        told.whole("cache_write", 0),
        told.whole("reasoning", 0),
        told.flag("estimated"),
    )


def _message_of(told: _Told | None) -> Message | None:
    if told is None:
        return None
    body = told.octets("body")
    return Message(told.pairs("headers"), body, told.whole("size", 0), told.maybe_whole("status"))


def _asked_of(told: _Told | None) -> Asked | None:
    if told is None:
        return None
    return Asked(told.text("api"), told.text("url"), _message_of(told.maybe("message")) or Message())


def _attempt_of(told: _Told) -> Attempt:
    return Attempt(
        told.whole("number", 1),
        told.text("route", ""),
        told.whole("at", 0),
        told.text("url", ""),
        _message_of(told.maybe("sent")) or Message(),
        told.maybe_whole("head_at"),
        _message_of(told.maybe("answer")),
        told.maybe_whole("ended_at"),
        told.text("state", ""),
        told.typed("error"),
        told.whole("waited", 0),
    )


def _step_of(told: _Told) -> Step:
    return Step(
        told.whole("at", 0),
        told.text("plugin", ""),
        told.text("hook", ""),
        told.text("action", ""),
        told.whole("ns", 0),
        told.whole("calls", 1),
        told.optional("before"),
        told.optional("after"),
    )


def _piece_of(told: _Told) -> Piece:
    kind = told.text("kind")
    if kind not in _PIECES:
        raise StrangeRecording(f"a piece is {kind[:40]!r}; it is one of {', '.join(sorted(_PIECES))}")
    data = told.octets("data")
    return Piece(told.whole("at", 0), kind, data, told.typed("chunk") or {}, told.whole("size", 0))  # type: ignore[arg-type]
