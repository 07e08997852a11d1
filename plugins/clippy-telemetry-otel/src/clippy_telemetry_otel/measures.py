"""The metrics of requests and attempts: those of the conventions, and our own counters beside them.

Every attribute is of low cardinality: names from the configuration, kinds of failure, models, servers.  Never an id, a
prompt, a key or who called.
"""

from __future__ import annotations

import math

from attrs import frozen
from clippy_hookspecs import AuditRecord, ErrorInfo, Outcome, Usage
from opentelemetry.metrics import Counter, Histogram, Meter

from .conventions import GENERATES, Attributes, error_type, text

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))
"""The bucket boundaries that the conventions give."""
_BOUNDARIES = {"s": _SECONDS, "{token}": _TOKENS}

_HISTOGRAMS = (
    ("gen_ai.client.operation.duration", "s", "GenAI operation duration."),
    ("gen_ai.client.token.usage", "{token}", "Number of input and output tokens used."),
    ("gen_ai.client.operation.time_to_first_chunk", "s", "Time to receive the first chunk of a streamed answer."),
)
_COUNTERS = (
    ("clippy.cache.lookups", "{lookup}", "Lookups in caches, by their result."),
    ("clippy.attempts", "{attempt}", "Upstream attempts, by route and outcome."),
    ("clippy.retries", "{attempt}", "Repetitions on one route, by the failure before."),
    ("clippy.refusals", "{request}", "Requests that a plugin refused, by code."),
    ("clippy.switches", "{switch}", "Changes to another route."),
)
METRICS = (*_HISTOGRAMS, *_COUNTERS)
"""Name, unit and meaning of each, in the order of the instruments in :class:`Measures`."""


@frozen
class Measures:
    """The instruments of one meter."""

    duration: Histogram
    tokens: Histogram
    first_chunk: Histogram
    lookups: Counter
    attempts: Counter
    retries: Counter
    refusals: Counter
    switches: Counter

    @classmethod
    def of(cls, meter: Meter) -> Measures:
        """Make the instruments; doing so twice for one meter gives the same ones."""
        duration, tokens, first_chunk = (
            meter.create_histogram(name, unit, what, explicit_bucket_boundaries_advisory=_BOUNDARIES[unit])
            for name, unit, what in _HISTOGRAMS
        )
        lookups, attempts, retries, refusals, switches = (
            meter.create_counter(name, unit, what) for name, unit, what in _COUNTERS
        )
        return cls(duration, tokens, first_chunk, lookups, attempts, retries, refusals, switches)

    def tell(self, record: AuditRecord, about: Attributes) -> None:
        """What one request adds; *about* are the attributes that all metrics of the conventions share."""
        if about.get("gen_ai.operation.name") in GENERATES:
            self._tell_operation(record, about)
        self._tell_lookup(record)
        if record.outcome == "refused":
            self.refusals.add(1, {"error.type": error_type(record.error)})

    def _tell_operation(self, record: AuditRecord, about: Attributes) -> None:
        failed = record.outcome in ("failed", "refused")
        ended = {**about, "clippy.source": record.provenance.source if record.provenance else "none"}
        if failed:
            ended["error.type"] = error_type(record.error)
        if _measured(record.duration):
            self.duration.record(record.duration, ended)
        if record.stream and record.first_token is not None and _measured(record.first_token) and paid(record):
            self.first_chunk.record(record.first_token, about)
        usage = billed(record)
        if usage is not None:
            self.tokens.record(max(0, usage.input), {**about, "gen_ai.token.type": "input"})
            self.tokens.record(max(0, usage.output), {**about, "gen_ai.token.type": "output"})

    def _tell_lookup(self, record: AuditRecord) -> None:
        asked = [call.plugin for call in record.trace if call.hook == "cache_lookup"]
        if not asked:
            return
        given = record.provenance
        if given is not None and given.source == "cache":
            result = "stale" if given.stale else "hit"
            self.lookups.add(1, {"clippy.cache.result": result, "clippy.by": text(given.by or "")})
        else:
            self.lookups.add(1, {"clippy.cache.result": "miss"})

    def tell_attempt(self, outcome: Outcome, route: str, refuser: str | None) -> None:
        """What one attempt adds; *refuser* is the plugin that did not let it go."""
        attributes: Attributes = {"clippy.route": text(route), "clippy.attempt.outcome": outcome.state}
        if outcome.state == "error":
            attributes["error.type"] = error_type(outcome.error)
        if refuser is not None:
            attributes["clippy.attempt.outcome"], attributes["clippy.by"] = "refused", text(refuser)
        self.attempts.add(1, attributes)

    def tell_another(self, route: str, before: str, error: ErrorInfo | None) -> None:
        """One more attempt follows one on route *before* that ended with *error*."""
        if route == before:
            self.retries.add(1, {"clippy.route": text(route), "error.type": error_type(error)})
        else:
            self.switches.add(1, {"clippy.route.from": text(before), "clippy.route.to": text(route)})


def paid(record: AuditRecord) -> bool:
    """Whether a provider worked for this request, which a cache and a plugin do not."""
    sent = any(attempt.sent for attempt in record.attempts)
    return sent and (record.provenance is None or record.provenance.source == "provider")


def billed(record: AuditRecord) -> Usage | None:
    """The tokens that the provider says it used; the conventions forbid to report a guess as such."""
    usage = record.usage
    return usage if usage is not None and not usage.estimated and paid(record) else None


def _measured(seconds: float) -> bool:
    return math.isfinite(seconds) and seconds >= 0
