"""The bytes of a streamed answer as events: the SSE decoder and an API's reader together."""

from __future__ import annotations

from collections.abc import Callable

from clippy_hookspecs import CONTENT_KINDS, Chunk, Json
from clippy_hookspecs.types import with_raw

from ..jsonio import loads, loads_within
from .alike import Alike, alike
from .base import CorruptEvent, StreamEvent, WireApi
from .errors import error_in
from .sse import SseDecoder, SseEvent, SseLimitError
from .values import words_event

_BEFORE_TEXT = b"\xef\xbb\xbf \t\r\n"
_MAX_FOREIGN = 64 * 1024
_MAX_EVENT = 16 * 1024 * 1024
"""Bytes.  Also of a line: an image that the Responses API sends while it is drawn is one line of several MiB."""
_TRIES = 2
"""Of how many events one after the other it is found out how others would be like them, while none is."""


class StreamDecoder:
    """Decodes one streamed answer.  The ``raw`` of its events, joined, are the input, however that was cut."""

    def __init__(self, api: WireApi) -> None:
        self._reader = api.reader()
        self._sse = SseDecoder(max_line=_MAX_EVENT, max_event=_MAX_EVENT, silent=True)
        self._begun = False
        self._foreign: bytearray | None = None
        """The body, when what came is not a stream of events: kept for whoever judges the failure."""
        self._failure: CorruptEvent | SseLimitError | None = None
        self._unread: list[bytes] = []
        self._unfed = b""
        self._alike: Alike | None = None
        self._tries = _TRIES if self._reader.traceless else 0

    @property
    def complete(self) -> bool:
        """Whether the stream may end here; an end before it is a failure."""
        return self.failure is None and self._reader.complete

    @property
    def failure(self) -> CorruptEvent | SseLimitError | None:
        """What the next call will raise; set as soon as it is known, while the events before it are handed out."""
        return self._failure or self._sse.failure

    @property
    def rest(self) -> bytes:
        """The bytes that are in no event: those that could not be read, and at the end an event that was cut off."""
        return b"".join(self._unread) + self._sse.rest + bytes(self._foreign or b"") + self._unfed

    def feed(self, data: bytes) -> list[StreamEvent]:
        """The events that *data* completes.

        Raises :class:`CorruptEvent` for an event that is not what the API promises or a body that is no event stream,
        and :class:`SseLimitError`; at the next call if there are events before it (see :attr:`failure`).
        """
        events: list[StreamEvent] = []
        if self._alike is not None:  # then nothing has failed, and no part of an event is held
            at = self._take_alike(data, 0, events)
            if at == len(data):
                return events
            data = data[at:]
        self._raise()
        if not self._begun:
            data, foreign = self._begin(data)
            if foreign:
                self._foreign = bytearray(foreign)
        elif self._foreign is not None:
            self._foreign += data
            data = b""
        self._events(data, events)
        if self._foreign is not None and len(self._foreign) > _MAX_FOREIGN:
            self._fail(CorruptEvent(_not_events(self._foreign)), events)
        return events

    def finish(self) -> list[StreamEvent]:
        """The events that the end of the input completes; bytes without an event come as one last *other* chunk.

        Raises as :meth:`feed` does.
        """
        self._raise()
        events: list[StreamEvent] = []
        self._read(self._sse.finish(), events)
        rest = self._sse.rest
        if self._foreign is not None:
            rest += self._foreign
            try:
                events.append(StreamEvent(rest, (with_raw(_plain_error(self._foreign), rest),)))
            except CorruptEvent as error:
                self._fail(error, events)
        elif rest and self._failure is None:
            events.append(StreamEvent(rest, (with_raw(Chunk("other"), rest),)))
        return events

    def _begin(self, data: bytes) -> tuple[bytes, bytes]:
        """(for the SSE decoder, a body of another kind).  No event stream begins with these characters."""
        text = data.lstrip(_BEFORE_TEXT)
        self._begun = bool(text)
        if text[:1] in (b"<", b"{", b"["):
            return data[: len(data) - len(text)], text
        return data, b""

    def _events(self, data: bytes, events: list[StreamEvent]) -> None:
        # A text of which a part came before cannot be judged by *data*.
        parse = loads_within(data) if data and not self._sse.holds else loads
        at = 0
        while at < len(data):
            end = data.find(b"\n\n", at) + 2 if self._tries else 0
            end = end if end > 1 else len(data)
            try:
                self._read(self._sse.feed(data[at:end]), events, parse)
            except SseLimitError:
                if not events:
                    raise
            finally:
                if self.failure is not None:
                    self._unfed = data[end:]
            if self.failure is not None:
                return
            at = end
            if self._tries and events and not self._sse.holds and events[-1].chunks[-1].kind in self._reader.traceless:
                self._tries -= 1
                self._alike = alike(events[-1], self._reader)
                if self._alike is not None:
                    at = self._take_alike(data, end, events)

    def _take_alike(self, data: bytes, at: int, events: list[StreamEvent]) -> int:
        """Take the events from *at* on that are like the one before them; where they end."""
        assert self._alike is not None
        end = self._alike.take(data, at, events)
        if end > at:
            self._tries = _TRIES
        if end < len(data):
            self._alike = None  # What comes now may change what its words mean.
        return end

    def _read(self, decoded: list[SseEvent], events: list[StreamEvent], parse: Callable[[str], Json] = loads) -> None:
        read, before = self._reader.read, len(events)
        try:
            for event in decoded:
                chunks = (Chunk("ping"),) if event.silent else read(event, parse)
                events.append(_stream_event(event.raw, chunks))
        except CorruptEvent as error:
            self._unread = [unread.raw for unread in decoded[len(events) - before :]]
            self._fail(error, events)

    def _fail(self, error: CorruptEvent | SseLimitError, events: list[StreamEvent]) -> None:
        self._failure = error
        if not events:
            raise error

    def _raise(self) -> None:
        failure = self._failure or self._sse.failure
        if failure is not None:
            raise failure


def _stream_event(raw: bytes, chunks: tuple[Chunk, ...]) -> StreamEvent:
    chunks = chunks or (Chunk("other"),)
    if len(chunks) > 1 or chunks[0].raw is not raw:
        said = [chunk for chunk in chunks if chunk.kind != "stop"]
        if len(said) == 1:
            with_raw(said[0], raw)
    elif chunks[0].kind in CONTENT_KINDS:
        return words_event(raw, chunks)
    return StreamEvent(raw, chunks)


def _plain_error(body: bytearray) -> Chunk:
    """The error chunk for a JSON error that came where a stream was announced."""
    try:
        value = loads(body)
    except ValueError:
        value = None
    if isinstance(value, dict) and error_in(value):
        return Chunk("error", extra=value)
    raise CorruptEvent(_not_events(body))


def _not_events(body: bytearray) -> str:
    kind = "an HTML page" if body[:1] == b"<" else "a JSON text"
    return f"{kind} came where the provider announced a stream of events"
