"""Redacts texts and then shortens them: the one way into a record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from attrs import field, frozen
from clippy_hookspecs import Headers, HookCall, Json

from .lines import in_ascii
from .literals import forms_of
from .redaction import SHORT, is_id, is_in_id, redact, redact_headers, redact_url, redact_value

SLACK = 8192
"""Characters behind ``max_text`` that are still looked at, so that a secret across the cut is seen whole."""
MANY = 256
"""Short texts that are remembered; then it begins anew."""


MANY_TRACES = 32
"""The same of traces, each of at most so many characters:"""
LONGEST_TRACE = 16384


@frozen
class Cleaner:
    """Redacts and then shortens; nothing reaches a record but through it."""

    literals: tuple[str, ...] = field(default=(), repr=False)
    personal: bool = True
    max_text: int = 8192
    _texts: dict[str, str] = field(init=False, factory=dict, eq=False, repr=False)
    """What became of short texts: of the thirty of a record nearly all come again with every request."""

    _in_ids: tuple[str, ...] = field(init=False, eq=False, repr=False)
    """Of the fifty forms that one literal has, those that could stand in an id: hardly ever any."""

    _names: dict[str, str] = field(init=False, factory=dict, eq=False, repr=False)
    _urls: dict[str, str] = field(init=False, factory=dict, eq=False, repr=False)
    _traces: dict[tuple[tuple[str, str, str, bool], ...], list[bytes]] = field(
        init=False, factory=dict, eq=False, repr=False
    )

    frames: dict[tuple[Any, ...], list[bytes]] = field(init=False, factory=dict, eq=False, repr=False)
    """What :mod:`clippy_audit.frames` remembers."""

    @_in_ids.default
    def _forms_in_ids(self) -> tuple[str, ...]:
        return tuple(filter(is_in_id, forms_of(self.literals).forms))

    def trace(self, calls: Sequence[HookCall]) -> orjson.Fragment | None:
        """Who did what in which hook, and how long it took, already as JSON; None without any."""
        return orjson.Fragment(self.written_trace(calls)) if calls else None

    def written_trace(self, calls: Sequence[HookCall]) -> bytes:
        """The same as JSON in plain ASCII.

        All requests that go the same way have the same names in it, so what stands around the numbers is remembered.
        """
        names = tuple([(call.plugin, call.hook, call.action, call.calls == 1) for call in calls])
        text = (self._traces.get(names) or self._around(names)).copy()
        numbers = [call.ns for call in calls]
        if len(text) != 2 * len(numbers) + 1:  # some were called more often than once
            numbers = [number for call in calls for number in (call.ns, call.calls)[: 1 + (call.calls != 1)]]
        text[1::2] = _digits(numbers)
        return b"".join(text)

    def _around(self, names: tuple[tuple[str, str, str, bool], ...]) -> list[bytes]:
        """The trace of calls with these *names* in pieces, every other one of which is a number that is still to come.

        Behind the names of each stands whether that hook was called once: it is so of all but a stream's.
        """
        pieces, before = [], "["
        for plugin, hook, action, once in names:
            line = in_ascii({"plugin": self.text(plugin), "hook": self.text(hook), "action": self.text(action)})
            pieces += [f'{before}{line[:-1]},"ns":', ""]
            if not once:
                pieces += [',"calls":', ""]
            before = ',"calls":1},' if once else "},"
        pieces.append(f"{before[:-1]}]")
        around = [piece.encode() for piece in pieces]
        if sum(map(len, around)) <= LONGEST_TRACE:
            if len(self._traces) >= MANY_TRACES:
                self._traces.clear()
            self._traces[names] = around
        return around

    def id(self, value: str) -> str:
        """The name of one request: nothing of it comes again, so it is not remembered."""
        if is_id(value):
            for form in self._in_ids:
                if form in value:
                    break
            else:
                return value
        return value and self._cleaned(value, "text")

    def text(self, value: str) -> str:
        """A text of the provider, the caller or a plugin."""
        return self._texts.get(value) or self._once(value, "text", self._texts)

    def name(self, value: str | None) -> str | None:
        """Who it was: an actor may be named by an address of mail, which is then what the audit is for."""
        return None if value is None else self._names.get(value) or self._once(value, "name", self._names)

    def url(self, value: str) -> str:
        return self._urls.get(value) or self._once(value, "url", self._urls)

    def _once(self, value: str, kind: str, seen: dict[str, str]) -> str:
        if not value:
            return value  # it is not found among the seen, and there is nothing in it
        cleaned = self._cleaned(value, kind)
        if len(value) <= SHORT:
            if len(seen) >= MANY:
                seen.clear()
            seen[value] = cleaned
        return cleaned

    def _cleaned(self, value: str, kind: str) -> str:
        near = self._near(value)
        if kind == "url":
            cleaned = redact_url(near, self.literals)
        else:
            cleaned = redact(near, self.literals, personal=kind == "text" and self.personal)
        return self._short(cleaned, len(value))

    def optional(self, value: str | None) -> str | None:
        return None if value is None else self.text(value)

    def value(self, value: Json) -> Json:
        """A JSON value, every text in it shortened."""
        return self._shorten(redact_value(self._near_value(value), self.literals, personal=self.personal))

    def headers(self, headers: Headers) -> list[list[str]]:
        return [[self.text(name), self.text(value)] for name, value in redact_headers(headers, self.literals).pairs]

    def _near(self, value: str) -> str:
        return value if len(value) <= self.max_text + SLACK else value[: self.max_text + SLACK]

    def _short(self, cleaned: str, length: int) -> str:
        cut = length > self.max_text + SLACK
        if len(cleaned) <= self.max_text and not cut:
            return cleaned
        # What was cut away may have begun a secret that the rest no longer shows: its neighbourhood goes as well.
        kept = cleaned[: min(self.max_text, max(0, len(cleaned) - SLACK // 2) if cut else self.max_text)]
        return f"{kept}[truncated: the first {len(kept)} of {length} characters]"

    def _near_value(self, value: Json) -> Json:
        """Long texts cut to a little more than is kept, with a note that survives the redaction."""
        return _map_texts(value, lambda text: self._short(self._near(text), len(text)))

    def _shorten(self, value: Json) -> Json:
        return _map_texts(value, lambda text: self._short(text, len(text)))


def _digits(numbers: list[int]) -> list[bytes]:
    """*numbers* as JSON has them."""
    try:
        return orjson.dumps(numbers)[1:-1].split(b",")
    except TypeError:  # an integer beyond 64 bits
        return [str(number).encode() for number in numbers]


def _map_texts(value: Json, change: Callable[[str], str], depth: int = 110) -> Json:
    if isinstance(value, str):
        return change(value)
    if depth and isinstance(value, Mapping):
        return {change(str(key)): _map_texts(item, change, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, (list, tuple)):
        return [_map_texts(item, change, depth - 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no NaN
    return value
