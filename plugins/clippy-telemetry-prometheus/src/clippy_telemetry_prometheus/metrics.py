"""The metrics by name: the one table of which page, collector, README and reference are made."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

BOUNDS = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68,
)  # fmt: skip
"""Seconds up to which a bucket counts.

Up to 81.92 those of OpenTelemetry's GenAI conventions for durations of operations and times to the first chunk
(https://github.com/open-telemetry/semantic-conventions/blob/v1.41.0/docs/gen-ai/gen-ai-metrics.md); doubled twice more,
since a model that thinks takes minutes.
"""


@frozen(eq=False)  # a key that is looked up in every request
class Metric:
    """One metric: ``name`` without the suffix that a counter gets, ``labels`` in the order of their values."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    doc: str
    unit: str = ""


_WHO = ("tenant", "user")
"""Empty, and so left out, unless ``identity`` is set."""

REQUESTS = Metric(
    "clippy_requests", "counter", ("api", "model", "route", "outcome", "source", *_WHO), "Requests that are over."
)
DURATION = Metric(
    "clippy_request_duration_seconds",
    "histogram",
    ("model", "outcome"),
    "From when a request came until it was over, its streams and retries included.",
    "seconds",
)
FIRST_TOKEN = Metric(
    "clippy_time_to_first_token_seconds",
    "histogram",
    ("model", "route"),
    "From when a request came until the first token of a streamed answer of a provider.",
    "seconds",
)
REQUESTS_NOW = Metric("clippy_requests_in_progress", "gauge", (), "Requests that are under way.")
STREAMS_NOW = Metric("clippy_streams_in_progress", "gauge", (), "Requests under way that asked for a stream.")
ATTEMPTS = Metric(
    "clippy_attempts", "counter", ("route", "status", "error"), "Attempts that were sent to a provider, as they ended."
)
ATTEMPT_DURATION = Metric(
    "clippy_attempt_duration_seconds", "histogram", ("route",), "From sending an attempt until it ended.", "seconds"
)
ATTEMPTS_REFUSED = Metric(
    "clippy_attempts_refused",
    "counter",
    ("route", "error"),
    "Attempts that a plugin did not let go, such as an open breaker.",
)
RETRIES = Metric("clippy_retries", "counter", ("route", "cause"), "Repetitions on one route, by the failure before.")
SWITCHES = Metric("clippy_switches", "counter", ("from_route", "to_route"), "Attempts that went to another route.")
REFUSALS = Metric("clippy_refusals", "counter", ("plugin", "error"), "Requests that a plugin refused.")
LOOKUPS = Metric(
    "clippy_cache_lookups", "counter", ("cache", "result"), "Requests for which caches were asked: hit, stale or miss."
)
TOKENS = Metric(
    "clippy_tokens",
    "counter",
    ("model", "route", "type", "estimated", *_WHO),
    "Tokens that providers were asked for; cache_read and cache_write are a part of input, reasoning of output.",
)
SAVED_TOKENS = Metric(
    "clippy_saved_tokens", "counter", ("model", "type"), "Tokens that answers out of caches would have taken."
)
COST = Metric(
    "clippy_cost_dollars",
    "counter",
    ("model", "route", *_WHO),
    "What these tokens cost in US dollars, for models whose price is known.",
    "dollars",
)
SAVED = Metric(
    "clippy_saved_dollars",
    "counter",
    ("model",),
    "What saved tokens would have cost in US dollars, for models whose price is known.",
    "dollars",
)
HOOK_FAILURES = Metric("clippy_hook_failures", "counter", ("plugin", "hook"), "Hooks of plugins that raised.")
BUILD = Metric("clippy_build_info", "gauge", ("version",), "1; the version of clippy-core is a label.")

BREAKERS = Metric("clippy_breakers", "gauge", ("state",), "Circuit breakers by their state.")
TURNED_AWAY = Metric(
    "clippy_gateway_refusals",
    "counter",
    ("status", "code"),
    "Requests that the gateway refused before they were any, such as those with a wrong key.",
)
WORKER_UP = Metric("clippy_worker_up", "gauge", (), "0 for a worker of the gateway that did not tell its numbers.")

COLLECTED = (
    REQUESTS, DURATION, FIRST_TOKEN, REQUESTS_NOW, STREAMS_NOW, ATTEMPTS, ATTEMPT_DURATION, ATTEMPTS_REFUSED, RETRIES,
    SWITCHES, REFUSALS, LOOKUPS, TOKENS, SAVED_TOKENS, COST, SAVED, HOOK_FAILURES, BUILD,
)  # fmt: skip
"""In any registry."""
PAGE = (BREAKERS, TURNED_AWAY, WORKER_UP)
"""Only on the page of a gateway: asking for them may wait, which a collector cannot."""


def declared() -> tuple[tuple[str, str, str], ...]:
    """Name, unit and meaning of each, for ``clippy docs build``."""
    return tuple((shown_name(one), one.unit or "1", one.doc) for one in (*COLLECTED, *PAGE))


def shown_name(metric: Metric) -> str:
    """The name in a query: a counter's ends in _total."""
    return f"{metric.name}_total" if metric.kind == "counter" else metric.name
