"""Why a request was a miss: the parts of its key that differ from those of the nearest stored answer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from .asking import explained
from .keeping import keeps, kept_where
from .ledger_file import StoredKey
from .requests import FileRequest

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


def explanation(cli: Any, host: Any, client: Any, request: FileRequest, stored: list[StoredKey]) -> dict[str, Any]:
    """Whether a cache answers *request*, which is never sent, and if not, why."""
    missed: list[tuple[str | None, Mapping[str, str]]] = []
    token = explained.set(missed)
    try:
        asked = request.ask(cli, host, client, "only-if-cached, no-store")
    except Exception as error:  # whatever ends it, before a cache is asked or in the caller's words
        if not missed:
            return {"hit": False, "key": None, "said": [f"neither hit nor miss, it was refused: {error}"]}
    else:
        if not missed:
            age = "" if asked.age is None else f", {asked.age:.0f} s old"
            why = f" ({asked.why})" if asked.why else ""
            said = f"hit: {asked.by} has an answer{why}{age}{', past its time' if asked.stale else ''}"
            return {"hit": True, "cache": asked.by, "age": asked.age, "said": [said]}
    finally:
        explained.reset(token)
    key, fields = missed[0]
    if key is None:
        why = (
            "miss: it has no cache key: no cache is active, it is switched off for it, or its answers are never cached"
        )
        return {"hit": False, "key": None, "said": [why]}
    near = nearest(fields, stored)
    if near is None:
        return {"hit": False, "key": key, "said": [f"miss: {key[:16]} is not stored, and no other answer is known"]}
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(near.stored.at))
    document = {"hit": False, "key": key, "nearest": near.stored.key, "differing": list(near.differing)}
    if not near.differing:
        asked_of = ", ".join(kept_where(name, plugin) for name, plugin in host.plugins.items() if keeps(plugin))
        why = f"miss: its answer was stored at {when}, and is not in {asked_of}: expired, evicted, dropped"
        return {**document, "said": [f"{why}, or in another file or the memory of another program"]}
    lines = [f"miss: the nearest stored answer ({near.stored.key[:16]}, {when}) differs in"]
    lines += [f"  {part}" for part in told_parts(near, fields, bool(request.scope))]
    return {**document, "said": lines}
