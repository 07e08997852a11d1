"""A tape that is over as plain values that another process reads: nothing is looked into, and nothing made clean.

Made for each call in the program itself, so it copies no more than it must: bytes and texts are the call's own, what is
in it twice is written once, only what a plugin changed is told field by field, and of the chunks of a stream no field
that is the same default in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise, repeat
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
from .framing import Frame, framed, opened
from .said import as_json
from .tape import Tape

_ATTEMPT = attrgetter("number", "route", "status", "waited", "duration", "sent")
_ERROR = attrgetter("category", "kind", "retryable", "retry_after", "status", "code", "message")
_SCOPE = attrgetter("tenant", "user", "session")
_USAGE = attrgetter("input", "output", "cache_read", "cache_write", "reasoning", "estimated")
_PROVENANCE = attrgetter("source", "by", "route", "age", "stale", "reason")
_RECORD = attrgetter(
    "id", "outcome", "time", "duration", "api", "method", "url", "model", "stream", "route", "parent", "status",
    "finish_reason", "first_token", "unread", "answering_model", "ended_by",
)  # fmt: skip
_TAPE = attrgetter("id", "parent", "began", "time", "cost", "lost", "withheld", "marks")


def packed(tape: Tape) -> Frame:
    """*tape*, whose call is over, for :func:`unpacked`.  Raises TypeError for a value of a plugin's own kind."""
    known, trace = tape.events, tape.trace  # which are let go of when somebody looks at the call meanwhile
    bodies: list[bytes] = []
    told = (
        _TAPE(tape),
        [(one.plugin, one.hook, one.action, one.ns, one.calls, one.at) for one in trace],
        _events(known, bodies),
        [(one.place, one.at, as_json(one.before), as_json(one.after)) for one in changes(known, trace)],
        _record(tape.record, bodies),
    )
    return framed(told, bodies)


def unpacked(frame: Frame) -> Tape:
    """What :func:`packed` was given, as far as an exchange says it."""
    return tape_of(*opened(frame))


def tape_of(told: Any, bodies: Sequence[bytes]) -> Tape:
    """The same of what is in a frame."""
    (request_id, parent, began, time, cost, lost, withheld, marks), trace, events, changed, record = told
    tape = Tape(request_id, parent, began, time, 0, None, cost=cost, lost=lost, withheld=withheld, marks=marks)
    tape.trace = [HookCall(*call) for call in trace]
    tape.events = [*_events_of(events, bodies)]
    tape.changes = [Change(*one) for one in changed]
    tape.record = _record_of(record, bodies)
    return tape


def id_of(told: Any) -> str:
    """The id of the call in a frame."""
    return str(told[0][0])


def _place(body: bytes | None, bodies: list[bytes]) -> int | None:
    """The number of *body* among the few of a call, where each is once."""
    if body is None:
        return None
    if type(body) is not bytes:
        raise TypeError(f"a {type(body).__name__} cannot be handed to another process")
    if body in bodies:
        return bodies.index(body)
    bodies.append(body)
    return len(bodies) - 1


def _at(place: int | None, bodies: Sequence[bytes]) -> bytes | None:
    return None if place is None else bodies[place]


# --- what happened ----------------------------------------------------------------------------------------------------


def _events(known: Sequence[Event], bodies: list[bytes]) -> tuple[Any, ...]:
    """Kind, time and what each says, the pieces of each answer as one body, which nearly always is the one in the
    record, and the chunks, most of which leave as they came."""
    told: list[Any] = []
    answers: list[list[bytes]] = [[]]
    chunks: list[Chunk] = []
    places: dict[int, int] = {}
    last, place = None, 0
    for event in known:
        kind, data = event.kind, event.data
        if kind == "chunk_in" or kind == "chunk_out":
            if data is not last:
                place = places.setdefault(id(data), len(chunks))
                if place == len(chunks):
                    chunks.append(data)
                last = data
            told.append((kind, event.at, place))
        elif kind == "bytes":
            answers[-1].append(data)
            told.append((kind, event.at, len(data)))
        else:
            if kind == "head":
                answers.append([])
            told.append((kind, event.at, _said(kind, event, bodies)))
    came = [_place(b"".join(pieces), bodies) for pieces in answers if pieces]
    return told, came, _chunks(chunks, bodies, raw=not came) if chunks else None


def _events_of(told: Sequence[Any], bodies: Sequence[bytes]) -> Iterator[Event]:
    events, came, known = told
    answers = b"".join([bodies[place] for place in came])
    pieces = iter(_cut(answers, [said for kind, _, said in events if kind == "bytes"]))
    chunks = [] if known is None else _chunks_of(known, bodies)
    for kind, at, said in events:
        if kind == "chunk_in" or kind == "chunk_out":
            yield Event(kind, at, chunks[said])
        elif kind == "bytes":
            yield Event(kind, at, next(pieces))
        else:
            yield _event_of(kind, at, said, bodies)


def _said(kind: str, event: Event, bodies: list[bytes]) -> tuple[Any, ...] | None:
    data = event.data
    if kind == "attempt":
        return _request(data, bodies)
    if kind == "request":  # and what its caller wrote, where that was told anew
        return _request(data, bodies), None if event.value is None else _request(event.value, bodies)
    if kind == "head":
        return data[0], data[1].pairs
    if kind == "closed":
        return (data.state, data.sent, _error(data.error)) if isinstance(data, Outcome) else None
    return _request(event.value, bodies) if isinstance(event.value, Request) else None


