"""Why a request was a miss: the parts of its key that differ from those of the nearest stored answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from attrs import frozen

from .ledger_file import StoredKey

_MESSAGE = re.compile(r"(body\.\w+)\[(\d+)\]\Z")
_SAID = {
    "scope": "the caller: another tenant or user",
    "auth": "the credentials",
    "base_url": "the address",
    "query": "the address's query",
    "api": "the wire API",
    "route": "the route; a call of an SDK's client has none, so that it shares with no call on a route",
    "fingerprint": "the plugins that shape requests, their versions or settings",
    "schema": "the version of cache keys",
}


@frozen
class Nearest:
    """The stored answer whose key differs least, and the parts that differ; no parts: it is the same key."""

    stored: StoredKey
    differing: tuple[str, ...]


def nearest(fields: Mapping[str, str], stored: Iterable[StoredKey]) -> Nearest | None:
    """The nearest of *stored*, given latest first, to a key made of *fields*; the later of two; None without any."""
    best: Nearest | None = None
    for one in stored:
        differing = tuple(sorted(name for name in {*fields, *one.fields} if fields.get(name) != one.fields.get(name)))
        if best is None or len(differing) < len(best.differing):
            best = Nearest(one, differing)
    return best


def told_parts(near: Nearest, fields: Mapping[str, str], scope_said: bool) -> list[str]:
    """The parts that differ, for people; *scope_said*: the request's scope was given, and not told from credentials."""
    parts = list(near.differing)
    if not scope_said and {"scope", "auth"} <= {*parts}:
        parts = [part for part in parts if part not in ("scope", "auth")]
        who = ["auth, scope (the credentials, which also say who calls where no tenant or user is given)"]
    else:
        who = []
    return who + [_told(part, fields, near.stored.fields) for part in parts]


def _told(part: str, fields: Mapping[str, str], stored: Mapping[str, str]) -> str:
    """A part that differs, for people."""
    there = "only in this request" if part not in stored else "only in the stored one" if part not in fields else ""
    message = _MESSAGE.match(part)
    meaning = _SAID.get(part, f"message {int(message[2]) + 1}" if message else "")
    return f"{part}{f' ({meaning})' if meaning else ''}{f': {there}' if there else ''}"
