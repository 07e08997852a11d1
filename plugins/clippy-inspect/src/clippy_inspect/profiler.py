"""Where a request's time goes: plugins and their hooks, the provider, waits, and the host itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from attrs import asdict, frozen
from clippy_recorder import Exchange

from .parts import Parts, added, end_of, parts_of
from .spreads import Spread, spread

SLOW_SHARE: Final = 0.05
SLOW_NS: Final = 1_000_000
"""A plugin is called slow if it takes this share of the time that requests take, and this long for each of them."""


@frozen
class Cost:
    """What one hook of one plugin took: ``total`` in nanoseconds, ``share`` of the time of all requests.

    ``each`` are nanoseconds of one call; of on_chunk, of one chunk.
    """

    plugin: str
    hook: str
    calls: int
    total: int
    share: float
    each: Spread
    failed: int


@frozen
class Plugin:
    """What all hooks of one plugin took: ``total`` nanoseconds, ``each`` of one request, ``share`` of all their time.

    ``worst`` is the hook that took most of it, ``calls`` how often it was called.  ``chunk`` are nanoseconds of one
    chunk, as the median; None where it looks at none.
    """

    name: str
    total: int
    each: float
    share: float
    worst: str
    calls: int
    chunk: int | None


@frozen
class Profile:
    """All of it; times in nanoseconds.  ``wall`` is the time of all requests together, and the parts add up to it."""

    requests: int
    wall: int
    parts: Parts
    costs: tuple[Cost, ...]
    plugins: tuple[Plugin, ...] = ()

    @property
    def slow(self) -> tuple[str, ...]:
        """A sentence for each plugin that takes more than its share."""
        return tuple(map(_said, filter(_is_slow, self.plugins)))

    @property
    def measured(self) -> float:
        """The share of the wall time that was measured part by part, and is not the rest."""
        return 1.0 if self.wall == 0 else (self.wall - self.parts.host) / self.wall


def profile(exchanges: Sequence[Exchange]) -> Profile:
    """Where the time of those *exchanges* went that are over."""
    over = [one for one in exchanges if one.duration is not None]
    calls: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    failed: dict[tuple[str, str], int] = defaultdict(int)
    for exchange in over:
        for step in exchange.steps:
            calls[step.plugin, step.hook].append((step.ns, step.calls))
            failed[step.plugin, step.hook] += step.action == "failed"
    wall = sum((one.duration or 0) * 1000 for one in over)
    costs = [
        Cost(
            plugin,
            hook,
            sum(count for _, count in taken),
            (total := sum(ns for ns, _ in taken)),
            total / wall if wall else 0.0,
            spread(ns // max(1, count) for ns, count in taken),
            failed[plugin, hook],
        )
        for (plugin, hook), taken in calls.items()
    ]
    costs.sort(key=lambda cost: (-cost.total, cost.plugin, cost.hook))
    return Profile(len(over), wall, added(map(parts_of, over)), tuple(costs), _plugins(costs, wall, len(over)))


def _plugins(costs: Sequence[Cost], wall: int, requests: int) -> tuple[Plugin, ...]:
    """The sums of *costs*, the dearest first."""
    by_plugin: dict[str, list[Cost]] = defaultdict(list)
    for cost in costs:
        by_plugin[cost.plugin].append(cost)
    made = []
    for name, its in by_plugin.items():
        total, worst = sum(cost.total for cost in its), max(its, key=lambda cost: cost.total)
        chunk = next((cost.each.p50 for cost in its if cost.hook == "on_chunk"), None)
        share = total / wall if wall else 0.0
        made.append(Plugin(name, total, total / max(1, requests), share, worst.hook, worst.calls, chunk))
    return tuple(sorted(made, key=lambda one: (-one.total, one.name)))


def _is_slow(one: Plugin) -> bool:
    return one.share >= SLOW_SHARE and one.each >= SLOW_NS


def _said(one: Plugin) -> str:
    return (
        f"{one.name} takes {one.share:.0%} of the time, {one.each / 1e6:.1f} ms of a request, "
        f"most of it in {one.worst} ({one.calls} calls)"
    )


# --- flame graphs -------------------------------------------------------------------------------------------------


def speedscope(exchanges: Sequence[Exchange], name: str = "clippy") -> dict[str, Any]:
    """The requests as evented profiles of speedscope's file format (one profile for each request, in microseconds).

    Below a request lie its attempts and waits, below these the hooks that ran in them.
    """
    frames: dict[str, int] = {}

    def frame(title: str) -> int:
        return frames.setdefault(title, len(frames))

    profiles = [_evented(one, frame) for one in exchanges if one.duration is not None]
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": "clippy",
        "name": name,
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": title} for title in frames]},
        "profiles": profiles,
    }


@frozen
class _Span:
    begin: int
    end: int
    title: str


def _evented(exchange: Exchange, frame: Any) -> dict[str, Any]:
    total = exchange.duration or 0
    spans = [_Span(0, total, f"{exchange.api or exchange.method} {exchange.model or ''}".strip())]
    for attempt in exchange.attempts:
        if attempt.waited:
            spans.append(_Span(attempt.at - attempt.waited, attempt.at, "wait"))
        spans.append(_Span(attempt.at, end_of(exchange, attempt), f"attempt {attempt.route or attempt.url}"))
    for step in exchange.steps:
        begin = step.at if step.hook == "on_chunk" else step.at - step.ns // 1000
        spans.append(_Span(begin, begin + step.ns // 1000, f"{step.plugin} {step.hook}"))
    events: list[dict[str, Any]] = []
    for span in _nested(spans, total):
        events.append(span)
    opened = [
        {"type": event["type"], "frame": frame(event["frame"]), "at": event["at"]} for event in events
    ]  # fmt: skip
    return {
        "type": "evented",
        "name": f"{exchange.id} {exchange.state}",
        "unit": "microseconds",
        "startValue": 0,
        "endValue": total,
        "events": opened,
    }


def _nested(spans: Sequence[_Span], total: int) -> list[dict[str, Any]]:
    """Open and close events in order; a span that crosses the end of the one around it ends with that one."""
    ordered = sorted(spans, key=lambda span: (max(0, span.begin), -span.end))
    events: list[dict[str, Any]] = []
    stack: list[_Span] = []
    for span in ordered:
        begin = min(max(0, span.begin), total)
        while stack and stack[-1].end <= begin:
            done = stack.pop()
            events.append({"type": "C", "frame": done.title, "at": done.end})
        begin = max(begin, events[-1]["at"] if events else 0)
        end = min(max(begin, span.end), stack[-1].end if stack else total)
        stack.append(_Span(begin, end, span.title))
        events.append({"type": "O", "frame": span.title, "at": begin})
    while stack:
        done = stack.pop()
        events.append({"type": "C", "frame": done.title, "at": max(done.end, events[-1]["at"])})
    return events


def as_json(made: Profile) -> dict[str, Any]:
    """The profile as plain values, in nanoseconds."""
    return {
        "requests": made.requests,
        "wall": made.wall,
        "parts": asdict(made.parts),
        "measured": made.measured,
        "slow": list(made.slow),
        "plugins": [asdict(one) for one in made.plugins],
        "costs": [
            {
                "plugin": one.plugin,
                "hook": one.hook,
                "calls": one.calls,
                "total": one.total,
                "share": one.share,
                "p50": one.each.p50,
                "p95": one.each.p95,
                "p99": one.each.p99,
                "failed": one.failed,
            }
            for one in made.costs
        ],
    }
