"""The kinds of failure and what each one means: the one table behind every verdict.

A kind is the finest thing we say about a failure.  Everything else follows from it: whose fault it is (category),
whether the same request can succeed when it is sent again (retryable), what it is about (scope), and whether it speaks
against the health of the route (outage, which circuit breakers count).
"""

from __future__ import annotations

from typing import Literal

from attrs import evolve, frozen
from clippy_hookspecs import Category

Scope = Literal["request", "key", "model", "route", "provider"]


@frozen
class Verdict:
    """What a kind of failure means, before the delay, the message and the request id are known."""

    category: Category
    kind: str
    retryable: bool = False
    scope: Scope = "request"
    outage: bool = False


def _table(*rows: Verdict) -> dict[str, Verdict]:
    return {row.kind: row for row in rows}


KINDS: dict[str, Verdict] = _table(
    # The key, the account, and what they may do.
    Verdict("auth", "invalid_key", scope="key"),
    Verdict("auth", "expired", scope="key"),
    Verdict("auth", "permission", scope="key"),
    Verdict("auth", "region_blocked", scope="provider"),
    Verdict("permanent", "quota", scope="key"),
    # The request itself: the same bytes can never succeed.
    Verdict("validation", "invalid_request"),
    Verdict("validation", "context_length"),
    Verdict("validation", "request_too_large_for_tier"),
    Verdict("validation", "payload_too_large"),
    Verdict("validation", "content_filter"),
    Verdict("validation", "max_tokens"),
    Verdict("permanent", "unsupported", scope="model"),
    Verdict("permanent", "model_not_found", scope="model"),
    Verdict("permanent", "not_found", scope="route"),
    Verdict("permanent", "insufficient_resources", scope="model"),
    Verdict("permanent", "unknown_4xx"),
    # Too much at once: a cooldown, never a sign of bad health.
    Verdict("rate_limit", "requests", retryable=True, scope="key"),
    Verdict("rate_limit", "tokens", retryable=True, scope="key"),
    Verdict("rate_limit", "concurrency", retryable=True, scope="key"),
    Verdict("rate_limit", "budget_inflight", retryable=True, scope="key"),
    Verdict("rate_limit", "slow_down", retryable=True, scope="provider"),
    Verdict("rate_limit", "capacity", retryable=True, scope="model"),
    Verdict("rate_limit", "upstream", retryable=True, scope="model"),
    # The provider is in trouble.
    Verdict("transient", "overloaded", retryable=True, scope="route", outage=True),
    Verdict("transient", "server_error", retryable=True, scope="route", outage=True),
    Verdict("transient", "timeout", retryable=True, scope="route", outage=True),
    Verdict("transient", "conflict", retryable=True),
    # An answer that is not one.
    Verdict("transient", "truncated_body", retryable=True, scope="route", outage=True),
    Verdict("transient", "empty_body", retryable=True, scope="route", outage=True),
    Verdict("transient", "html_body", retryable=True, scope="route", outage=True),
    Verdict("transient", "bad_body", retryable=True, scope="route", outage=True),
    # Between us and the provider.
    Verdict("transient", "gateway", retryable=True, scope="route", outage=True),
    Verdict("transient", "misdirected", retryable=True),
    Verdict("transient", "too_early", retryable=True),
    Verdict("permanent", "blocked", scope="route"),
    Verdict("permanent", "proxy_auth", scope="route"),
    Verdict("permanent", "redirect", scope="route"),
    Verdict("transient", "network", retryable=True, scope="route", outage=True),
    Verdict("transient", "connect_timeout", retryable=True, scope="route", outage=True),
    Verdict("transient", "read_timeout", retryable=True, scope="route", outage=True),
    Verdict("transient", "write_timeout", retryable=True, scope="route", outage=True),
    Verdict("transient", "dns", retryable=True, scope="route", outage=True),
    Verdict("permanent", "tls", scope="route"),
    # On this side: says nothing about the provider.
    Verdict("transient", "pool_timeout", retryable=True),
    Verdict("transient", "local_resource", retryable=True),
    Verdict("validation", "config"),
    Verdict("permanent", "internal"),
    Verdict("permanent", "cancelled"),
    Verdict("plugin", "plugin"),
    Verdict("unknown", "unknown"),
)

NO_SUCH_HOST = evolve(KINDS["dns"], category="permanent", retryable=False)
"""The name does not exist (a typing error, not a name server in trouble); the route is still down for everybody."""

TLS_CUT = evolve(KINDS["tls"], category="transient", retryable=True, outage=True)
"""A TLS connection that broke off, unlike a certificate that is wrong."""

DISK_FULL = evolve(KINDS["local_resource"], category="permanent", retryable=False)
"""Space on a disk does not come back by waiting, unlike file handles and ports."""
