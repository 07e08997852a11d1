"""A call that runs, as short as a list may show it: a stream has thousands of pieces, and pages look every second."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from attrs import evolve
from clippy_recorder import Exchange, Message, Piece
from clippy_recorder.har import answer_pieces


def brief(exchange: Exchange) -> Exchange:
    """*exchange* with its words, counts and attempts, but not what came when, nor what each plugin changed.

    Chunks that follow each other and are of one kind are one piece; ``lost`` keeps how many there were.  Where nobody
    made chunks of what came, its bytes are one piece.
    """
    outs = [piece for piece in exchange.pieces if piece.kind == "chunk_out"]
    if not outs and (came := answer_pieces(exchange)):
        data = b"".join(piece.data for piece in came)
        pieces: tuple[Piece, ...] = (evolve(came[-1], data=data, size=sum(piece.size for piece in came)),)
    else:
        pieces = tuple(_joined(outs))
    steps = tuple(evolve(step, before=None, after=None) for step in exchange.steps)
    return evolve(exchange, steps=steps, pieces=pieces, lost=exchange.lost + max(0, len(outs) - len(pieces)))


def unasked(exchange: Exchange, attempts: int) -> Exchange:
    """*exchange* without what was asked, for who knows that already, and what the first *attempts* sent."""
    rest = exchange.attempts[attempts:]
    known = [evolve(one, sent=Message()) for one in exchange.attempts[:attempts]]
    return evolve(exchange, came=Message(), attempts=(*known, *rest))


def recalled(told: Exchange, before: Exchange) -> Exchange:
    """What :func:`unasked` made, with what was taken out of it as it was *before*."""
    sent = [one.sent for one in before.attempts]
    known = [evolve(one, sent=old) for one, old in zip(told.attempts, sent, strict=False)]
    return evolve(told, came=before.came, attempts=(*known, *told.attempts[len(known) :]))


def _joined(pieces: list[Piece]) -> Iterator[Piece]:
    for _, alike in groupby(pieces, lambda piece: _about(piece.chunk)):
        *_, last = found = list(alike)
        words = "".join(str(piece.chunk.get("delta") or "") for piece in found)
        size = sum(piece.size for piece in found)
        yield evolve(last, chunk={**last.chunk, "delta": words}, size=size) if words else last


def _about(chunk: Any) -> tuple[Any, ...]:
    return tuple(chunk.get(name) for name in ("kind", "block", "choice", "id", "name"))
