"""HTTP Archive 1.2 (W3C Web Performance draft, 2012): what browsers and proxies read and write.

An entry is an upstream attempt: that is what went over the wire.  What HAR has no word for is under names of our own,
which begin with an underscore as the format asks: ``_clippy`` has the call, ``_chunks`` the pieces of a streamed body
as ``[offset in microseconds, length in bytes]``.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import evolve
from clippy_hookspecs import Headers

from .cleaning import cleaned
from .documents import document
from .exchange import Attempt, Exchange, Message, Piece
from .reading import StrangeRecording, exchange_of

_LAST = 253_402_300_799.0  # the last second of the year 9999, after which a date has no text
MOST = 100_000
"""Entries of one archive that are read."""


def to_har(exchanges: Sequence[Exchange]) -> dict[str, Any]:
    """An archive of *exchanges*."""
    creator = {"name": "clippy", "version": "1"}
    return {"log": {"version": "1.2", "creator": creator, "entries": [_entry(one) for one in exchanges]}}


def _entry(exchange: Exchange) -> dict[str, Any]:
    last = exchange.attempts[-1] if exchange.attempts else None
    sent = exchange.came if exchange.came.headers or exchange.came.body or last is None else last.sent
    answer = answer_of(exchange)
    pieces = answer_pieces(exchange)
    first = exchange.first_token if exchange.first_token is not None else (last.head_at if last else None)
    total = (exchange.duration or 0) / 1000
    wait = min(total, (first or 0) / 1000)
    began = datetime.fromtimestamp(min(max(0.0, exchange.began), _LAST), UTC)
    return {
        "startedDateTime": began.isoformat(timespec="milliseconds"),
        "time": total,
        "request": _request(exchange, sent),
        "response": _response(answer, pieces),
        "cache": {},
        "timings": {"send": 0, "wait": wait, "receive": total - wait},
        "_clippy": document(evolve(exchange, pieces=())),
        "_chunks": [[piece.at, len(piece.data)] for piece in pieces],
    }


def _request(exchange: Exchange, sent: Message) -> dict[str, Any]:
    told: dict[str, Any] = {
        "method": exchange.method,
        "url": exchange.url,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(sent),
        "queryString": [{"name": n, "value": v} for n, v in parse_qsl(exchange.url.partition("?")[2])],
        "headersSize": -1,
        "bodySize": sent.size,
    }
    if sent.body:
        told["postData"] = {"mimeType": _type(sent), "text": sent.body.decode("utf-8", "replace")}
    return told


def _response(answer: Message, pieces: Sequence[Piece]) -> dict[str, Any]:
    body = answer.body or b"".join(piece.data for piece in pieces)
    content: dict[str, Any] = {"size": len(body), "mimeType": _type(answer)}
    try:
        content["text"] = body.decode()
    except UnicodeDecodeError:
        content["text"], content["encoding"] = base64.b64encode(body).decode(), "base64"
    return {
        "status": answer.status or 0,
        "statusText": "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(answer),
        "content": content,
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": len(body),
    }


def _headers(message: Message) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in message.headers]


def _type(message: Message) -> str:
    return next((value for name, value in message.headers if name.lower() == "content-type"), "application/json")


def answer_of(exchange: Exchange) -> Message:
    """The provider's answer of the last attempt, or what the caller got where nobody was asked."""
    last = exchange.attempts[-1].answer if exchange.attempts else None
    return last or exchange.answered or Message(status=exchange.status)


def answer_pieces(exchange: Exchange) -> list[Piece]:
    """The bytes of that answer as they came: those after the last attempt began."""
    since = exchange.attempts[-1].at if exchange.attempts else 0
    return [piece for piece in exchange.pieces if piece.kind == "bytes" and piece.at >= since]


# --- and back -----------------------------------------------------------------------------------------------------


