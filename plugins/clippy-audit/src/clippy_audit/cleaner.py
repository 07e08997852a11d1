"""Redacts texts and then shortens them: the one way into a record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from attrs import field, frozen
from clippy_hookspecs import Headers, Json

from .redaction import SHORT, redact, redact_headers, redact_url, redact_value

SLACK = 8192
"""Characters behind ``max_text`` that are still looked at, so that a secret across the cut is seen whole."""
MANY = 256
"""Short texts that are remembered; then it begins anew."""


@frozen
class Cleaner:
    """Redacts and then shortens; nothing reaches a record but through it."""

    literals: tuple[str, ...] = field(default=(), repr=False)
    personal: bool = True
    max_text: int = 8192
    _seen: dict[tuple[str, str], str] = field(init=False, factory=dict, eq=False, repr=False)
    """What became of short texts: of the thirty of a record nearly all come again with every request."""

    _calls: dict[tuple[str, str, str], dict[str, str]] = field(init=False, factory=dict, eq=False, repr=False)

    def call(self, plugin: str, hook: str, action: str) -> dict[str, str]:
        """Who did what in a hook; the dict must not be changed."""
        known = self._calls.get((plugin, hook, action))
        if known is None:
            known = {"plugin": self.text(plugin), "hook": self.text(hook), "action": self.text(action)}
            if len(self._calls) < MANY:
                self._calls[plugin, hook, action] = known
        return known

    def text(self, value: str) -> str:
        """A text of the provider, the caller or a plugin."""
        return self._seen.get((value, "text")) or self._once(value, "text")

    def name(self, value: str | None) -> str | None:
        """Who it was: an actor may be named by an address of mail, which is then what the audit is for."""
        return None if value is None else self._seen.get((value, "name")) or self._once(value, "name")

    def url(self, value: str) -> str:
        return self._seen.get((value, "url")) or self._once(value, "url")

    def _once(self, value: str, kind: str) -> str:
        if not value:
            return value  # it is not found among the seen, and there is nothing in it
        near = self._near(value)
        if kind == "url":
            cleaned = redact_url(near, self.literals)
        else:
            cleaned = redact(near, self.literals, personal=kind == "text" and self.personal)
        cleaned = self._short(cleaned, len(value))
        if len(value) <= SHORT:
            if len(self._seen) >= MANY:
                self._seen.clear()
            self._seen[value, kind] = cleaned
        return cleaned

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
