"""Server-sent events: bytes in, events out, by the algorithm of the WHATWG HTML standard, section 9.2.6."""

from __future__ import annotations

import re
from typing import Any

from attrs import frozen
from clippy_hookspecs.blocks import draft

# str.splitlines would also split at U+2028, NEL, VT and FF, which are text here.
_LINE_END = re.compile(rb"\r\n?|\n")
BOM = b"\xef\xbb\xbf"
_MAX_RETRY_DIGITS = 4000  # the standard has no limit; int() has one


class SseLimitError(ValueError):
    """A line or an event is longer than allowed: not a stream of events, or one that would fill the memory."""


@frozen
class SseEvent:
    """One dispatched event: its type, data and last event id as the standard defines them, and its bytes.

    ``silent``: bytes that dispatch nothing (comments, blank lines, fields without data), given only on request.
    """

    event: str
    data: str
    id: str = ""
    raw: bytes = b""
    silent: bool = False


_Event = draft(SseEvent)


class SseDecoder:
    """Decodes one stream; the events do not depend on how its bytes are cut, and the time is linear in them.

    The ``raw`` of all events and then :attr:`rest`, joined, are the input.  What dispatches nothing is at the front of
    the next event's ``raw``; with *silent* true it comes as soon as it is read, as events that are marked so:
    keep-alive comments must travel while no event does.  *max_line* and *max_event* are bytes.
    """

    def __init__(self, max_line: int = 1024 * 1024, max_event: int = 16 * 1024 * 1024, silent: bool = False) -> None:
        self._max_line, self._max_event, self._silent = max_line, max_event, silent
        self._held = bytearray()
        """The bytes that belong to no event yet."""
        self._line_at = 0
        """Where in them the unfinished line begins."""
        self._after_cr = False
        """The last byte was a CR: a LF that comes next belongs to the same line end."""
        self._event: SseEvent | None = None
        """An event whose blank line ended with that CR; its last byte may be missing."""
        self._begun = False
        self._type = ""
        self._data: list[str] = []
        self._id = ""
        self._fields = False
        """Whether the present block has a line that is not a comment."""
        self._failure: SseLimitError | None = None
        self.last_event_id = ""
        self.retry: int | None = None

    @property
    def rest(self) -> bytes:
        """The bytes that are in no event: at the end of the input, an event that was cut off."""
        return bytes(self._held)

    @property
    def holds(self) -> bool:
        """Whether there are such bytes."""
        return bool(self._held)

    @property
    def failure(self) -> SseLimitError | None:
        """What the next call will raise."""
        return self._failure

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that *data* completes.

        Raises :class:`SseLimitError`, if need be at the next call, so that the events before it are not lost.
        """
        if self._failure is not None:
            raise self._failure
        events: list[SseEvent] = []
        try:
            self._feed(data, events)
        except SseLimitError as error:
            self._failure = error
            if not events:
                raise
        return events

    def finish(self) -> list[SseEvent]:
        """The events that the end of the input completes; one without its blank line is none (see :attr:`rest`)."""
        if self._failure is not None:
            raise self._failure
        events: list[SseEvent] = []
        self._give(b"", events)
        return events

    def _feed(self, data: bytes, events: list[SseEvent]) -> None:
        taken = 0  # what of *data* is in an event or in what is held
        if self._after_cr and data:
            taken = self._line_feed(data)
            self._give(b"", events)
        while True:
            if not self._held:
                taken = self._whole_events(data, taken, events)
            if taken == len(data):
                return
            taken = self._lines(data, taken, events)

    def _whole_events(self, data: bytes, at: int, events: list[SseEvent]) -> int:
        """Take the events that begin at *at*, are whole, and of the shape that nearly all have; where they end.

        That is ``data: x`` in one line, perhaps after ``event: y``, then a blank line.  Looking for just that costs a
        third of going line by line, and is done over once at most: what is of another shape is :meth:`_lines`' to take.
        """
        find, begins, identity = data.find, data.startswith, self._id
        while True:
            start, name = at, "message"
            if not begins(b"data: ", at):
                start = find(b"\n", at) + 1 if begins(b"event: ", at) else 0
                if not start or not begins(b"data: ", start):
                    return at
                label = data[at + 7 : start - 1].removesuffix(b"\r")
                if b"\r" in label or start - at > self._max_line:
                    return at
                name = label.decode("utf-8", "replace") or "message"
            end = find(b"\n", start)
            if end < 0:
                return at
            cr = find(b"\r", start, end)
            end, blank = (end, b"\n\n") if cr < 0 else (cr, b"\r\n\r\n")
            after = end + len(blank)
            if not begins(blank, end) or after - at > self._max_event or after - start > self._max_line:
                return at
            event: Any = _Event()
            event.event, event.data = name, data[start + 6 : end].decode("utf-8", "replace")
            event.id, event.raw, event.silent = identity, data[at:after], False
            event.__class__ = SseEvent
            events.append(event)
            at = after
            self._begun = True

    def _lines(self, data: bytes, taken: int, events: list[SseEvent]) -> int:
        """Take *data* from *taken* on line by line, until an event is handed out or all is held; where that is."""
        line_at = taken
        first = True
        for end in _LINE_END.finditer(data, taken):
            line = data[line_at : end.start()]
            if first and self._held:
                line = bytes(self._held[self._line_at :]) + line
            first, line_at = False, end.end()
            self._check(len(line), len(self._held) + line_at - taken)
            self._line(line)
            if line_at == len(data) and end.group() == b"\r":
                self._after_cr = True
            elif self._event is not None:
                self._give(data[taken:line_at], events)
                return line_at
        self._held += data[taken:]
        if not first:
            self._line_at = len(self._held) - (len(data) - line_at)
        self._check(len(self._held) - self._line_at, len(self._held))
        return len(data)

    def _line_feed(self, data: bytes) -> int:
        """Take the LF of a CRLF that was cut between the two."""
        self._after_cr = False
        if data[:1] != b"\n":
            return 0
        self._held += b"\n"
        self._check(0, len(self._held))
        self._line_at = len(self._held)
        return 1

    def _check(self, line: int, event: int) -> None:
        if line > self._max_line:
            raise SseLimitError(f"a line of the event stream is longer than {self._max_line} bytes")
        if event > self._max_event:
            raise SseLimitError(f"an event of the stream is longer than {self._max_event} bytes")

    def _line(self, line: bytes) -> None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(BOM)
        if not line:
            self._end_block()
        elif line.startswith(b":"):
            if not self._fields and self._silent:
                self._event = SseEvent("", "", silent=True)
        else:
            self._fields = True
            name, _, value = line.partition(b":")
            self._field(name, value.removeprefix(b" "))

    def _field(self, name: bytes, value: bytes) -> None:
        if name == b"data":
            self._data.append(value.decode("utf-8", "replace"))
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value.lstrip(b"0")) <= _MAX_RETRY_DIGITS:
            self.retry = int(value.lstrip(b"0") or b"0")

    def _end_block(self) -> None:
        self.last_event_id = self._id
        if self._data:
            self._event = SseEvent(self._type or "message", "\n".join(self._data), self._id)
        elif self._silent:
            self._event = SseEvent("", "", silent=True)
        self._type, self._data, self._fields = "", [], False

    def _give(self, last: bytes, events: list[SseEvent]) -> None:
        """Hand out the event that ends with *last*, if there is one, with all its bytes."""
        if self._event is not None:
            event, self._event = self._event, None
            raw = bytes(self._held) + last if self._held else last
            events.append(SseEvent(event.event, event.data, event.id, raw, event.silent))
            self._held.clear()
            self._line_at = 0
