"""An exchange as a JSON document; :mod:`clippy_recorder.reading` makes exchanges of them again.

Bytes are text where they are UTF-8 (``{"text": ...}``) and base64 where they are not (``{"base64": ...}``).
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from typing import Any

import orjson
from clippy_hookspecs import Usage

from .exchange import Asked, Attempt, Exchange, Message, Piece, Step

_NOTHING: tuple[Any, ...] = ("", (), [], {})


def document(exchange: Exchange) -> dict[str, Any]:
    """*exchange* as JSON; what is its default is left out."""
    return _without_defaults(
        {
            "id": exchange.id,
            "began": exchange.began,
            "parent": exchange.parent,
            "api": exchange.api,
            "method": exchange.method,
            "url": exchange.url,
            "model": exchange.model,
            "stream": exchange.stream,
            "scope": _without_defaults(
                {"tenant": exchange.scope.tenant, "user": exchange.scope.user, "session": exchange.scope.session}
            ),
            "route": exchange.route,
            "state": exchange.state,
            "status": exchange.status,
            "duration": exchange.duration,
            "first_token": exchange.first_token,
            "usage": _usage(exchange.usage),
            "cost": exchange.cost,
            "finish_reason": exchange.finish_reason,
            "provenance": exchange.provenance,
            "error": exchange.error,
            "came": _message(exchange.came),
            "answered": _message(exchange.answered),
            "attempts": [_attempt(one) for one in exchange.attempts],
            "steps": [_step(one) for one in exchange.steps],
            "pieces": [_piece(one) for one in exchange.pieces],
            "lost": exchange.lost,
            "unread": exchange.unread,
            "asked": _asked(exchange.asked),
        }
    )


def line(exchange: Exchange) -> bytes:
    """*exchange* as one line of JSON in plain ASCII, its end included.  Raises ValueError for a number JSON has not."""
    told = document(exchange)
    try:
        text = orjson.dumps(told)
    except TypeError:  # a lone surrogate, an integer beyond 64 bits
        return _escaped(told)
    if not all(map(math.isfinite, _floats(told))):
        raise ValueError(f"call {exchange.id} has a number that JSON has not")  # of which it writes null
    # Nothing beyond ASCII is in a line, so that no terminal or program takes part of it for the end of one.
    return text + b"\n" if text.isascii() and b"\x7f" not in text else _escaped(told)


def _escaped(told: dict[str, Any]) -> bytes:
    return json.dumps(told, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def _floats(told: dict[str, Any]) -> Iterator[float]:
    """The numbers of a call that are not whole, and might be none."""
    for part in (told, told.get("error"), told.get("provenance")):
        if part:
            yield from [value for value in part.values() if isinstance(value, float)]


def _without_defaults(value: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in value.items() if one is not None and one is not False and one not in _NOTHING}


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    names = ("input", "output", "cache_read", "cache_write", "reasoning", "estimated")
    return {name: getattr(usage, name) for name in names}


def _bytes(data: bytes) -> dict[str, str] | None:
    if not data:
        return None
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _message(message: Message | None) -> dict[str, Any] | None:
    if message is None:
        return None
    headers = [list(pair) for pair in message.headers]
    return _without_defaults(
        {"headers": headers, "body": _bytes(message.body), "size": message.size or None, "status": message.status}
    )


def _asked(asked: Asked | None) -> dict[str, Any] | None:
    return None if asked is None else {"api": asked.api, "url": asked.url, "message": _message(asked.message)}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return _without_defaults(
        {
            "number": attempt.number,
            "route": attempt.route,
            "at": attempt.at,
            "url": attempt.url,
            "sent": _message(attempt.sent),
            "head_at": attempt.head_at,
            "answer": _message(attempt.answer),
            "ended_at": attempt.ended_at,
            "state": attempt.state,
            "error": attempt.error,
            "waited": attempt.waited or None,
        }
    )


def _step(step: Step) -> dict[str, Any]:
    """Written out, since there are thirty in a call."""
    told: dict[str, Any] = {"at": step.at}
    if step.plugin:
        told["plugin"] = step.plugin
    if step.hook:
        told["hook"] = step.hook
    if step.action:
        told["action"] = step.action
    told["ns"] = step.ns
    if step.calls != 1:
        told["calls"] = step.calls
    if step.before:
        told["before"] = step.before
    if step.after:
        told["after"] = step.after
    return told


def _piece(piece: Piece) -> dict[str, Any]:
    """Written out, since there are hundreds in a stream."""
    told: dict[str, Any] = {"at": piece.at, "kind": piece.kind}
    if piece.data:
        told["data"] = _bytes(piece.data)
    if piece.chunk:
        told["chunk"] = piece.chunk
    if piece.size:
        told["size"] = piece.size
    return told
