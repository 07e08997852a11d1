"""Places in a text that must not be shown, and how they are taken out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """Characters ``start`` to ``end`` of a text hold something of this ``kind``."""

    start: int
    end: int
    kind: str


def mark(kind: str) -> str:
    """What stands in a text where something of *kind* was."""
    return f"[redacted:{kind}]"


def replace(text: str, spans: Iterable[Span]) -> str:
    """*text* with every span replaced by its mark; spans that overlap become one, named by the one given first."""
    merged: list[tuple[int, int, int, str]] = []
    for start, end, rank, kind in sorted((span.start, span.end, rank, span.kind) for rank, span in enumerate(spans)):
        if start >= end:
            continue
        if merged and start < merged[-1][1]:
            first, last, best, name = merged[-1]
            merged[-1] = (first, max(last, end), min(best, rank), kind if rank < best else name)
        else:
            merged.append((start, end, rank, kind))
    if not merged:
        return text
    parts: list[str] = []
    position = 0
    for start, end, _, kind in merged:
        parts += (text[position:start], mark(kind))
        position = end
    parts.append(text[position:])
    return "".join(parts)
