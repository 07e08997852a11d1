"""The time line of an answer: its bytes and chunks, with their content unless that says a secret."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from clippy_hookspecs import Chunk, Event

from .exchange import Piece, new_piece
from .secrets import WITHHELD, Secrets
from .streams import bytes_say_a_secret

_TOLD = ("block", "choice", "id", "name", "finish_reason", "reason")


class TimeLine:
    """The events of one call on their way to the pieces of its answer; with *content*, unless they say a secret."""

    def __init__(self, events: Sequence[Event], began: int, content: bool, clean: Secrets) -> None:
        self._began, self._content, self._clean = began, content, clean
        self._streamed = [event for event in events if event.kind in ("bytes", "chunk_in", "chunk_out")]
        self._heads = [event for event in events if event.kind == "head"]
        self._given = () if any(event.kind == "bytes" for event in self._streamed) else (*self._as_given(),)
        self._told: dict[int, tuple[Chunk, dict[str, Any]]] = {}

    def pieces(self) -> tuple[Piece, ...]:
        """All of them in order."""
        kept: list[Piece] = []
        withheld = self._content and self._holds_a_secret()
        given = {id(event) for event in self._given}
        for event in self._streamed:
            at, data, kind = (event.at - self._began) // 1000, event.data, event.kind
            if isinstance(data, Chunk):
                if id(event) in given:
                    raw = data.raw or b""
                    kept.append(
                        new_piece(at, "bytes", data=raw if self._content and not withheld else b"", size=len(raw))
                    )
                kept.append(new_piece(at, kind, chunk=self._chunk(data, withheld), size=len(data.delta)))  # type: ignore[arg-type]
            else:
                shown = data if self._content and not withheld else b""
                kept.append(new_piece(at, "bytes", data=shown, size=len(data)))
        return tuple(kept)

    def brief(self) -> tuple[Piece, ...]:
        """What the caller was given, chunks of one kind that follow each other as one; all pieces where nobody made
        chunks.  For lists, which would wait for seconds if each piece of hundreds of streams were looked into."""
        outs = [event for event in self._streamed if event.kind == "chunk_out"]
        if not outs:
            return self.pieces()
        withheld = self._content and any(map(self._clean.within, _words(outs).values()))
        return tuple(self._joined([*alike], withheld) for _, alike in groupby(outs, _about))

    def _joined(self, outs: Sequence[Event], withheld: bool) -> Piece:
        words, chunk = "".join(event.data.delta for event in outs), dict(self._chunk(outs[-1].data, withheld))
        if words and self._content:
            chunk["delta"] = WITHHELD if withheld else words
        return Piece((outs[-1].at - self._began) // 1000, "chunk_out", chunk=chunk, size=len(words))

    def _as_given(self) -> Iterator[Event]:
        """Of an answer that came from no provider, such as a stored one: the chunks that begin an event.  Together
        their bytes are the stream that the caller was given."""
        before: bytes | None = None
        for event in self._streamed:
            if event.kind == "chunk_in" and event.data.raw and event.data.raw is not before:
                before = event.data.raw
                yield event

    def _chunk(self, chunk: Chunk, withheld: bool) -> dict[str, Any]:
        """What it says; most chunks leave as they came, and are told once."""
        known = self._told.get(id(chunk))
        if known is not None:
            return known[1]
        told: dict[str, Any] = {"kind": chunk.kind}
        if chunk.delta and self._content:
            told["delta"] = WITHHELD if withheld else chunk.delta
        for name in _TOLD:
            if value := getattr(chunk, name):
                told[name] = self._clean.text(value) if isinstance(value, str) else value
        if chunk.usage is not None:
            told["usage"] = {"input": chunk.usage.input, "output": chunk.usage.output}
        self._told[id(chunk)] = chunk, told
        return told

    def _holds_a_secret(self) -> bool:
        """Whether they say one: it may lie across several of them, so none of their content is shown."""
        known = dict.fromkeys(_words(self._streamed).values())
        if any(map(self._clean.within, known)):
            return True
        return any(bytes_say_a_secret(body, coding, self._clean, known) for body, coding in self._bodies())

    def _bodies(self) -> Iterator[tuple[bytes, str]]:
        """What each attempt's answer brought, and its content-encoding."""
        if self._given:
            yield b"".join(event.data.raw for event in self._given), ""
        codings = [head.data[1].get("content-encoding", "") for head in self._heads] or [""]
        since = -math.inf
        for coding, end in zip(codings, [*(head.at for head in self._heads[1:]), math.inf], strict=True):
            data = (one.data for one in self._streamed if one.kind == "bytes" and since <= one.at < end)
            yield b"".join(data), coding
            since = end


def _words(events: Sequence[Event]) -> Mapping[tuple[str, int, int, str], str]:
    """What the chunks among *events* say, each kind of each block together."""
    said: dict[tuple[str, int, int, str], list[str]] = {}
    for event in events:
        if isinstance(event.data, Chunk) and event.data.delta:
            chunk = event.data
            said.setdefault((event.kind, chunk.choice, chunk.block, chunk.kind), []).append(chunk.delta)
    return {which: "".join(words) for which, words in said.items()}


def _about(event: Event) -> tuple[object, ...]:
    chunk = event.data
    return chunk.kind, chunk.choice, chunk.block, chunk.id, chunk.name
