"""Events that differ from the one before them in nothing but their words.

Most events of most streams are of this kind, and parsing them is the greatest part of what a stream costs.  Where an
event's bytes are those of the one before it up to the words and after them, it says the same but for the words, so that
only these are parsed: a tenth of the work.  Nothing is guessed: where the words stand is tried out once, by reading the
event with others in their place, and whatever differs by a single byte is read as a whole.
"""

from __future__ import annotations

from clippy_hookspecs import Chunk

from ..jsonio import dumps, loads_string
from .base import CorruptEvent, StreamEvent, StreamReader
from .sse import BOM, SseDecoder
from .values import words_chunk, words_event

_OTHER, _OTHER_WORDS = rb"~\u0041\"\n~", '~A"\n~'
"""Words to try out where the words stand: in a place where escapes are not read, something else comes back."""
_PLACES = 8
"""How many places with the same text are tried."""
_LONGEST = 64 * 1024
"""Bytes of one event's words; the search for their end goes no further."""


class Alike:
    """What events have in common that differ only in their words.

    The reader is as it was after each of them, and they have one ``extra``: it is as frozen as what it belongs to.
    """

    def __init__(self, before: bytes, after: bytes, chunk: Chunk) -> None:
        self._before, self._after = before, after
        self._kind, self._block, self._choice = chunk.kind, chunk.block, chunk.choice
        self._extra = chunk.extra

    def take(self, data: bytes, at: int, events: list[StreamEvent]) -> int:
        """Append the events that begin at *at* and are of this kind to *events*; where they end."""
        before, after, words_at = self._before, self._after, len(self._before)
        while data.startswith(before, at):
            begin = at + words_at
            end = data.find(after, begin, begin + _LONGEST)
            words = loads_string(data[begin - 1 : end + 1]) if end > begin else None
            if words is None:
                break
            raw = data[at : end + len(after)]
            chunk = words_chunk(self._kind, words, self._block, self._choice, self._extra, raw)
            events.append(words_event(raw, (chunk,)))
            at += len(raw)
        return at


def alike(event: StreamEvent, reader: StreamReader) -> Alike | None:
    """What the events after *event*, the last that *reader* has read, may have in common with it."""
    chunk, raw = event.chunks[-1], event.raw
    if len(event.chunks) > 1 or chunk.kind not in reader.traceless or not chunk.delta:
        return None
    if raw.startswith(BOM):
        return None  # before any later event it makes another field of the line
    words, at = dumps(chunk.delta), -1
    for _ in range(_PLACES):
        at = raw.find(words, at + 1)
        if at < 0:
            return None
        before, after = raw[: at + 1], raw[at + len(words) - 1 :]
        read = _read(before + _OTHER + after, reader)
        if read is not None and read.delta == _OTHER_WORDS:
            return Alike(before, after, read)
    return None


def _read(raw: bytes, reader: StreamReader) -> Chunk | None:
    """What *reader* would make of one more event, if that is one chunk of words."""
    try:
        (event,) = SseDecoder().feed(raw)
        (chunk,) = reader.apart().read(event)
    except (CorruptEvent, ValueError):
        return None
    plain = chunk.kind in reader.traceless and chunk.id is None and chunk.name is None and chunk.usage is None
    return chunk if plain and chunk.finish_reason is None else None
