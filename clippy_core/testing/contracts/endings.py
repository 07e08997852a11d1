"""Every way in which a request can end, and everything that a plugin may be told of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import anyio
from attrs import define, field, frozen
from clippy_hookspecs import (
    Answer,
    AttemptRecord,
    AuditRecord,
    CacheEntry,
    Chunk,
    ErrorInfo,
    Event,
    Failure,
    Headers,
    HookCall,
    Message,
    Outcome,
    Provenance,
    Refusal,
    Request,
    RequestContext,
    Response,
    Retry,
    Scope,
    StashKey,
    Text,
    Usage,
    hookimpl,
)

from ...client import AsyncClient
from ..cancelling import stopped
from ..faults import Fault
from ..script import Reply
from ..seen import SeenRequest
from .bench import Bench, Got, body_for

NOTE = StashKey[str]("cast.note")
MORE: dict[str, Any] = {"user": "ada", "temperature": 0.5, "metadata": {"project": "x"}, "x_unknown": [1, {"a": None}]}
"""Parameters beside the prompt, so that there is something to be changed."""
OUTCOMES = ("answered", "cached", "refused", "failed", "cancelled", "abandoned")


@define(eq=False)
class Cast:
    """The other plugins of a host, so that a request can end in every way: says no, answers, caches, tries again."""

    kept: dict[str, CacheEntry] = field(factory=dict)
    asked: dict[str, str] = field(factory=dict)
    meddled: list[str] = field(factory=list)
    """What somebody else did to the request, to its notes or to its trace."""

    @hookimpl(tryfirst=True)
    def pre_request(self, request: Request, ctx: RequestContext) -> Answer | None:
        ctx.stash[NOTE] = ctx.id
        self.asked[ctx.id] = _said(request)
        text = request.messages[-1].text if request.messages else ""
        if "refuse" in text:
            raise Refusal("not this one")
        message = Message("assistant", (Text("from a plugin"),))
        return (
            Answer(Response(request.api, message=message, finish_reason="stop")) if "answer yourself" in text else None
        )

    @hookimpl(tryfirst=True)
    def pre_attempt(self, request: Request, ctx: RequestContext) -> None:
        if _said(request) != self.asked[ctx.id]:
            self.meddled.append("the request was changed")

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self.asked.pop(ctx.id)
        if ctx.stash.get(NOTE) != ctx.id:
            self.meddled.append("the notes of another plugin are gone from the stash")
        if ctx.leases:
            self.meddled.append(f"ctx.leases is {ctx.leases}")

    @hookimpl
    def cache_lookup(self, key: str) -> CacheEntry | None:
        return self.kept.get(key)

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry, request: Request) -> None:
        if request.messages and "remember" in request.messages[-1].text:
            self.kept[key] = entry

    @hookimpl
    def classify_error(self, failure: Failure) -> ErrorInfo:
        status = failure.status or 0
        return ErrorInfo("transient", "fault", retryable=status >= 500, status=status, committed=failure.committed)

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        return Retry(2.0) if error.retryable and not error.committed and ctx.route_attempt < 3 else None


def _said(request: Request) -> str:
    """All that a request says, as one text."""
    messages = [repr(message) for message in request.messages]
    return json.dumps([request.model, messages, request.params, request.headers.pairs], default=repr, sort_keys=True)


def script(seen: SeenRequest) -> Any:
    """What the provider does: the words of a prompt say how its request is to end."""
    text = seen.last_user_text
    if "fail for ever" in text:
        return Fault.status(503)
    if "fail once" in text and seen.number % 2:
        return Fault.status(503)
    if "wrong" in text:
        return Fault.status(400)
    if "break" in text:
        return [Fault.reset(at_delta=2), Reply("one two three four")]
    if "say error" in text:
        return [Fault.error_event(at_delta=2), Reply("one two three four")]
    if "at length" in text:
        return Reply(text)
    return Reply(f"an answer to {text}"[:200])


@frozen
class Way:
    """One way in which a request can go: what to do, and how the record says it ended."""

    name: str
    outcome: str
    go: Callable[[Bench], Got]


WAYS = (
    Way("answered", "answered", lambda bench: bench.chat("Hello", **MORE)),
    Way("answered as a stream", "answered", lambda bench: bench.stream("Hello", **MORE)),
    Way("answered by a plugin", "answered", lambda bench: bench.chat("answer yourself")),
    Way("answered after a retry", "answered", lambda bench: bench.chat("fail once", **MORE)),
    Way("answered from a cache", "cached", lambda bench: (bench.chat("remember"), bench.chat("remember"))[1]),
    Way("refused", "refused", lambda bench: bench.chat("refuse")),
    Way("failed", "failed", lambda bench: bench.chat("wrong")),
    Way("failed after retries", "failed", lambda bench: bench.chat("fail for ever")),
    Way("broken amid a stream", "failed", lambda bench: bench.stream("break")),
    Way("an error amid a stream", "failed", lambda bench: bench.stream("say error")),
    Way("left by its reader", "cancelled", lambda bench: bench.stream("Hello you there", stop_after=1)),
    Way("cancelled while it was sent", "cancelled", lambda bench: _cancelled(bench)),
    Way("under an SDK", "answered", lambda bench: bench.post("/chat/completions", body_for("openai.chat", "Hello"))),
    Way("none of ours", "answered", lambda bench: bench.post("/embeddings", {"model": "m", "input": "Hello"})),
)


def _cancelled(bench: Bench) -> Got:
    async def call() -> None:
        async with AsyncClient(bench.host, bench.provider.async_client()) as client:
            await client.chat("Hello")

    async def work() -> None:
        await stopped("scope", call, {1})

    anyio.run(work)
    return Got()


def odd_records() -> Iterator[AuditRecord]:
    """Records of every outcome with empty, odd and impossible values."""
    odd = "\ud800 \x00\n\x1b[31m 😀 " + "word " * 400
    info = ErrorInfo("plugin", odd, message=odd, code=odd, retry_after=float("nan"), request_id=odd)
    message = Message("assistant", (Text(odd),))
    for outcome in OUTCOMES:
        yield AuditRecord("id", outcome, 0.0, 0.0)  # type: ignore[arg-type]
        yield AuditRecord(
            odd, outcome, float("inf"), -1.0, api=odd, method=odd, url=odd, model=odd, stream=True,  # type: ignore[arg-type]
            scope=Scope(odd, odd, odd), route=odd, parent=odd, status=999, finish_reason=odd, first_token=float("nan"),
            attempts=(AttemptRecord(1, odd, None, info, 1e308, -5.0),) * 3, usage=Usage(10**18, -1),
            provenance=Provenance("cache", odd, odd, -1.0), error=info, trace=(HookCall(odd, odd, odd, -1),) * 3,
            request=Request(url=odd, messages=(message,)), response=Response(message=message),
        )  # fmt: skip


def every_event() -> Iterator[Event]:
    """One event of each kind."""
    yield Event("attempt", 1, Request("openai.chat", url="http://fake.test/v1/chat/completions"))
    yield Event("head", 2, (200, Headers([("content-type", "text/event-stream")])))
    yield Event("bytes", 3, b"data: {}\n\n")
    yield Event("chunk_in", 4, Chunk("text", "one"))
    yield Event("chunk_out", 5, Chunk("text", "one"))
    yield Event("hook", 6, HookCall("other", "pre_request", "passed", 10))
    yield Event("closed", 7, Outcome("ok", None, 200))
