"""Answering requests from a recording: what was asked then is answered as it was then, in its own time.

A request is known by its method, its path and its body as canonical JSON, without regard to who asks.  Equal requests
get the recorded answers in their order, and after the last one that one again.  A call that was answered in another
wire API than it was asked in is known in both: as its caller wrote it, and as it went to the provider.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import define, evolve, field, frozen
from clippy_hookspecs import Headers, Host, RawReply, RawRequest

from .exchange import Exchange, Message, Piece
from .har import answer_of, answer_pieces, api_of
from .questions import sent_of

logger = logging.getLogger("clippy.recorder")

Extra = Literal["404", "kill", "forward"]
Sleep = Callable[[float], Awaitable[None]]
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile("[\t\x20-\x7e\x80-\xff]*")
_MADE_ANEW = frozenset({"content-length", "transfer-encoding", "content-encoding", "connection", "date", "server"})


@frozen
class Recorded:
    """An answer of a recording.  ``waits`` are the seconds before each of its ``pieces``, ``made`` unix seconds.

    ``api`` is the wire API that it speaks, "" where that is that of whatever is asked.
    """

    status: int
    headers: Headers
    pieces: tuple[bytes, ...] = field(repr=False)
    waits: tuple[float, ...] = ()
    complete: bool = True
    api: str = ""
    made: float = 0.0


def recorded(exchange: Exchange) -> Recorded | None:
    """The answer of a recorded call; None if its bytes were not recorded, or it had no answer."""
    answer: Message = answer_of(exchange)
    pieces: list[Piece] = answer_pieces(exchange)
    since = exchange.attempts[-1].at if exchange.attempts else 0
    if answer.status is None or not 200 <= answer.status <= 599:  # the file may be anybody's
        return None
    headers = Headers([pair for pair in answer.headers if pair[0].lower() not in _MADE_ANEW and _can_be_sent(*pair)])
    if exchange.stream and pieces:
        if not all(piece.data for piece in pieces):
            return None
        waits, before = [], since
        for piece in pieces:
            waits.append(max(0, piece.at - before) / 1e6)
            before = piece.at
        coding = Headers(answer.headers).get("content-encoding")
        if coding and _VALUE.fullmatch(coding) and not _is_text(b"".join(piece.data for piece in pieces)):
            headers = Headers([*headers.pairs, ("content-encoding", coding)])  # archives of browsers have it undone
        if not headers:  # of an answer that came from a cache, the host made the head
            headers = Headers({"content-type": "text/event-stream"})
        # An error is a whole answer, though the call failed with it.
        complete = exchange.state in ("answered", "cached") or answer.status >= 400
        data = tuple(one.data for one in pieces)
        return Recorded(answer.status, headers, data, tuple(waits), complete, made=_made(exchange, answer))
    if bool(answer.size) != bool(answer.body):  # without content, or in our own words, as older recordings tell some
        return None
    if exchange.stream and not answer.body and answer.status < 400:
        return None
    head = exchange.attempts[-1].head_at if exchange.attempts else exchange.duration
    waited = (max(0, (head or since) - since) / 1e6,)
    return Recorded(answer.status, headers, (answer.body,), waited, made=_made(exchange, answer))


def _made(exchange: Exchange, answer: Message) -> float:
    """When the answer was made: as its head says, else when the call began."""
    try:
        return parsedate_to_datetime(Headers(answer.headers).get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return exchange.began


def _can_be_sent(name: str, value: str) -> bool:
    """Whether HTTP has a form for such a header: a server ends the connection over any other one."""
    return _NAME.fullmatch(name) is not None and _VALUE.fullmatch(value) is not None


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def known_by(method: str, url: str, body: bytes) -> bytes:
    """What two equal requests have in common."""
    try:
        path = urlsplit(url).path
    except ValueError:
        path = url
    try:
        said = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        said = body
    path = path.rstrip("/").removeprefix("/v1")
    return hashlib.sha256(f"{method} {path}\0".encode("utf-8", "replace") + said).digest()


@define(eq=False)
class Cassette:
    """The answers of a recording, by what they were asked.  May be asked from any thread."""

    _answers: dict[bytes, list[Recorded]] = field(factory=dict, repr=False)
    _next: dict[bytes, int] = field(factory=dict, repr=False)
    _lock: Any = field(factory=threading.Lock, repr=False)
    unusable: int = 0
    """Calls of the recording that have no provider's answer to give: they were recorded without content."""

    @classmethod
    def of(cls, exchanges: Iterable[Exchange]) -> Cassette:
        """The answers of *exchanges*."""
        made = cls()
        for exchange in exchanges:
            answer = recorded(exchange)
            asked = sent_of(exchange)
            if answer is None or (asked.size and not asked.body):
                made.unusable += 1
                continue
            for api, key in _questions(exchange, asked):
                made._answers.setdefault(key, []).append(told_in(api, answer, exchange))
        return made

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, request: RawRequest) -> Recorded | None:
        """The next answer for *request*, None if nothing equal was recorded."""
        key = known_by(request.method, request.url, request.body)
        with self._lock:
            answers = self._answers.get(key)
            if not answers:
                return None
            at = self._next.get(key, 0)
            self._next[key] = at + 1
            return answers[min(at, len(answers) - 1)]


