"""Making recorded calls again through a host, and what became of them, then and now."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from attrs import define, field, frozen
from clippy_hookspecs import (
    AuditRecord,
    Headers,
    Host,
    Prices,
    RawReply,
    RawRequest,
    RequestContext,
    Scope,
    hookimpl,
)

from .exchange import Exchange
from .har import answer_of, answer_pieces
from .questions import not_kept, question_of

_STAYS_BEHIND = frozenset({"host", "content-length", "connection", "transfer-encoding", "accept-encoding"})


@frozen
class Rerun:
    """One recorded call and the same call made again.  ``latency`` is seconds, ``cost`` US dollars or None."""

    id: str
    model: str | None
    recorded: Side
    again: Side

    @property
    def same(self) -> bool:
        """Whether the caller was told the same."""
        return (self.recorded.status, self.recorded.text) == (self.again.status, self.again.text)


@frozen
class Side:
    """What became of a call, one time.  ``text`` is the answer's body, or all the text of its stream."""

    status: int | None
    outcome: str
    text: str = field(repr=False)
    input: int | None = None
    output: int | None = None
    cost: float | None = None
    latency: float | None = None
    attempts: int = 0


def recorded_side(exchange: Exchange) -> Side:
    """What became of it then."""
    answer = answer_of(exchange)
    body = answer.body or b"".join(piece.data for piece in answer_pieces(exchange))
    usage = exchange.usage
    return Side(
        exchange.status,
        exchange.state,
        said(body),
        None if usage is None else usage.input,
        None if usage is None else usage.output,
        exchange.cost,
        None if exchange.duration is None else exchange.duration / 1e6,
        len(exchange.attempts),
    )


def request_of(exchange: Exchange, route: str) -> RawRequest:
    """The recorded request, for whom it was, to be sent to *route* of a configuration, which brings the credentials.

    Raises LookupError if what it said was not kept.
    """
    came = question_of(exchange)
    if came is None:
        raise LookupError(not_kept(exchange))
    pairs = [
        pair for pair in came.headers if pair[0].lower() not in _STAYS_BEHIND and "[redacted" not in pair[1]
    ]  # fmt: skip
    return RawRequest(
        exchange.method,
        exchange.url,
        Headers(pairs),
        came.body,
        route,
        exchange.scope if exchange.scope != Scope() else None,
    )


def route_for(exchange: Exchange, host: Host) -> str:
    """The route that answered then, else the first one of the same API.  Raises LookupError if there is none."""
    if exchange.route in host.routes:
        return str(exchange.route)
    for name, info in host.routes.items():
        if info.api == exchange.api:
            return name
    raise LookupError(f"no route of the configuration speaks {exchange.api or 'the API of this call'}")


def rerun(exchanges: Iterable[Exchange], host: Host, run: Callable[[Awaitable[Any]], Any]) -> list[Rerun]:
    """Make each call again through *host*, one after the other; *run* waits for what the host does.

    Calls that another call asked for are left out: their parents make them.
    """
    books = next((one for one in host.plugins.values() if isinstance(one, Books)), None)
    made: list[Rerun] = []
    for exchange in exchanges:
        if exchange.parent is not None or not exchange.api:
            continue
        began = time.perf_counter()
        body, reply = run(_whole(host, request_of(exchange, route_for(exchange, host))))
        record = books.take() if books is not None else None
        latency = time.perf_counter() - began if record is None else record.duration  # by the host's clock
        made.append(
            Rerun(exchange.id, exchange.model, recorded_side(exchange), _side(reply, body, record, latency, host))
        )
    return made


def without_caches(plugins: Mapping[str, object]) -> dict[str, object]:
    """*plugins* but for those that would answer in the provider's place, or keep what it says now."""
    hooks = ("cache_lookup", "cache_store")
    return {name: one for name, one in plugins.items() if not any(callable(getattr(one, hook, None)) for hook in hooks)}


def _side(reply: RawReply, body: bytes, record: AuditRecord | None, latency: float, host: Host) -> Side:
    usage = None if record is None else record.usage
    prices = host.services.get(Prices, None)
    cost = None
    if prices is not None and usage is not None and record is not None and record.outcome == "answered":
        cost = prices.cost(record.answering_model or record.model or "", usage)
    return Side(
        reply.status,
        "answered" if record is None else record.outcome,
        said(body),
        None if usage is None else usage.input,
        None if usage is None else usage.output,
        cost,
        latency,
        0 if record is None else sum(attempt.sent for attempt in record.attempts),
    )


async def _whole(host: Host, request: RawRequest) -> tuple[bytes, RawReply]:
    reply = await host.answer(request)
    if isinstance(reply.body, bytes):
        return reply.body, reply
    parts: list[bytes] = []
    try:
        while (piece := await reply.body.next()) is not None:
            parts.append(piece)
    except Exception as error:  # a recorded answer that broke off breaks off again, and that is its result
        parts.append(f"\n[broke off: {type(error).__name__}]".encode())
    finally:
        await reply.body.aclose()
    return b"".join(parts), reply


def said(body: bytes) -> str:
    """The words of an answer: of JSON its texts, of a stream those of its events; else the whole body."""
    text = body.decode("utf-8", "replace")
    words: list[str] = []
    if text.lstrip().startswith("{"):
        _collect(_json(text), words)
        return "".join(words)
    events = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    for event in events:
        _collect(_json(event), words)
    return "".join(words) if events else text


_WORDS = frozenset(
    {"content", "text", "delta", "arguments", "partial_json", "thinking", "reasoning_content", "refusal"}
)


def _collect(value: Any, words: list[str], named: bool = False, depth: int = 0) -> None:
    if depth > 30:
        return
    if isinstance(value, str):
        if named:
            words.append(value)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            _collect(one, words, name in _WORDS, depth + 1)
    elif isinstance(value, list):
        for one in value:
            _collect(one, words, named, depth + 1)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@define(eq=False)
class Books:
    """Keeps the record of the last call."""

    _records: list[AuditRecord] = field(init=False, factory=list)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """Keep it."""
        if record.parent is None:
            self._records.append(record)

    def take(self) -> AuditRecord | None:
        """The record of the call that has just ended."""
        return self._records.pop() if self._records else None
