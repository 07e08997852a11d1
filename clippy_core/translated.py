"""An answer of a route that speaks another wire API than who asked, in the words of who asked.

For requests that name their route: the pipeline and its plugins see them in the route's API from the start, so that
caches and flights have one form of each, and only what leaves is said anew.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field
from clippy_hookspecs import ByteStream, ErrorInfo, Headers, RawReply, Request

from .encoding import Decoding, decoded_headers, decoding_for
from .jsonio import loads
from .judging import error_for, is_event_stream
from .sources import EndedEarly, UnknownEncoding
from .wire import APIS, KeptBody, decode_response, encode_response
from .wire.base import StreamEvent
from .wire.errors import error_in, told_in
from .wire.openai_chat import wants_usage
from .wire.stream import StreamDecoder
from .wire.translate import TranslatedSource, is_answer, translate_response

LARGEST = 32 * 1024 * 1024
"""Bytes of a whole answer that is translated; no model says more."""


class NoAnswer(ValueError):
    """What came in place of an answer."""


@define(eq=False)
class TranslatedBody:
    """A stream of events in another API's words, event by event as it comes."""

    events: TranslatedSource
    _source: Events
    _api: str

    @classmethod
    def of(cls, body: ByteStream, encoding: Decoding, spoken: str, asked: Request, now: float) -> TranslatedBody:
        """*body* speaks *spoken*; *asked* is the request as its caller wrote it, *now* unix seconds."""
        source = Events(body, encoding, StreamDecoder(APIS[spoken]))
        return cls(TranslatedSource(source, asked.api, now, wants_usage(asked)), source, asked.api)

    _writer: object = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._writer = APIS[self._api].writer()

    async def next(self) -> bytes | None:
        """The next piece, None at the end.  Raises EndedEarly for a stream without its end, and what reading raises."""
        write = self._writer.write  # type: ignore[attr-defined]
        while (event := await self.events.next()) is not None:
            written = b"".join([write(chunk) for chunk in event.chunks])
            if written:
                return written
        return None

    async def aclose(self) -> None:
        """Close the upstream connection and settle."""
        await self._source.aclose()


@define(eq=False)
class Events:
    """The events of a body."""

    body: ByteStream
    encoding: Decoding
    decoder: StreamDecoder
    queue: deque[StreamEvent] = field(factory=deque, init=False)
    _ended: bool = field(default=False, init=False)

    @property
    def complete(self) -> bool:
        return self.decoder.complete

    async def next(self) -> StreamEvent | None:
        while not self.queue:
            if self._ended:
                if not self.decoder.complete:
                    raise EndedEarly
                return None
            piece = await self.body.next()
            self._ended = piece is None
            data = self.encoding.finish() if piece is None else self.encoding.feed(piece)
            self.queue.extend(self.decoder.feed(data))
            if piece is None:
                self.queue.extend(self.decoder.finish())
        return self.queue.popleft()

    async def aclose(self) -> None:
        await self.body.aclose()


async def translated(reply: RawReply, spoken: str, asked: Request, now: float) -> RawReply:
    """*reply*, which speaks *spoken*, as *asked* expects it; *now* is unix seconds.

    Raises UnknownEncoding, and ValueError for one that cannot be read or is no answer: saying that anew would make an
    answer with nothing in it.
    """
    encoding = decoding_for(reply.headers)
    if encoding is None:
        raise UnknownEncoding(reply.headers["content-encoding"])
    body = reply.body
    if reply.status < 300 and is_event_stream(reply.headers) and not isinstance(body, bytes):
        stream = TranslatedBody.of(body, encoding, spoken, asked, now)
        return RawReply(reply.status, decoded_headers(reply.headers), stream, reply.extensions)
    whole = body if isinstance(body, bytes) else await _whole(body, encoding)
    response = decode_response(APIS[spoken], reply.status, decoded_headers(reply.headers), whole)
    kept = response.params
    if reply.status >= 400 or (isinstance(kept, KeptBody) and error_in(kept.whole or {})):
        response = error_for(asked, reply.status, whole, _told(whole, reply))
    elif reply.status >= 300 or not is_answer(response):
        raise NoAnswer(f"a body of {len(whole)} bytes with the status {reply.status} is no answer")
    else:
        response = translate_response(response, asked.api, now)
    return RawReply(response.status, _of_body(reply.headers), encode_response(response), reply.extensions)


async def _whole(body: ByteStream, encoding: Decoding) -> bytes:
    parts, size = [], 0
    try:
        while (piece := await body.next()) is not None:
            parts.append(encoding.feed(piece))
            size += len(parts[-1])
            if size > LARGEST:
                raise ValueError(f"an answer of more than {LARGEST} bytes is not translated")
    finally:
        await body.aclose()
    return b"".join([*parts, encoding.finish()])


def _told(body: bytes, reply: RawReply) -> ErrorInfo:
    """What an error body says, in whichever API."""
    try:
        code, message = told_in(loads(body))
    except ValueError:
        code = message = None
    wait = reply.headers.get("retry-after", "")
    return ErrorInfo(
        kind="error",
        code=code,
        message=message or f"the provider answered {reply.status}",
        retry_after=float(wait) if wait.isdigit() else None,
    )


def _of_body(headers: Headers) -> Headers:
    return Headers([*decoded_headers(headers).without("content-type").pairs, ("content-type", "application/json")])