def _questions(exchange: Exchange, sent: Message) -> Iterator[tuple[str, bytes]]:
    """What a call is known by, each with the wire API that it speaks."""
    url = exchange.attempts[-1].url if exchange.attempts else exchange.url
    forms = [
        (exchange.api, exchange.url or url, exchange.came.body or sent.body),
        (api_of(url) or exchange.api, url or exchange.url, sent.body),
    ]
    if (caller := exchange.asked) is not None and caller.message.body:
        forms.append((caller.api, caller.url, caller.message.body))
    known = {known_by(exchange.method, address, body): api for api, address, body in forms}
    yield from ((api, key) for key, api in known.items())


def told_in(api: str, answer: Recorded, exchange: Exchange) -> Recorded:
    """The answer of *exchange* for who speaks *api*; it speaks that of the route that answered in the end."""
    spoken = (api_of(exchange.attempts[-1].url) if exchange.attempts else "") or exchange.api
    return answer if api in ("", spoken) else evolve(answer, api=spoken)


@define(eq=False)
class Playback:
    """A recorded answer as it is given again, piece by piece.  ``speed`` 2 is twice as fast, 0 at once."""

    recorded: Recorded
    speed: float
    sleep: Sleep
    _at: int = 0
    _closed: bool = False

    async def next(self) -> bytes | None:
        """The next piece, in its time.  Raises ConnectionError where the recorded answer broke off."""
        if self._closed:
            return None
        if self._at == len(self.recorded.pieces):
            if not self.recorded.complete:
                raise ConnectionError("the recorded answer broke off here")
            return None
        if self.speed > 0 and self.recorded.waits[self._at] > 0:
            await self.sleep(self.recorded.waits[self._at] / self.speed)
        piece = self.recorded.pieces[self._at]
        self._at += 1
        return piece

    async def aclose(self) -> None:
        """Nobody reads on."""
        self._closed = True


async def told(found: Recorded, request: RawRequest, speed: float, sleep: Sleep, host: Host | None) -> RawReply:
    """A recorded answer in its time, and in the wire API of *request* if there is a host that can say it."""
    playback = Playback(found, speed, sleep)
    whole = len(found.pieces) == 1 and found.complete and not _streams(found)
    reply = RawReply(found.status, found.headers, (await playback.next() or b"") if whole else playback, {})
    return reply if host is None or not found.api else await host.retold(reply, found.api, request, found.made)


async def told_anew(exchange: Exchange, host: Host) -> Message | None:
    """What a caller got who asked in another wire API than the route speaks, as *host* tells such an answer.

    None where the provider's own answer went to its caller, or none is known.  Of an answer that broke off, what there
    was of it.
    """
    asked, found = exchange.asked, recorded(exchange)
    if asked is None or found is None or exchange.state == "running":
        return None
    request = RawRequest(exchange.method, asked.url, Headers(asked.message.headers), asked.message.body)
    reply = await told(told_in(asked.api, found, exchange), request, 0, asyncio.sleep, host)
    body = reply.body
    if not isinstance(body, bytes):
        parts: list[bytes] = []
        try:
            while (piece := await body.next()) is not None:
                parts.append(piece)
        except Exception as error:
            logger.debug("a recorded answer broke off: %s", type(error).__name__)
        finally:
            await body.aclose()
        body = b"".join(parts)
    return Message(reply.headers.pairs, body, len(body), reply.status)


@define(eq=False)
class Replay:
    """Answers requests from a recording: a page for a server, and an ``Upstream`` for a host.

    ``extra`` says what becomes of a request that was not recorded: ``404`` in the provider's own form, ``kill`` (the
    connection is closed without an answer) or ``forward`` to *onward*.  *host* tells an answer of another wire API in
    that of who asks; without one such an answer is given to those alone who ask as the provider was asked.
    """

    cassette: Cassette
    speed: float = 1.0
    extra: Extra = "404"
    sleep: Sleep = asyncio.sleep
    onward: Callable[[RawRequest], Awaitable[RawReply]] | None = None
    host: Host | None = field(default=None, repr=False)
    asked: int = 0
    missing: list[str] = field(factory=list)

    async def answer(self, request: RawRequest) -> RawReply:
        """The recorded answer.  Raises ConnectionError where the connection is to be closed."""
        self.asked += 1
        found = self.cassette.find(request)
        if found is not None and found.api and self.host is None:
            return _not_there(
                request, f"the answer speaks {found.api}: to tell it anew takes Replay(cassette, host=host)"
            )
        if found is not None:
            return await told(found, request, self.speed, self.sleep, self.host)
        self.missing.append(f"{request.method} {request.url.partition('?')[0]}")
        if self.extra == "kill":
            raise ConnectionError("this request was not recorded")
        if self.extra == "forward" and self.onward is not None:
            return await self.onward(request)
        return _not_there(request, _NOT_RECORDED)

    async def send(self, request: RawRequest, timeout: Mapping[str, float | None]) -> RawReply:
        """As an ``Upstream`` of a host."""
        return await self.answer(request)


def _streams(found: Recorded) -> bool:
    return found.headers.get("content-type", "").startswith("text/event-stream")


_NOT_RECORDED = "this request is not in the recording: its method, path or body differs from every recorded one"


def _not_there(request: RawRequest, message: str) -> RawReply:
    error: dict[str, Any] = {"type": "not_found_error", "message": message}
    if request.url.partition("?")[0].endswith("/messages"):
        body: dict[str, Any] = {"type": "error", "error": error}
    else:
        body = {"error": {**error, "code": "not_recorded", "param": None}}
    headers = Headers({"content-type": "application/json", "x-should-retry": "false"})
    return RawReply(404, headers, json.dumps(body).encode(), {})