def from_har(archive: Any) -> list[Exchange]:
    """The calls of an archive, ours or another tool's.  Raises StrangeRecording for what is none."""
    log = archive.get("log") if isinstance(archive, Mapping) else None
    entries = log.get("entries") if isinstance(log, Mapping) else None
    if not isinstance(entries, list):
        raise StrangeRecording("this is no HTTP archive: it has no log.entries")
    if len(entries) > MOST:
        raise StrangeRecording(f"the archive has {len(entries)} entries; at most {MOST} are read")
    return [_exchange(entry, number) for number, entry in enumerate(entries)]


def _exchange(entry: Any, number: int) -> Exchange:
    if not isinstance(entry, Mapping):
        raise StrangeRecording(f"entry {number} of the archive is no object")
    body, chunks = _content(entry), entry.get("_chunks")
    own = entry.get("_clippy")
    if isinstance(own, Mapping):
        exchange = exchange_of(own)
        return cleaned(evolve(exchange, pieces=tuple(_cut(body, chunks))))
    request, answer = _part(entry, "request"), _part(entry, "response")
    posted = request.get("postData")
    sent_body = _text(posted.get("text")).encode() if isinstance(posted, Mapping) else b""
    duration = _number(entry.get("time"))
    # Other tools leave keys in: they go no further than this.
    asked, url = Headers(_pairs(request)), _text(request.get("url"))
    sent = Message(asked.pairs, sent_body, len(sent_body))
    streamed, status, wait = _streamed(answer), int(_number(answer.get("status"))), _part(entry, "timings").get("wait")
    head_at = int(_number(wait) * 1000)
    head = Message(_pairs(answer), b"" if streamed else body, len(body), status)
    exchange = Exchange(
        id=f"har-{number}",
        began=_began(entry.get("startedDateTime")),
        method=_text(request.get("method")) or "GET",
        url=url,
        api=api_of(url),
        model=_model(sent_body),
        stream=streamed,
        state="answered" if 200 <= status < 400 else "failed",
        status=status,
        duration=int(duration * 1000),
        came=sent,
        answered=head,
        attempts=(Attempt(1, "", 0, url, sent, head_at, head, int(duration * 1000), "ok"),),
        pieces=(Piece(head_at, "bytes", body, size=len(body)),) if streamed and body else (),
    )
    return cleaned(exchange)


def _part(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = entry.get(name)
    return part if isinstance(part, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
    return float(value) if good else 0.0


def _pairs(message: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    headers = message.get("headers")
    told = [one for one in headers if isinstance(one, Mapping)] if isinstance(headers, list) else []
    return tuple((_text(one.get("name")), _text(one.get("value"))) for one in told)


def _content(entry: Mapping[str, Any]) -> bytes:
    content = _part(_part(entry, "response"), "content")
    text = _text(content.get("text"))
    if content.get("encoding") != "base64":
        return text.encode("utf-8", "replace")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise StrangeRecording("a body of the archive is no base64") from error


def _cut(body: bytes, chunks: Any) -> list[Piece]:
    """*body* in the pieces that it came in."""
    pieces: list[Piece] = []
    at = 0
    for chunk in chunks if isinstance(chunks, list) else ():
        if not (isinstance(chunk, list) and len(chunk) == 2 and all(type(one) is int for one in chunk)):
            raise StrangeRecording("a chunk of the archive is no pair of numbers")
        data = body[at : at + max(0, chunk[1])]
        pieces.append(Piece(chunk[0], "bytes", data, size=len(data)))
        at += len(data)
    return pieces


def _streamed(answer: Mapping[str, Any]) -> bool:
    return _text(_part(answer, "content").get("mimeType")).split(";")[0].strip().lower() == "text/event-stream"


def _began(text: Any) -> float:
    try:
        return max(0.0, datetime.fromisoformat(_text(text)).timestamp())
    except (ValueError, OverflowError, OSError):
        return 0.0


def api_of(url: str) -> str:
    """The wire API that is spoken at *url*, "" where that is none of chat."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    tails = {
        "/chat/completions": "openai.chat", "/responses": "openai.responses", "/messages": "anthropic.messages",
    }  # fmt: skip
    return next((api for tail, api in tails.items() if path.endswith(tail)), "")


def _model(body: bytes) -> str | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    model = value.get("model") if isinstance(value, dict) else None
    return model if isinstance(model, str) else None
