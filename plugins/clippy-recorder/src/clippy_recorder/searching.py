"""What a text may be found in: the words of a call, as somebody reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .exchange import Exchange
from .har import answer_pieces
from .rerunning import said


def says(exchange: Exchange, text: str) -> bool:
    """Whether *text* is in what was asked, sent, answered or went wrong, or in what a call is called by.

    Without regard to case, and of a stream in what its pieces say together.
    """
    wanted = text.casefold()
    return any(wanted in words.casefold() for words in spoken(exchange))


def spoken(exchange: Exchange) -> Iterator[str]:
    """Everything of a call that a text may be found in, as far as its recording kept it."""
    yield from (exchange.id, exchange.model or "", exchange.url, exchange.route or "")
    yield str((exchange.error or {}).get("message", ""))
    yield _read(exchange.came.body)
    if exchange.asked is not None:
        yield _read(exchange.asked.message.body)
    if exchange.answered is not None:
        yield _read(exchange.answered.body)
    for attempt in exchange.attempts:
        yield _read(attempt.sent.body)
        yield str((attempt.error or {}).get("message", ""))
        if attempt.answer is not None:
            yield _read(attempt.answer.body)
    chunks = "".join(str(piece.chunk.get("delta") or "") for piece in exchange.pieces if piece.kind == "chunk_out")
    yield chunks or said(b"".join(piece.data for piece in answer_pieces(exchange)))


def _read(body: bytes) -> str:
    """A JSON body as somebody reads it: its texts and names, so that ``\\u00e9`` in it is found as é."""
    try:
        return "\n".join(_texts(json.loads(body))) if body else ""
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif value is not None:
        yield value if isinstance(value, str) else json.dumps(value)