def _event_of(kind: Any, at: int, told: Any, bodies: Sequence[bytes]) -> Event:
    if kind == "attempt":
        return Event(kind, at, _request_of(told, bodies))
    if kind == "request":
        came, asked = told
        return Event(kind, at, _request_of(came, bodies), asked and _request_of(asked, bodies))
    if kind == "head":
        return Event(kind, at, (told[0], _headers(told[1])))
    if kind == "closed" and told is not None:
        state, sent, error = told
        return Event(kind, at, Outcome(state=state, sent=sent, error=_error_of(error)))
    return Event(kind, at, None, told and _request_of(told, bodies))


def _chunks(chunks: Sequence[Chunk], bodies: list[bytes], raw: bool) -> tuple[Any, ...]:
    """Their fields in columns, None for one that is the usual throughout."""
    columns: tuple[list[Any], ...] = (
        [one.delta for one in chunks], [one.block for one in chunks], [one.choice for one in chunks],
        [one.id for one in chunks], [one.name for one in chunks], [one.finish_reason for one in chunks],
        [None if one.usage is None else _USAGE(one.usage) for one in chunks], [one.reason for one in chunks],
    )  # fmt: skip
    count = len(chunks)
    told = [None if one.count(usual) == count else one for one, usual in zip(columns, _USUAL, strict=True)]
    return [one.kind for one in chunks], told, _raws(chunks, bodies) if raw else None


_USUAL = ("", 0, 0, None, None, None, None, None)


def _chunks_of(told: Sequence[Any], bodies: Sequence[bytes]) -> list[Chunk]:
    kinds, columns, raws = told
    full = [repeat(usual, len(kinds)) if one is None else one for one, usual in zip(columns, _USUAL, strict=True)]
    chunks = [
        Chunk(kind, delta, block, choice, block_id, name, finish_reason, usage and Usage(*usage), reason)
        for kind, delta, block, choice, block_id, name, finish_reason, usage, reason in zip(kinds, *full, strict=True)
    ]
    if raws is not None:
        for chunk, raw in zip(chunks, _raws_of(raws, bodies), strict=True):
            with_raw(chunk, raw)
    return chunks


def _raws(chunks: Sequence[Chunk], bodies: list[bytes]) -> tuple[Any, ...]:
    """Their bytes as one body; which chunks came in one piece is told by what *is* the same, not by what is equal."""
    known = {id(one.raw): one.raw for one in chunks if one.raw is not None}
    places = {which: place for place, which in enumerate(known)}
    pieces = [*known.values()]
    return _place(b"".join(pieces), bodies), [len(one) for one in pieces], [places.get(id(one.raw)) for one in chunks]


def _raws_of(told: Sequence[Any], bodies: Sequence[bytes]) -> Iterator[bytes | None]:
    place, sizes, places = told
    pieces = _cut(bodies[place], sizes)
    return (_at(one, pieces) for one in places)


def _cut(body: bytes, sizes: Iterable[int]) -> list[bytes]:
    ends = [0, *accumulate(sizes)]
    return [body[begin:end] for begin, end in pairwise(ends)]


# --- what is in it ----------------------------------------------------------------------------------------------------


def _headers(pairs: Sequence[Sequence[str]]) -> Headers:
    return Headers([(name, value) for name, value in pairs])


def _request(request: Request, bodies: list[bytes]) -> tuple[Any, ...]:
    return (
        request.api, request.endpoint.streams, request.method, request.url, request.query, request.headers.pairs,
        _place(request.raw, bodies), request.model, request.stream,
    )  # fmt: skip


def _request_of(told: Sequence[Any], bodies: Sequence[bytes]) -> Request:
    api, streams, method, url, query, headers, raw, model, stream = told
    endpoint = Endpoint("", streams=streams)
    request = Request(api, endpoint, method, url, query, _headers(headers), model, stream=stream)
    return with_raw(request, _at(raw, bodies))


def _error(error: ErrorInfo | None) -> tuple[Any, ...] | None:
    return None if error is None else _ERROR(error)


def _error_of(told: Sequence[Any] | None) -> ErrorInfo | None:
    if told is None:
        return None
    category, kind, retryable, retry_after, status, code, message = told
    return ErrorInfo(category, kind, retryable, retry_after, status=status, code=code, message=message)


def _record(record: AuditRecord | None, bodies: list[bytes]) -> tuple[Any, ...]:
    assert record is not None, "the call goes on"
    answer = record.response
    return (
        _RECORD(record),
        _SCOPE(record.scope),
        [(_ATTEMPT(one), _error(one.error)) for one in record.attempts],
        None if record.usage is None else _USAGE(record.usage),
        None if record.provenance is None else _PROVENANCE(record.provenance),
        _error(record.error),
        None if answer is None else (answer.status, answer.headers.pairs, _place(answer.raw, bodies)),
    )


def _record_of(told: Sequence[Any], bodies: Sequence[bytes]) -> AuditRecord:
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


def _attempt_of(told: Sequence[Any], error: Sequence[Any] | None) -> AttemptRecord:
    number, route, status, waited, duration, sent = told
    return AttemptRecord(number, route, status, _error_of(error), waited, duration, sent)


def _answer_of(bodies: Sequence[bytes], status: int, headers: Sequence[Sequence[str]], raw: int | None) -> Response:
    return with_raw(Response(status=status, headers=_headers(headers)), _at(raw, bodies))
