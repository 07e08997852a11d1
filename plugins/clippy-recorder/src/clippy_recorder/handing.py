"""A tape that is over as plain values that another process reads: nothing is looked into, and nothing made clean.

Made for each call in the program itself, so it copies no more than it must: bytes and texts are the call's own, what is
in it twice is written once, and only what a plugin changed is told field by field.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from clippy_hookspecs import (
    AttemptRecord,
    AuditRecord,
    Chunk,
    Endpoint,
    ErrorInfo,
    Event,
    Headers,
    HookCall,
    Outcome,
    Provenance,
    Request,
    Response,
    Scope,
    Usage,
)
from clippy_hookspecs.blocks import with_raw

from .changed import Change, changes
from .framing import read, written
from .said import as_json
from .tape import Tape

_CALL = attrgetter("plugin", "hook", "action", "ns", "calls", "at")
_ATTEMPT = attrgetter("number", "route", "status", "waited", "duration", "sent")
_CHUNK = attrgetter("kind", "delta", "block", "choice", "id", "name", "finish_reason", "reason")
_ERROR = attrgetter("category", "kind", "retryable", "retry_after", "status", "code", "message")
_SCOPE = attrgetter("tenant", "user", "session")
_USAGE = attrgetter("input", "output", "cache_read", "cache_write", "reasoning", "estimated")
_PROVENANCE = attrgetter("source", "by", "route", "age", "stale", "reason")
_RECORD = attrgetter(
    "id", "outcome", "time", "duration", "api", "method", "url", "model", "stream", "route", "parent", "status",
    "finish_reason", "first_token", "unread", "answering_model", "ended_by",
)  # fmt: skip
_TAPE = attrgetter("id", "parent", "began", "time", "cost", "lost", "withheld", "marks")


def packed(tape: Tape) -> bytes:
    """*tape*, whose call is over, for :func:`unpacked`.  Raises TypeError for a value of a plugin's own kind."""
    known, trace = tape.events, tape.trace  # which are let go of when somebody looks at the call meanwhile
    chunks: dict[int, tuple[int, Chunk]] = {}
    events = [_event(event, chunks) for event in known]
    of_provider = any(event.kind == "bytes" for event in known)  # whose bytes are those of its chunks
    told = {
        "tape": _TAPE(tape),
        "trace": [_CALL(call) for call in trace],
        "events": events,
        "chunks": [_chunk(chunk, of_provider) for _, chunk in chunks.values()],
        "changes": [(one.place, one.at, as_json(one.before), as_json(one.after)) for one in changes(known, trace)],
        "record": _record(tape.record),
    }
    return written(told)


def unpacked(data: bytes) -> Tape:
    """What :func:`packed` was given, as far as an exchange says it."""
    told, bodies = read(data)
    request_id, parent, began, time, cost, lost, withheld, marks = told["tape"]
    tape = Tape(request_id, parent, began, time, 0, None, cost=cost, lost=lost, withheld=withheld, marks=marks)
    tape.trace = [HookCall(*call) for call in told["trace"]]
    chunks = [_chunk_of(chunk, bodies) for chunk in told["chunks"]]
    tape.events = [_event_of(event, chunks, bodies) for event in told["events"]]
    tape.changes = [Change(*one) for one in told["changes"]]
    tape.record = _record_of(told["record"], bodies)
    return tape


def _event(event: Event, chunks: dict[int, tuple[int, Chunk]]) -> tuple[Any, ...]:
    kind, data = event.kind, event.data
    if kind == "chunk_in" or kind == "chunk_out":  # most leave as they came
        known = chunks.get(id(data))
        if known is None:
            known = chunks[id(data)] = len(chunks), data
        return kind, event.at, known[0]
    if kind == "bytes":
        return kind, event.at, data
    if kind == "attempt":
        return kind, event.at, _request(data)
    if kind == "request":  # and what its caller wrote, where that was told anew
        return kind, event.at, (_request(data), None if event.value is None else _request(event.value))
    if kind == "head":
        return kind, event.at, (data[0], data[1].pairs)
    if kind == "closed" and isinstance(data, Outcome):
        return kind, event.at, (data.state, data.sent, _error(data.error))
    return kind, event.at, _request(event.value) if isinstance(event.value, Request) else None


