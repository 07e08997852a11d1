"""The books of one request: its attempts, each ended once, and its one audit record."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal

from attrs import define, evolve
from clippy_hookspecs import (
    AttemptRecord,
    Chunk,
    ErrorInfo,
    Request,
    RequestContext,
    Response,
    TokenCounter,
    Usage,
)

from .chains import Chains, ChunkTimes, Run, Step
from .driven import without_a_loop
from .flights import Seat
from .flow import FlowHandle
from .judging import status_meant
from .records import new_attempt, new_outcome, new_record
from .runtime import Runtime
from .untouched import as_answered, owned
from .wire.assemble import later_usage

CHARACTERS = 4
"""Of a token, where so much was put out that it is not counted word by word."""

State = Literal["ok", "error", "cancelled"]
log = logging.getLogger("clippy")

LONG = 2.0
"""Seconds of a request beyond which it is looked whether a plugin took them: for shorter ones that is not worth it."""
_FAILED = "what a plugin wanted done when an answer began failed"

_ENDS = {
    "answered": "completed", "cached": "completed",
    "refused": "failed", "failed": "failed",
    "cancelled": "cancelled", "abandoned": "cancelled",
}  # fmt: skip
"""The state of its flow in which a request ends, by its outcome."""


@define(eq=False, init=False)
class Ledger(Run):
    """Kept by the pipeline, closed by whoever ends the request: the pipeline, or the stream it handed out.

    All chains of the request run on it, so that it knows which plugin was the last.
    """

    ctx: RequestContext
    runtime: Runtime
    chains: Chains
    content: bool
    request: Request
    flow: FlowHandle
    began: float
    began_at: float
    looked_at: Request | None
    attempts: list[AttemptRecord]
    waited: float
    attempt_began: float | None
    sent: bool
    """Whether the transport was asked to send the present attempt."""
    went: Request | None
    """What was sent last, by whatever attempt."""
    instead: str | None
    """The model that gave the answer which came from another request, where it is not the one asked for."""
    chunk_times: ChunkTimes | None
    first_token: float | None
    usage: Usage | None
    finish_reason: str | None
    status: int | None
    response: Response | None
    shown: tuple[bool, ...]
    """Which of those that audit may see content; empty until that is known."""
    output: Sequence[str]
    left_out: int
    closed: bool
    seat: Seat | None
    """The request's place in a flight, which it leaves when its books are closed."""
    passed_on: bool
    """What was used counts as another request's, which goes on with the same answer."""
    asked: Request | None
    """What its caller wrote, where that speaks another API: its failures are told anew, with the status they mean."""
    ended: Callable[[str], None] | None
    """What is told, by its id, that no plugin will be called for this request any more."""

    def __init__(
        self,
        ctx: RequestContext,
        runtime: Runtime,
        chains: Chains,
        content: bool,
        request: Request,
        flow: FlowHandle,
    ) -> None:
        """By hand, since every request has one: as attrs writes it this takes half as long again."""
        self.ctx, self.runtime, self.at = ctx, runtime, None
        self.chains, self.content = chains, content
        self.request, self.flow = request, flow
        self.looked_at = self.response = self.seat = self.ended = self.chunk_times = self.asked = None
        self.went = self.instead = None
        self.attempt_began = self.first_token = self.usage = self.finish_reason = self.status = None
        self.attempts, self.output, self.shown = [], (), ()
        self.waited, self.left_out = 0.0, 0
        self.sent = self.closed = self.passed_on = False
        self.began, self.began_at = runtime.clock.now(), runtime.clock.time()
        if chains.timed and chains.on_chunk:
            self.chunk_times = ChunkTimes()

    # --- attempts -----------------------------------------------------------------------------------------------------

    def begin_attempt(self) -> None:
        """An attempt starts: from here on it will be ended exactly once."""
        self.ctx.attempt += 1
        self.ctx.route_attempt += 1
        self.attempt_began = self.runtime.clock.now()
        self.first_token, self.sent = None, False

    def sends(self, request: Request) -> None:
        """The transport is asked to send *request*."""
        self.sent, self.went = True, request

    def saw_token(self) -> None:
        """The first piece of the answer has come."""
        if self.attempt_began is not None and self.first_token is None:
            self.first_token = self.runtime.clock.now() - self.attempt_began

    def begun(self) -> None:
        """The first piece of a stream has come, and what plugins want done then is begun beside it."""
        self.saw_token()
        works, self.ctx.beginnings = self.ctx.beginnings, ()
        if self.attempt_began is not None:  # else the answer is a stored one, or a plugin's own
            for work in works:
                _begin_beside(work, self.runtime)

    def count(self, chunks: Sequence[Chunk], left_out: int = 0) -> None:
        """What all chunks of a stream so far say of its usage and its end; *left_out* characters are not among them."""
        self.left_out, self.output = left_out, [chunk.delta for chunk in chunks if chunk.content]
        for chunk in chunks:
            if chunk.usage is not None:
                self.usage = later_usage(self.usage, chunk.usage)
            if chunk.finish_reason is not None and chunk.choice == 0:
                self.finish_reason = chunk.finish_reason

    async def end_attempt(
        self, state: State, error: ErrorInfo | None, status: int | None, usage: Usage | None = None
    ) -> None:
        """Tell post_attempt how the attempt ended, unless it has ended already."""
        began, self.attempt_began = self.attempt_began, None
        if began is None:
            return
        self.ctx.beginnings = ()
        chains, ctx, sent = self.chains, self.ctx, self.sent
        duration = self.runtime.clock.now() - began
        if not sent:
            ctx.unsent += 1
            self.status = status  # not that of the attempt before
        if chains.audit:
            self.attempts.append(new_attempt(ctx.attempt, ctx.route.name, status, error, self.waited, duration, sent))
        self.waited = 0.0
        steps = chains.post_attempt
        if not (steps or chains.watchers):
            return
        ended = new_outcome(state, error, status, usage, duration, self.first_token, sent)
        chains.emit("closed", ended, ctx)
        await self._settle("post_attempt", lambda: chains.all(steps, (ended, ctx), self))

    # --- the record ---------------------------------------------------------------------------------------------------

    async def close(self, outcome: str, error: ErrorInfo | None = None) -> None:
        """Make the audit record and hand it out, unless that was done."""
        if self.closed:
            return
        self.closed = True
        try:
            if self.seat is not None:
                self.passed_on = self.seat.leave()
                if self.seat.across is not None:  # a store of many processes takes its time, and the caller may leave
                    await self.runtime.settle(self.seat.finish)
        finally:
            try:
                if self.chains.audit:
                    await self._tell(outcome, error)
            finally:
                self.flow.enter(_ENDS[outcome])
                if self.chains.timed and (now := self.runtime.clock.now()) - self.began > LONG:
                    self.chains.faults.tell_slow(self.ctx.trace, self.chains.steps, now)
                if self.ended is not None:
                    self.ended(self.ctx.id)

    def given(self, response: Response) -> Response:
        """What the caller is given in one piece, for the record: with its very bytes where the record may show them."""
        self.shown = tuple(map(self._may_see_content, self.chains.audit))
        if True in self.shown:
            response = as_answered(response) if response.raw is None else response
            # Without its request's context, which would stay as long as whoever keeps records keeps this one.
            self.response = owned(response, response.provenance, {})
        return response

    async def fail(self, status: int, body: bytes | None, error: ErrorInfo) -> None:
        """Close after a failure that is handed on with *status* and, unless it is a stream, *body*."""
        self.status = status if body is None or self.asked is None else status_meant(status, body)
        await self.close("failed", error)

    async def _tell(self, outcome: str, error: ErrorInfo | None) -> None:
        facts = self._facts(outcome, error)
        bare = new_record(**facts)
        told = self.chains.audiences(self.shown or tuple(map(self._may_see_content, self.chains.audit)))

        async def tell() -> None:
            first: Exception | None = None
            for content, steps in told:
                given = new_record(**facts, request=self.looked_at, response=self.response) if content else bare
                try:
                    await self.chains.all(steps, (given, self.ctx), self)
                except Exception as error:
                    first = first or error
            if first is not None:
                raise first

        await self._settle("audit", tell)

    async def _settle(self, hook: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run *work* to its end; where it awaits, a cancellation of the caller must not come between."""
        if hook in self.chains.waiting:
            await self.runtime.settle_hooks(work)
        else:
            await work()

    def _may_see_content(self, step: Step) -> bool:
        return self.content or _reads_content(step)

    def _facts(self, outcome: str, error: ErrorInfo | None) -> dict[str, Any]:
        """The fields of the record but for the content."""
        ctx, request = self.ctx, self.request
        if self.chunk_times is not None:
            ctx.trace.extend(self.chunk_times.calls())
        return {
            "id": ctx.id,
            "outcome": outcome,
            "time": self.began_at,
            "duration": self.runtime.clock.now() - self.began,
            "api": request.api,
            "method": request.method,
            "url": request.url,
            "model": request.model or None,
            "stream": ctx.stream,
            "scope": ctx.scope,
            "route": ctx.route.name,
            "parent": ctx.parent,
            "status": self.status,
            "attempts": tuple(self.attempts),
            "usage": self._used(outcome),
            "finish_reason": self.finish_reason,
            "first_token": self.first_token,
            "unread": self.flow.unread_seconds,
            "answering_model": self.answering(),
            "ended_by": self.flow.ended_by if outcome == "cancelled" else "host" if outcome == "abandoned" else None,
            "provenance": ctx.provenance,
            "error": error,
            "trace": tuple(ctx.trace),
        }

    def answering(self) -> str | None:
        """The model that answered, or failed to, where it is another than the one asked for."""
        went, asked, given = self.went, self.request, self.ctx.provenance
        if went is None:
            return self.instead
        if went is asked or (went.raw is not None and went.raw is asked.raw):
            return None
        if given is not None and given.source != "provider":
            return None
        return went.model if went.model and went.model != asked.model else None

    def _used(self, outcome: str) -> Usage | None:
        if self.passed_on:
            return None
        if self.usage is None or outcome in ("answered", "cached") or not self.output:
            return self.usage or self._estimated(outcome)
        return self.so_far(self.request)

    def so_far(self, request: Request) -> Usage:
        """What a stream that did not end has used: some APIs tell at its start what it will have put out by then."""
        told, counted = self.usage, self.estimate(request, self.output)
        if told is None or told.output >= counted.output:
            return told or counted
        return evolve(told, output=counted.output, estimated=True)

    def _estimated(self, outcome: str) -> Usage | None:
        """What a chat call used, counted by us, when something was sent and the provider did not say."""
        sent = self.ctx.attempt > self.ctx.unsent or (self.seat is not None and self.seat.pays)
        if not sent or not self.request.endpoint.chat or (self.status or 0) >= 400:
            return None
        if outcome == "failed" and not self.output:
            return None
        return self.estimate(self.request, self.output)

    def estimate(self, request: Request, output: Sequence[str]) -> Usage:
        """What *request* and an answer of these texts use, counted by us."""
        counter, model = self.ctx.services.get(TokenCounter), request.model
        sent = sum(counter.count_message(message, model) for message in request.messages)
        return Usage(sent, counter.count("".join(output), model) + self.left_out // CHARACTERS, estimated=True)


def _reads_content(step: Step) -> bool:
    return bool(getattr(step.owner, "reads_content", False))


def _begin_beside(work: Callable[[], Coroutine[Any, Any, None]], runtime: Runtime) -> None:
    """Call *work* here, among the hooks of its request, and run what it returns in a task or thread of its own."""
    try:
        rest = work()
    except Exception:
        log.exception(_FAILED)
        return

    begun: list[bool] = []

    async def done() -> None:
        try:
            if begun:  # the event loop ended while it waited; it may put its things in order
                rest.close()
                return
            begun.append(True)
            await rest
        except Exception:  # nobody waits for it who could be told
            log.exception(_FAILED)

    if isinstance(rest, Coroutine):
        # An event loop that ends may never come to it, and Python would warn of a coroutine that nobody awaited.
        weakref.finalize(done, rest.close).atexit = False
    owed = runtime.owed.take(done)
    if not runtime.hold_soon(owed):  # there is no thread left
        without_a_loop(owed)
