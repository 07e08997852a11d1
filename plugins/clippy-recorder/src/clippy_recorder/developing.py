"""From a tape to an exchange: everything is worked out, and made clean, when somebody looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve
from clippy_hookspecs import (
    AuditRecord,
    ErrorInfo,
    Event,
    Headers,
    HookCall,
    Outcome,
    Provenance,
    Request,
    Response,
    Scope,
)

from .changed import Change, changes
from .exchange import Asked, Attempt, Exchange, Level, Message, Step, new_step
from .said import as_text
from .secrets import Secrets, plain
from .tape import Tape
from .timeline import TimeLine


def develop(tape: Tape, level: Level, literals: tuple[str, ...] = (), brief: bool = False) -> Exchange:
    """What is known of a call by now, without secrets and as far as *level* allows; *brief*: of its answer the words,
    and no more of its pieces than how many there were."""
    return _Developer(tape, level, literals).exchange(brief)


class _Developer:
    """One tape on its way to an exchange."""

    def __init__(self, tape: Tape, level: Level, literals: tuple[str, ...]) -> None:
        self._tape, self._record = tape, tape.record
        self._events, self._trace, self._leaps = tuple(tape.events), tuple(tape.trace), tuple(tape.leaps)
        self._level: Level = level
        self._content = level == "detailed" and not tape.withheld
        requests = [event.data for event in self._events if isinstance(event.data, Request)]
        requests += [event.value for event in self._events if isinstance(event.value, Request)]
        self._clean = Secrets.of([(one.headers, _address(one)) for one in requests], literals)
        self._came = next((one for one in requests), None)
        first = self._events[0] if self._events else None
        self._asked: Request | None = first.value if first is not None and first.kind == "request" else None

    def exchange(self, brief: bool) -> Exchange:
        """All of it."""
        tape, record, came, clean = self._tape, self._record, self._came, self._clean
        known: dict[str, Any] = {}  # and one value of it in the end: each evolve costs as much as a hook
        if came is not None:
            known.update(
                api=came.api,
                method=came.method,
                url=clean.url(_address(came)),
                model=clean.optional(came.model or None),
                stream=came.endpoint.streams and came.stream,
                came=self._message(came.headers, came.raw or b""),
            )
        if (asked := self._asked) is not None:
            written = self._message(asked.headers, asked.raw or b"")
            known["asked"] = Asked(asked.api, clean.url(_address(asked)), written)
        if record is not None:
            self._ended(known, record)
        line = TimeLine(self._events, self._tape.began, self._content, self._clean)
        pieces = line.brief() if brief else line.pieces()
        outs = sum(event.kind == "chunk_out" for event in self._events) if brief else 0
        return Exchange(
            id=tape.id,
            began=tape.time,
            parent=tape.parent,
            scope=self._scope(),
            steps=tuple(self._steps()),
            attempts=tuple(self._attempts()),
            pieces=pieces,
            lost=tape.lost + (max(0, outs - len(pieces)) if brief else 0),
            cost=tape.cost,
            **known,
        )

    def _scope(self) -> Scope:
        said = self._record.scope if self._record is not None else self._tape.ctx.scope if self._tape.ctx else Scope()
        clean = self._clean.optional
        return Scope(clean(said.tenant), clean(said.user), clean(said.session))

    def _ended(self, known: dict[str, Any], record: AuditRecord) -> None:
        answered = record.response
        clean = self._clean
        known.update(
            state=record.outcome,
            status=record.status,
            duration=_us(record.duration),
            first_token=_us(record.first_token),
            unread=_us(record.unread) or 0,
            usage=record.usage,
            route=clean.optional(record.route),
            finish_reason=clean.optional(record.finish_reason),
            provenance=_provenance(record.provenance, clean),
            error=_error(record.error, clean, self._content),
            model=known.get("model") or clean.optional(record.model),
            api=known.get("api") or record.api,
            method=record.method,
            url=known.get("url") or clean.url(record.url),
            stream=record.stream,
            answered=None if answered is None else self._answer(answered),
        )

    def _answer(self, answer: Response) -> Message:
        told = self._message(answer.headers, answer.raw or b"", answer.status)
        if self._content and not answer.raw and not self._record_streamed():
            said = answer if self._tape.said is None else self._tape.said
            return evolve(told, body=as_text(said, self._clean.value).encode("utf-8", "backslashreplace"))
        return told

    def _record_streamed(self) -> bool:
        return self._record is not None and self._record.stream

    def _message(self, headers: Headers, body: bytes, status: int | None = None) -> Message:
        shown = () if self._level == "minimal" else self._clean.headers(headers)
        return Message(shown, self._clean.body(body) if self._content else b"", len(body), status)

    # --- what the plugins did -----------------------------------------------------------------------------------------

    def _steps(self) -> list[Step]:
        """The hook calls in order, each with the value before and after it where it made another one."""
        tape = self._tape
        known = changes(self._events, self._trace) if tape.changes is None else tape.changes
        told = {one.place: one for one in known}
        steps: list[Step] = []
        chunks: list[Step] = []
        names: dict[str, str] = {}  # of ten plugins in thirty calls
        ahead = self._leaps[0][1] - self._tape.began if self._leaps else 0
        leapt = any(one[1] - self._tape.began != ahead for one in self._leaps)
        for place, call in enumerate(self._trace):
            name = names.get(call.plugin)
            if name is None:
                name = names[call.plugin] = self._clean.text(call.plugin)
            if call.hook == "on_chunk":
                at = _us(self._record.first_token) or 0 if self._record is not None else 0
                chunks.append(new_step(at, name, call.hook, call.action, call.ns, call.calls))
            elif told and place in told:
                steps.append(self._step(call, told[place]))
            else:  # as nearly all: nothing was changed
                at = self._ended_at(call) if leapt else max(0, (call.at + ahead) // 1000)
                steps.append(new_step(at, name, call.hook, call.action, call.ns, call.calls))
        return steps + chunks

    def _step(self, call: HookCall, change: Change) -> Step:
        at = (change.at - self._tape.began) // 1000
        told = Step(at, self._clean.text(call.plugin), call.hook, call.action, call.ns, call.calls)
        if change.after is None or not self._content:
            return told
        before = None if change.before is None else as_text(change.before, self._clean.value)
        return evolve(told, before=before, after=as_text(change.after, self._clean.value))

    def _ended_at(self, call: HookCall) -> int:
        """When a hook call ended that only the trace tells of, in microseconds after the call's beginning."""
        (_, ahead), *later = self._leaps
        for since, offset in later:
            if since > call.at:
                if call.hook == "pre_attempt":  # what was waited for before an attempt is over when it is called
                    ahead = offset
                break
            ahead = offset
        return max(0, (call.at + ahead - self._tape.began) // 1000)

    # --- the attempts -------------------------------------------------------------------------------------------------

    def _attempts(self) -> Iterator[Attempt]:
        made: list[dict[str, Any]] = []
        for event in self._events:
            if event.kind == "attempt":
                made.append(self._sent(event, len(made) + 1))
            elif made and event.kind == "head":
                status, headers = event.data
                made[-1].update(head_at=self._at(event), answer=self._message(headers, b"", status))
            elif made and event.kind == "closed" and isinstance(event.data, Outcome) and event.data.sent:
                self._closed(made[-1], event)
        recorded = () if self._record is None else self._record.attempts
        for one, known in zip(made, [attempt for attempt in recorded if attempt.sent], strict=False):
            one.update(number=known.number, route=self._clean.text(known.route), waited=_us(known.waited) or 0)
        return (Attempt(**one) for one in made)

    def _sent(self, event: Event, number: int) -> dict[str, Any]:
        sent: Request = event.data
        ctx = self._tape.ctx
        route = ctx.route.name if ctx is not None else ""
        message = self._message(sent.headers, sent.raw or b"")
        url = self._clean.url(_address(sent))
        return {"number": number, "route": self._clean.text(route), "at": self._at(event), "url": url, "sent": message}

    def _closed(self, attempt: dict[str, Any], event: Event) -> None:
        outcome: Outcome = event.data
        answer: Message | None = attempt.get("answer")
        if answer is not None:
            since, until = attempt["at"], self._at(event)
            pieces = [one for one in self._events if one.kind == "bytes"]
            body = b"".join(one.data for one in pieces if since <= self._at(one) <= until)
            plain_body = not self._record_streamed() and not _encoded(answer)
            shown = self._clean.body(body) if self._content and plain_body else b""
            attempt["answer"] = evolve(answer, body=shown, size=len(body))
        error = _error(outcome.error, self._clean, self._content)
        attempt.update(ended_at=self._at(event), state=outcome.state, error=error)

    def _at(self, event: Event) -> int:
        return (event.at - self._tape.began) // 1000


def _address(request: Request) -> str:
    return f"{request.url}?{request.query}" if request.query else request.url


def _encoded(answer: Message) -> bool:
    return any(name.lower() == "content-encoding" and value != "identity" for name, value in answer.headers)


def _us(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1e6)


def _error(error: ErrorInfo | None, clean: Secrets, content: bool) -> Mapping[str, Any] | None:
    """What kind of failure; its message may quote the prompt, so it is content."""
    if error is None:
        return None
    return plain(
        {
            "category": error.category,
            "kind": clean.text(error.kind),
            "status": error.status,
            "code": clean.optional(error.code),
            "message": clean.text(error.message) if content else None,
            "retryable": error.retryable,
            "retry_after": error.retry_after,
        }
    )


def _provenance(said: Provenance | None, clean: Secrets) -> Mapping[str, Any] | None:
    if said is None:
        return None
    return plain(
        {
            "source": said.source,
            "by": clean.optional(said.by),
            "route": clean.optional(said.route),
            "age": said.age,
            "stale": said.stale,
            "reason": clean.optional(said.reason),
        }
    )
