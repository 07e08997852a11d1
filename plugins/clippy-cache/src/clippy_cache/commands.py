"""``clippy cache``: what caches did and what they keep, and how to change that."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from .statistics import Latency, Saving, Statistics
from .visible import say


def cache_group(cli: Any, statistics: Callable[[], Statistics]) -> click.Group:
    """The commands; ``cli`` opens hosts, *statistics* reads what all programs counted."""

    @click.group("cache", help="Show, drop and fill what caches keep.")
    def cache() -> None: ...

    @cache.command("stats", help="Show what caches did: hits, misses and why, and what they saved.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    def stats(as_json: bool) -> None:
        found = statistics()
        if as_json:
            click.echo(json.dumps(found.document(), indent=2))
            return
        for line in told(found):
            say(line)

    return cache


def told(found: Statistics) -> list[str]:
    """Statistics as lines for people."""
    if not found.requests:
        return ["no requests were counted"]
    rate = "" if found.hit_rate is None else f", {100 * found.hit_rate:.1f} % of those that could be hits"
    lines = [
        f"{found.requests} requests, {sum(found.hits.values())} hits{rate}; providers were asked {found.attempts} times"
    ]
    lines += _table("hits", {f"{kind} from {by}" if by else kind: count for (kind, by), count in found.hits.items()})
    lines += _table("misses", found.misses)
    lines += _table("never looked up", found.others)
    lines += _table("stored", found.stored)
    lines += _table("not stored", found.not_stored)
    lines += [f"saved: {_saving(found.saved)}", f"spent: {_saving(found.spent)}"]
    lines += [f"hits took {_latency(found.hit_latency)}", f"misses took {_latency(found.miss_latency)}"]
    return lines


def _table(title: str, counts: Any) -> list[str]:
    if not counts:
        return []
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [f"{title}:", *(f"  {count:>8}  {name}" for name, count in ordered)]


def _saving(saving: Saving) -> str:
    parts = [f"{saving.input} + {saving.output} tokens", f"${saving.dollars:.4f}"]
    parts += [f"(price of {saving.unpriced} answers not known)"] if saving.unpriced else []
    parts += [f"{saving.seconds:.1f} s"] if saving.seconds else []
    parts += [f"(time of {saving.untimed} answers not known)"] if saving.untimed else []
    return ", ".join(parts)


def _latency(latency: Latency) -> str:
    if not latency.count:
        return "-"
    shares = ((50, 0.5), (95, 0.95), (99, 0.99))
    return ", ".join(f"p{name} {1000 * (latency.quantile(share) or 0.0):.3g} ms" for name, share in shares)
