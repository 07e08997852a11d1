"""The models of the configuration, in the form in which a provider lists its own."""

from __future__ import annotations

from typing import Any

import orjson

from .callers import Caller
from .choosing import Choice

Listed = tuple[int, list[tuple[bytes, bytes]], bytes]

_LONG_AGO = "1970-01-01T00:00:00Z"
"""What ``created_at`` says where the date is not known (docs.anthropic.com, List Models)."""


def models_reply(path: str, choice: Choice, caller: Caller, anthropic: bool) -> Listed | None:
    """Status, headers and body for a call that asks for models; None for another one, or for a model not listed here.

    A pattern is no name, so it is not listed; where there is nothing but patterns, providers know the names.
    """
    root, _, name = path.removeprefix("/v1").partition("/models")
    if root or not path.removeprefix("/v1").startswith("/models") or (name and not name.startswith("/")):
        return None
    if all("*" in model for model in choice.models):
        return None
    known = [(model, route) for model, route in choice.models.items() if "*" not in model and caller.may_use(route)]
    rows = [_row(model, route, anthropic, choice.since) for model, route in known]
    if not name.strip("/"):
        return _json(_listing(rows, anthropic))
    found = [row for row in rows if row["id"] == name[1:]]
    return _json(found[0]) if found else None


def _row(model: str, route: str, anthropic: bool, since: int) -> dict[str, Any]:
    """When a model was made nobody told us: Anthropic's API has a word for that, and OpenAI's readers show any date."""
    if anthropic:
        return {"type": "model", "id": model, "display_name": model, "created_at": _LONG_AGO}
    return {"id": model, "object": "model", "created": since, "owned_by": route}


def _listing(rows: list[dict[str, Any]], anthropic: bool) -> dict[str, Any]:
    if not anthropic:
        return {"object": "list", "data": rows}
    first, last = (rows[0]["id"], rows[-1]["id"]) if rows else (None, None)
    return {"data": rows, "has_more": False, "first_id": first, "last_id": last}


def _json(value: Any) -> Listed:
    body = orjson.dumps(value)
    return 200, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))], body
