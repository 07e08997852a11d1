"""The spans of one request: one for the request, one for each of its attempts."""

from __future__ import annotations

import math
from collections.abc import Callable

from attrs import define
from clippy_hookspecs import AuditRecord, Clock, ErrorInfo, Headers, HookCall, Outcome, Request, RequestContext
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .conventions import Attributes, Server, error_type, operation, request_attributes, server, text

_PROPAGATOR = TraceContextTextMapPropagator()
"""Only ``traceparent`` and ``tracestate``: baggage is the program's own and no affair of a provider."""
_NEVER = 2**62


@define
class Moments:
    """Points in time as spans want them: unix nanoseconds that never run backwards within one request."""

    time: float
    now: float

    @classmethod
    def of(cls, clock: Clock) -> Moments:
        return cls(clock.time(), clock.now())

    def ns(self, now: float) -> int:
        """Unix nanoseconds at *now*, seconds of the host's clock."""
        return nanoseconds(self.time + (now - self.now))


def nanoseconds(seconds: float) -> int:
    """Unix seconds as nanoseconds; 0 for what is no time."""
    return int(min(seconds * 1e9, _NEVER)) if math.isfinite(seconds) and seconds > 0 else 0


@define(eq=False)
class RequestSpans:
    """What is open of one request, from pre_request to audit; without a *tracer* only notes for the metrics.

    A span that was begun is ended, since the host tells of each attempt's end once and then of the request's.
    """

    operation: str
    model: str
    server: Server
    moments: Moments
    tracer: Tracer | None = None
    span: Span = INVALID_SPAN
    context: Context | None = None
    route: str = ""
    answering: str = ""
    """The model that answered, once that is known and where it is another than the one asked for."""
    attempt: Span | None = None
    idle_since: float | None = None
    """When the attempt before ended: how long the next one waited."""
    failure: ErrorInfo | None = None
    """How the attempt before failed."""

    @classmethod
    def begin(
        cls, request: Request, ctx: RequestContext, tracer: Tracer | None, parent: Context | None
    ) -> RequestSpans:
        """Begin the span of *request*, a child of what is active in *parent*."""
        self = cls(
            operation(request.endpoint),
            text(request.model or ""),
            server(ctx.route.base_url or request.url, ctx.route.api or request.api),
            Moments.of(ctx.clock),
            tracer,
            route=ctx.route.name,
        )
        self.start(parent)
        if self.span.is_recording():
            self.span.set_attributes(request_attributes(request.params))
        return self

    def start(self, parent: Context | None) -> None:
        """Begin the span of the request below what is active in *parent*."""
        if self.tracer is None:
            return
        name = f"{self.operation} {self.model}".rstrip()
        began = self.moments.ns(self.moments.now)
        self.span = self.tracer.start_span(name, parent, SpanKind.CLIENT, self.about(), start_time=began)
        self.context = set_span_in_context(self.span, parent)

    def about(self) -> Attributes:
        """What spans and metrics alike say of a request, and what a sampler sees."""
        found: Attributes = {"gen_ai.operation.name": self.operation, "gen_ai.provider.name": self.server.provider}
        if self.model:
            found["gen_ai.request.model"] = self.model
        if self.answering:
            found["gen_ai.response.model"] = self.answering
        if self.server.address:
            found["server.address"], found["server.port"] = self.server.address, self.server.port
        return found

    # --- attempts -----------------------------------------------------------------------------------------------------

    def begin_attempt(self, request: Request, ctx: RequestContext) -> None:
        """An attempt begins: where it goes, after how long a wait."""
        now = ctx.clock.now()
        self.server = server(request.url, request.api)
        self.model = text(request.model) if request.model else self.model
        before, self.route = self.route, ctx.route.name
        if self.tracer is None:
            return
        attributes: Attributes = {}
        if self.span.is_recording():
            if before != self.route:
                self._tell_switch(before, now, ctx.trace)
            attributes = {
                **self.about(),
                "http.request.method": text(request.method),
                "url.full": self.server.url,
                "clippy.attempt": ctx.attempt,
                "clippy.route": text(self.route),
            }
            if ctx.attempt > 1:
                attributes["http.request.resend_count"] = ctx.attempt - 1
                attributes["clippy.attempt.wait"] = 0.0 if self.idle_since is None else now - self.idle_since
        self.attempt = self.tracer.start_span(
            text(request.method), self.context, SpanKind.CLIENT, attributes, start_time=self.moments.ns(now)
        )

    def _tell_switch(self, before: str, now: float, trace: list[HookCall]) -> None:
        by = next((call.plugin for call in reversed(trace) if call.action == "switch"), "")
        told = {"clippy.route.from": text(before), "clippy.route.to": text(self.route), "clippy.by": text(by)}
        self.span.add_event("clippy.switch", told, self.moments.ns(now))

    def carried(self, headers: Headers) -> Headers:
        """*headers* with the attempt's own place in the trace instead of any that the caller sent."""
        if self.attempt is None:
            return headers
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(self.attempt))
        if not carrier:
            return headers
        headers = headers.without("tracestate")
        for name, value in carrier.items():
            headers = headers.replace(name, value)
        return headers

    def end_attempt(self, outcome: Outcome, ctx: RequestContext, refuser: str | None) -> None:
        """An attempt has ended, in whatever way; *refuser* is the plugin that did not let it go."""
        now = self.idle_since = ctx.clock.now()
        self.failure = outcome.error
        span, self.attempt = self.attempt, None
        if span is None:
            return
        try:
            if span.is_recording():
                self._tell_outcome(span, outcome, ctx, refuser)
        finally:
            span.end(self.moments.ns(now))

    def _tell_outcome(self, span: Span, outcome: Outcome, ctx: RequestContext, refuser: str | None) -> None:
        attributes: Attributes = {"clippy.attempt.outcome": outcome.state}
        if outcome.status is not None:
            attributes["http.response.status_code"] = outcome.status
        if outcome.first_token is not None and ctx.stream:
            attributes["gen_ai.response.time_to_first_chunk"] = outcome.first_token
        if refuser is not None:
            attributes["clippy.attempt.outcome"], attributes["clippy.by"] = "refused", text(refuser)
        if outcome.state == "error":
            attributes["error.type"] = error_type(outcome.error)
            span.set_status(StatusCode.ERROR)
        span.set_attributes(attributes)

    # --- the end ------------------------------------------------------------------------------------------------------

    def tell_models(self, record: AuditRecord) -> None:
        """Which model was asked for, and which one answered instead; the attempts told of those that were sent."""
        if record.answering_model:
            self.model = text(record.model or "")
            self.answering = text(record.answering_model) if record.outcome == "answered" else ""

    def end(self, record: AuditRecord, ctx: RequestContext, attributes: Callable[[], Attributes]) -> None:
        """The request is over: say what became of it, with *attributes* if anybody wants to know."""
        try:
            if self.span.is_recording():
                self.span.set_attributes(attributes())
                if record.outcome in ("failed", "refused"):
                    self.span.set_status(StatusCode.ERROR)
        finally:
            self.span.end(self.moments.ns(ctx.clock.now()))


def refused_by(outcome: Outcome, trace: list[HookCall]) -> str | None:
    """The plugin that refused the attempt which ended so just now, None if it was sent or if a plugin broke."""
    if outcome.sent or outcome.state != "error":
        return None
    last = next((call for call in reversed(trace) if call.hook == "pre_attempt"), None)
    return None if last is None or last.action == "failed" else last.plugin