def _event_of(told: list[Any], chunks: list[Chunk], bodies: list[bytes]) -> Event:
    kind, at, data = told
    if kind == "chunk_in" or kind == "chunk_out":
        return Event(kind, at, chunks[data])
    if kind == "bytes":
        return Event(kind, at, bodies[data])
    if kind == "attempt":
        return Event(kind, at, _request_of(data, bodies))
    if kind == "request":
        came, asked = data
        return Event(kind, at, _request_of(came, bodies), asked and _request_of(asked, bodies))
    if kind == "head":
        return Event(kind, at, (data[0], _headers(data[1])))
    if kind == "closed" and data is not None:
        state, sent, error = data
        return Event(kind, at, Outcome(state=state, sent=sent, error=_error_of(error)))
    return Event(kind, at, None, data and _request_of(data, bodies))


def _chunk(chunk: Chunk, of_provider: bool) -> tuple[Any, ...]:
    usage = None if chunk.usage is None else _USAGE(chunk.usage)
    return (*_CHUNK(chunk), usage, None if of_provider else chunk.raw)


def _chunk_of(told: list[Any], bodies: list[bytes]) -> Chunk:
    kind, delta, block, choice, block_id, name, finish_reason, reason, usage, raw = told
    chunk = Chunk(kind, delta, block, choice, block_id, name, finish_reason, usage and Usage(*usage), reason)
    return with_raw(chunk, None if raw is None else bodies[raw])


def _headers(pairs: list[list[str]]) -> Headers:
    return Headers([(name, value) for name, value in pairs])


def _request(request: Request) -> tuple[Any, ...]:
    where = request.api, request.endpoint.streams, request.method, request.url, request.query, request.headers.pairs
    return (*where, request.raw, request.model, request.stream)


def _request_of(told: list[Any], bodies: list[bytes]) -> Request:
    api, streams, method, url, query, headers, raw, model, stream = told
    endpoint = Endpoint("", streams=streams)
    request = Request(api, endpoint, method, url, query, _headers(headers), model, stream=stream)
    return with_raw(request, None if raw is None else bodies[raw])


def _error(error: ErrorInfo | None) -> tuple[Any, ...] | None:
    return None if error is None else _ERROR(error)


def _error_of(told: list[Any] | None) -> ErrorInfo | None:
    if told is None:
        return None
    category, kind, retryable, retry_after, status, code, message = told
    return ErrorInfo(category, kind, retryable, retry_after, status=status, code=code, message=message)


def _record(record: AuditRecord | None) -> tuple[Any, ...]:
    assert record is not None, "the call goes on"
    answer = record.response
    return (
        _RECORD(record),
        _SCOPE(record.scope),
        [(_ATTEMPT(one), _error(one.error)) for one in record.attempts],
        None if record.usage is None else _USAGE(record.usage),
        None if record.provenance is None else _PROVENANCE(record.provenance),
        _error(record.error),
        None if answer is None else (answer.status, answer.headers.pairs, answer.raw),
    )


def _record_of(told: list[Any], bodies: list[bytes]) -> AuditRecord:
    facts, scope, attempts, usage, provenance, error, answer = told
    known = dict(zip(_RECORD_NAMES, facts, strict=True))
    return AuditRecord(
        **known,
        scope=Scope(*scope),
        attempts=tuple(_attempt_of(one, wrong) for one, wrong in attempts),
        usage=usage and Usage(*usage),
        provenance=provenance and Provenance(*provenance),
        error=_error_of(error),
        response=answer and _answer_of(bodies, *answer),
    )


_RECORD_NAMES = _RECORD.__reduce__()[1]


def _attempt_of(told: list[Any], error: list[Any] | None) -> AttemptRecord:
    number, route, status, waited, duration, sent = told
    return AttemptRecord(number, route, status, _error_of(error), waited, duration, sent)


def _answer_of(bodies: list[bytes], status: int, headers: list[list[str]], raw: int | None) -> Response:
    return with_raw(Response(status=status, headers=_headers(headers)), None if raw is None else bodies[raw])
