"""When what happened: a request's attempts, waits and pieces as places on one line, from 0 to 1 of its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen
from clippy_recorder import Attempt, Exchange, Piece

from .numbers import worded

MOST_TICKS: Final = 400
MOST_ROWS: Final = 500


@frozen
class Span:
    """A bar: ``kind`` is wait, head (until the answer began), body or plugin; ``begin`` and ``width`` in percent."""

    kind: str
    begin: float
    width: float
    label: str


@frozen
class Lane:
    """A line of the picture: its name, its bars, and the places of its ticks in percent."""

    name: str
    spans: tuple[Span, ...] = ()
    ticks: tuple[float, ...] = ()
    tone: str = ""


@frozen
class Event:
    """A line of the table: ``at`` and ``gap`` (since the line before) in microseconds."""

    at: int
    gap: int
    what: str
    detail: str
    size: int | None = None


def whole(exchange: Exchange) -> int:
    """The microseconds that the picture spans: to the last thing that is known of it."""
    known = [exchange.duration or 0, *(piece.at for piece in exchange.pieces[-1:])]
    known += [attempt.ended_at or attempt.head_at or attempt.at for attempt in exchange.attempts]
    known += [step.at + step.ns // 1000 for step in exchange.steps]
    return max(1, *known)


def lanes(exchange: Exchange) -> tuple[Lane, ...]:
    """The lines of the picture: plugins, attempts, bytes and chunks."""
    total = whole(exchange)

    def place(at: int) -> float:
        return round(100 * min(max(at, 0), total) / total, 3)

    def span(kind: str, begin: int, end: int, label: str) -> Span:
        return Span(kind, place(begin), max(0.15, round(place(end) - place(begin), 3)), label)

    made: list[Lane] = []
    steps = [step for step in exchange.steps if step.hook != "on_chunk"]
    if steps:
        made.append(
            Lane(
                "Plugins",
                tuple(span("plugin", s.at - s.ns // 1000, s.at, f"{s.plugin} {s.hook}") for s in steps[:MOST_TICKS]),
            )
        )
    for attempt in exchange.attempts:
        made.append(Lane(f"Attempt {attempt.number}", tuple(_parts(attempt, total, span)), tone=attempt.state))
    for kind, name in (("bytes", "Bytes in"), ("chunk_in", "Chunks in"), ("chunk_out", "Chunks out")):
        pieces = [piece for piece in exchange.pieces if piece.kind == kind]
        if pieces:
            made.append(Lane(name, ticks=tuple(place(piece.at) for piece in thinned(pieces))))
    return tuple(made)


def _parts(attempt: Attempt, total: int, span: object) -> Iterator[Span]:
    make = span
    assert callable(make)
    end = attempt.ended_at if attempt.ended_at is not None else total
    if attempt.waited:
        yield make("wait", attempt.at - attempt.waited, attempt.at, "waited")
    head = attempt.head_at if attempt.head_at is not None else end
    yield make("head", attempt.at, head, "until the answer began")
    if attempt.head_at is not None and end > head:
        yield make("body", head, end, "the answer")


def thinned(pieces: Sequence[Piece]) -> Sequence[Piece]:
    """At most so many as a picture can show, evenly chosen, the first and the last among them."""
    if len(pieces) <= MOST_TICKS:
        return pieces
    return [pieces[round(i * (len(pieces) - 1) / (MOST_TICKS - 1))] for i in range(MOST_TICKS)]


def events(exchange: Exchange) -> list[Event]:
    """Everything with a time, in order: what the picture shows, as a table."""
    found: list[tuple[int, str, str, int | None]] = []
    for attempt in exchange.attempts:
        number = f"attempt {attempt.number}"
        found.append((attempt.at, f"{number} sent", attempt.route or attempt.url, attempt.sent.size))
        if attempt.head_at is not None:
            status = attempt.answer.status if attempt.answer is not None else None
            found.append((attempt.head_at, f"{number}: the answer began", f"status {status}" if status else "", None))
        if attempt.ended_at is not None:
            detail = str((attempt.error or {}).get("message") or attempt.state)
            found.append((attempt.ended_at, f"{number} ended", detail, None))
    found += [(step.at, f"{step.plugin}: {step.hook}", worded(step.action), None) for step in exchange.steps]
    found += [(piece.at, _names[piece.kind], said(piece), piece.size) for piece in exchange.pieces]
    found.sort(key=lambda one: one[0])
    made: list[Event] = []
    before = 0
    for at, what, detail, size in found[:MOST_ROWS]:
        made.append(Event(at, at - before, what, detail, size))
        before = at
    return made


_names: Final = {"bytes": "bytes came", "chunk_in": "chunk in", "chunk_out": "chunk out"}


def said(piece: Piece) -> str:
    """What a piece says, in one line."""
    if piece.kind == "bytes":
        return piece.data.decode("utf-8", "backslashreplace")
    chunk = piece.chunk
    rest = [f"{name}={value}" for name, value in chunk.items() if name not in {"kind", "delta", "usage"}]
    return " ".join([str(chunk.get("kind", "")), *rest, str(chunk.get("delta", ""))]).strip()


def told(exchange: Exchange) -> str:
    """The text of a stream as its reader got it."""
    kinds = {"text", "refusal"}
    outs = (piece.chunk for piece in exchange.pieces if piece.kind == "chunk_out")
    return "".join(str(chunk.get("delta") or "") for chunk in outs if chunk.get("kind") in kinds)
