"""Text for a terminal, which obeys what it is sent: what caches keep was written by models and strangers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clippy_hookspecs import StoredEntry

from .statistics import Latency, Saving, Statistics


def summary(found: Statistics) -> list[str]:
    """Statistics as lines for people."""
    if not found.requests:
        return ["no requests were counted"]
    hits, misses, others = (sum(counts.values()) for counts in (found.hits, found.misses, found.others))
    rate = "" if found.hit_rate is None else f" ({100 * found.hit_rate:.1f} % of these {hits + misses} are hits)"
    beside = f", {others} neither" if others else ""
    lines = [f"{found.requests} requests: {hits} hits, {misses} misses{rate}{beside}"]
    lines += [f"providers were asked {found.attempts} times"]
    lines += _table("hits", {f"{kind}, {by}" if by else kind: count for (kind, by), count in found.hits.items()})
    lines += _table("misses", found.misses)
    lines += _table("neither hit nor miss", found.others)
    lines += _table("stored", found.stored)
    lines += _table("not stored", found.not_stored)
    lines += [f"saved: {_saving(found.saved)}", f"spent: {_saving(found.spent)}"]
    lines += [f"hits took {_latency(found.hit_latency)}", f"misses took {_latency(found.miss_latency)}"]
    return lines


def _table(title: str, counts: Mapping[str, int]) -> list[str]:
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [f"{title}:", *(f"  {count:>8}  {name}" for name, count in ordered)] if ordered else []


def _saving(saving: Saving) -> str:
    parts = [f"{saving.input} + {saving.output} tokens"]
    priced = saving.dollars or not saving.unpriced  # else the sum is nothing, which would read as free
    parts += [f"${saving.dollars:.6f}"] if priced else []
    parts += [f"the price of {saving.unpriced} answers is not known"] if saving.unpriced else []
    parts += [f"{saving.seconds:.1f} s"] if saving.seconds else []
    parts += [f"the time of {saving.untimed} answers is not known"] if saving.untimed else []
    return ", ".join(parts)


def _latency(latency: Latency) -> str:
    shares = ((50, 0.5), (95, 0.95), (99, 0.99))
    known = [(name, latency.quantile(share)) for name, share in shares]
    return ", ".join(f"p{name} {_span(one)}" for name, one in known if one is not None) or "no time"


def _span(seconds: float) -> str:
    """Three digits of *seconds*, which are measured in buckets no finer than that."""
    if seconds >= 99.95:
        return f"{seconds:.0f} s"
    return f"{seconds:.3g} s" if seconds >= 0.9995 else f"{1000 * seconds:.3g} ms"


def described(cache: str, one: StoredEntry) -> dict[str, Any]:
    """What *cache* tells of an entry, as JSON values; times are seconds since 1970, sizes bytes."""
    scope = {"tenant": one.scope.tenant, "user": one.scope.user, "session": one.scope.session}
    return {
        "key": one.key,
        "cache": cache,
        "model": one.model,
        "size": one.size,
        "stored_at": one.stored_at,
        "expires_at": one.expires_at,
        "tags": list(one.tags),
        "scope": scope,
    }


def entry_line(cache: str, one: StoredEntry, now: float) -> str:
    """The same as a line; *now* is in seconds since 1970."""
    parts = [one.key[:16], cache, one.model or "-", f"{one.size} bytes", f"{max(0.0, now - one.stored_at):.0f} s old"]
    parts.append(f"{max(0.0, one.expires_at - now):.0f} s left")
    parts += [f"tags {' '.join(one.tags)}"] if one.tags else []
    who = [f"{name} {value}" for name in ("tenant", "user") if (value := getattr(one.scope, name)) is not None]
    return "  ".join([*parts, *who])
