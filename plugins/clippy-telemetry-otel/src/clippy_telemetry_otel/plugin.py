"""The plugin: when spans begin and end, and what is counted."""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, cast
from weakref import WeakValueDictionary

from attrs import define, evolve, field
from attrs.validators import instance_of, optional
from clippy_hookspecs import AuditRecord, Outcome, Request, RequestContext, StashKey, hookimpl
from opentelemetry import context as active
from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Tracer, TracerProvider

from .content import content_attributes
from .conventions import SCHEMA_URL, Attributes, error_type, server, signed, text
from .measures import METRICS, Measures, billed
from .spans import Moments, RequestSpans, refused_by

_SPANS = StashKey["RequestSpans | None"]("telemetry-otel.spans")
"""None: pre_request found nobody who would get anything."""
_SCOPE = "clippy_telemetry_otel"
_DISTRIBUTION = "clippy-telemetry-otel"


@define(eq=False)
class OtelTelemetry:
    """Makes a span of each request and of each attempt, and metrics, in the words of OpenTelemetry's GenAI conventions.

    What becomes of them is the affair of the providers that the program sets up with an SDK of OpenTelemetry.  While
    there are none, it does nothing.
    """

    observes_only = True
    on_failure = "skip"
    declares_metrics = METRICS

    content: bool = field(
        default=False,
        metadata={"doc": "also give prompts, answers and tools to spans, as they are: nothing is redacted"},
    )
    identity: bool = field(
        default=False, metadata={"doc": "also give tenant, user and session to spans (never to metrics)"}
    )
    propagate: bool = field(
        default=False,
        metadata={"doc": "send each attempt's place in the trace upstream (traceparent), but not in signed requests"},
    )
    tracer_provider: Any = field(
        default=None,
        validator=optional(instance_of(cast(Any, TracerProvider))),
        metadata={"doc": "for programs: the provider of tracers, instead of the one that is set for the process"},
    )
    meter_provider: Any = field(
        default=None,
        validator=optional(instance_of(cast(Any, MeterProvider))),
        metadata={"doc": "for programs: the provider of meters, instead of the one that is set for the process"},
    )
    _tracer: tuple[object, Tracer | None] = field(init=False, default=(None, None), repr=False)
    _measures: tuple[object, Measures | None] = field(init=False, default=(None, None), repr=False)
    _under_way: MutableMapping[str, RequestSpans] = field(init=False, factory=WeakValueDictionary, repr=False)
    """By the id of a request, for those that plugins ask within it; each lives in its own request's stash."""

    @property
    def idle(self) -> str:
        """Why there is nothing to do: no provider is set up, and none of an SDK can be."""
        if find_spec("opentelemetry.sdk") is not None or self.tracer_provider or self.meter_provider:
            return ""  # a program may set its providers up after the host is made
        if not (_silent(trace.get_tracer_provider()) and _silent(metrics.get_meter_provider())):
            return ""
        return "nobody would get what it tells: install opentelemetry-sdk, and set up a provider in the program"

    @property
    def reads_content(self) -> bool:
        """Whether the host hands us what was said."""
        return self.content

    @hookimpl(tryfirst=True)
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        """Begin the request's span, under the caller's or under that of the request it was asked from."""
        tracer = self._current_tracer()
        if tracer is None and self._current_measures() is None:
            ctx.stash[_SPANS] = None
            return
        asked_by = self._under_way.get(ctx.parent) if ctx.parent is not None else None
        parent = active.get_current() if asked_by is None else asked_by.context
        ctx.stash[_SPANS] = self._under_way[ctx.id] = RequestSpans.begin(request, ctx, tracer, parent)

    @hookimpl(tryfirst=True)
    def pre_attempt(self, request: Request, ctx: RequestContext) -> Request | None:
        """Begin the attempt's span; with ``propagate``, tell the provider of it."""
        spans = ctx.stash.get(_SPANS)
        if spans is None:
            return None
        before, failure = spans.route, spans.failure
        spans.begin_attempt(request, ctx)
        measures = self._current_measures()
        if measures is not None and ctx.attempt > 1:
            measures.tell_another(ctx.route.name, before, failure)
        if not self.propagate or signed(request.headers, request.query):
            return None
        headers = spans.carried(request.headers)
        return None if headers is request.headers else evolve(request, headers=headers)

    @hookimpl(tryfirst=True)
    def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        """End the attempt's span."""
        spans = ctx.stash.get(_SPANS)
        if spans is None:
            return
        refuser = refused_by(outcome, ctx.trace)
        spans.end_attempt(outcome, ctx, refuser)
        measures = self._current_measures()
        if measures is not None:
            measures.tell_attempt(outcome, ctx.route.name, refuser)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """End the request's span and count the request: the one place where either is done."""
        spans = ctx.stash[_SPANS] if _SPANS in ctx.stash else self._belated(record, ctx)
        if spans is None:
            return
        spans.tell_models(record)
        try:
            measures = self._current_measures()
            if measures is not None:
                measures.tell(record, spans.about())
        finally:
            spans.end(record, ctx, lambda: self._outcome(record, spans))

    def _belated(self, record: AuditRecord, ctx: RequestContext) -> RequestSpans | None:
        """For a request that was over before our pre_request: refused by a plugin that stands outside of us."""
        tracer = self._current_tracer()
        if tracer is None and self._current_measures() is None:
            return None
        spans = RequestSpans(
            "unknown",
            text(record.model or ""),
            server(record.url, record.api),
            Moments(record.time, ctx.clock.now() - record.duration),
            tracer,
            route=ctx.route.name,
        )
        spans.start(active.get_current())
        return spans

    def _outcome(self, record: AuditRecord, spans: RequestSpans) -> Attributes:
        """What a span says of a request that is over."""
        found: Attributes = {**spans.about(), "clippy.request.id": text(record.id), "clippy.outcome": record.outcome}
        found["clippy.attempts"] = sum(attempt.sent for attempt in record.attempts)
        if record.route:
            found["clippy.route"] = text(record.route)
        if record.stream:
            found["gen_ai.request.stream"] = True
            if record.first_token is not None:
                found["gen_ai.response.time_to_first_chunk"] = record.first_token
        if record.finish_reason:
            found["gen_ai.response.finish_reasons"] = [text(record.finish_reason)]
        if record.outcome in ("failed", "refused"):
            found["error.type"] = error_type(record.error)
        if record.ended_by:
            found["clippy.ended_by"] = text(record.ended_by)
        found |= _usage(record)
        found |= _provenance(record)
        if self.identity:
            named = (record.scope.tenant, record.scope.user, record.scope.session)
            keys = ("clippy.tenant", "user.id", "gen_ai.conversation.id")
            found |= {key: text(value) for key, value in zip(keys, named, strict=True) if value is not None}
        if self.content:
            found |= content_attributes(record)
        return found

    # --- what the program has set up ----------------------------------------------------------------------------------

    def _current_tracer(self) -> Tracer | None:
        """The tracer of the present provider, None while nobody would get a span."""
        provider = self.tracer_provider or trace.get_tracer_provider()
        known, tracer = self._tracer
        if provider is not known:
            tracer = None if _silent(provider) else provider.get_tracer(_SCOPE, version(_DISTRIBUTION), SCHEMA_URL)
            self._tracer = provider, tracer
        return tracer

    def _current_measures(self) -> Measures | None:
        """The instruments of the present provider, None while nobody would get a number."""
        provider = self.meter_provider or metrics.get_meter_provider()
        known, measures = self._measures
        if provider is not known:
            meter = None if _silent(provider) else provider.get_meter(_SCOPE, version(_DISTRIBUTION), SCHEMA_URL)
            measures = Measures.of(meter) if meter is not None else None
            self._measures = provider, measures
        return measures


def _silent(provider: object) -> bool:
    """Whether a provider is one of the API's own, which stand in until a program sets one up and record nothing."""
    return type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


def _usage(record: AuditRecord) -> Attributes:
    """Tokens that the provider counted; what a cache saved was not used again."""
    usage = billed(record)
    if usage is None:
        return {}
    found: Attributes = {"gen_ai.usage.input_tokens": usage.input, "gen_ai.usage.output_tokens": usage.output}
    more = {
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
    }
    return found | {key: value for key, value in more.items() if value}


def _provenance(record: AuditRecord) -> Attributes:
    """Who gave the answer and why."""
    given = record.provenance
    if given is None:
        return {}
    found: Attributes = {"clippy.source": given.source, "clippy.stale": given.stale}
    said = {"clippy.by": given.by, "clippy.reason": given.reason}
    found |= {key: text(value) for key, value in said.items() if value is not None}
    if given.age is not None:
        found["clippy.age"] = given.age
    return found
