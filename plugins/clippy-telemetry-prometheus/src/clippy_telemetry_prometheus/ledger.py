"""What one audit record adds to the numbers."""

from __future__ import annotations

from math import inf
from operator import attrgetter
from typing import Any

from attrs import define, field
from clippy_hookspecs import AttemptRecord, AuditRecord, ErrorInfo, Usage
from clippy_hookspecs.services import Prices

from .metrics import (
    ATTEMPT_DURATION,
    ATTEMPTS,
    ATTEMPTS_REFUSED,
    COST,
    DURATION,
    FIRST_TOKEN,
    HOOK_FAILURES,
    LOOKUPS,
    REFUSALS,
    REQUESTS,
    RETRIES,
    SAVED,
    SAVED_TOKENS,
    SWITCHES,
    TOKENS,
)
from .names import Names
from .numbers import Count, Numbers, Spread

_MOST_LINES = 2000
"""Kinds of requests whose cells are held; beyond that they are looked up anew."""
_TELLING = frozenset({"failed", "refusal"})
_action, _hook = attrgetter("action"), attrgetter("hook")
_TYPES = ("input", "output", "cache_read", "cache_write", "reasoning")


@define(eq=False)
class _Line:
    """The cells of one kind of request, so that the next one of its kind looks none of them up."""

    model: str
    route: str
    who: tuple[str, str]
    requests: Count
    duration: Spread
    tokens: dict[tuple[str, bool], Count] = field(factory=dict)
    cost: Count | None = None


@define(eq=False)
class Ledger:
    """Enters records into *numbers*; *most* is how many values a label may have, *identity* whether callers are named.

    What a caller chose (the model) gets a value of its own only where it was answered: nobody can fill the labels with
    names that no provider knows.
    """

    numbers: Numbers
    most: int
    identity: bool
    _names: dict[str, Names] = field(factory=dict, init=False, repr=False)
    _lines: dict[Any, _Line] = field(factory=dict, init=False, repr=False)
    _life: int = field(default=0, init=False)

    def enter(self, record: AuditRecord, prices: Prices | None) -> None:
        """Count one request that is over.  Raises what *prices* raises, once the rest is counted."""
        dollars = None
        try:
            if prices is not None and record.usage is not None:
                dollars = prices.cost(_model(record) or "", record.usage)
        finally:
            self._enter(record, dollars)

    def _enter(self, record: AuditRecord, dollars: float | None) -> None:
        given, outcome = record.provenance, record.outcome
        source = "none" if given is None else given.source
        who = (record.scope.tenant, record.scope.user) if self.identity else None
        with self.numbers.lock:
            if self._life != self.numbers.life:
                self._life, self._lines = self.numbers.life, {}
            key = (_model(record), record.route, outcome, source, record.api, who)
            line = self._lines.get(key) or self._line(key, record, source)
            line.requests.value += 1
            if 0 <= record.duration < inf:
                bucket = line.duration.add(record.duration)
                line.duration.examples[bucket] = record.id, record.duration, record.time + record.duration
            if record.attempts:
                self._attempts(record)
            self._trace(record)
            if record.usage is not None:
                self._usage(record.usage, source, line, dollars)
            first = record.first_token
            if first is not None and record.stream and source in ("provider", "none") and 0 <= first < inf:
                self.numbers.spread(FIRST_TOKEN, line.model, line.route).add(first)

    def _line(self, key: Any, record: AuditRecord, source: str) -> _Line:
        numbers, scope = self.numbers, record.scope
        called = _model(record)
        model = self._named("model", called, new=record.outcome in ("answered", "cached"))
        api, route = self._named("api", record.api), self._named("route", record.route)
        who = (self._named("tenant", scope.tenant), self._named("user", scope.user)) if self.identity else ("", "")
        made = _Line(
            model,
            route,
            who,
            numbers.count(REQUESTS, api, model, route, record.outcome, source, *who),
            numbers.spread(DURATION, model, record.outcome),
        )
        if len(self._lines) < _MOST_LINES and (model == called or not called):
            self._lines[key] = made
        return made

    def _named(self, label: str, text: str | None, new: bool = True) -> str:
        names = self._names.get(label)
        if names is None:
            names = self._names[label] = Names(self.most)
        return names.shown(text, new)

    def _kind(self, error: ErrorInfo | None) -> str:
        """The kind of a failure, else its category; never its words."""
        if error is None:
            return ""
        return self._named("error", error.kind if error.kind not in ("", "unknown") else error.category)

    def _attempts(self, record: AuditRecord) -> None:
        before: AttemptRecord | None = None
        for attempt in record.attempts:
            route, error = self._named("route", attempt.route), self._kind(attempt.error)
            if before is not None:
                if before.route == attempt.route:
                    self.numbers.count(RETRIES, route, self._kind(before.error)).value += 1
                else:
                    self.numbers.count(SWITCHES, self._named("route", before.route), route).value += 1
            before = attempt
            if not attempt.sent:
                self.numbers.count(ATTEMPTS_REFUSED, route, error).value += 1
                continue
            status = "" if attempt.status is None else str(attempt.status)
            self.numbers.count(ATTEMPTS, route, status, error).value += 1
            if 0 <= attempt.duration < inf:
                self.numbers.spread(ATTEMPT_DURATION, route).add(attempt.duration)

    def _trace(self, record: AuditRecord) -> None:
        trace, given = record.trace, record.provenance
        # There are dozens of calls in a trace, so what may be of interest is looked for without a loop.
        if not _TELLING.isdisjoint(map(_action, trace)):
            self._told_by(record)
        if "cache_lookup" not in map(_hook, trace):
            return
        if given is None or given.source != "cache":
            self.numbers.count(LOOKUPS, "", "miss").value += 1
        else:
            cache = self._named("plugin", given.by)
            self.numbers.count(LOOKUPS, cache, "stale" if given.stale else "hit").value += 1

    def _told_by(self, record: AuditRecord) -> None:
        for call in record.trace:
            plugin = self._named("plugin", call.plugin)
            if call.action == "failed":
                self.numbers.count(HOOK_FAILURES, plugin, call.hook).value += 1
            elif call.action == "refusal" and record.outcome == "refused":
                self.numbers.count(REFUSALS, plugin, self._kind(record.error)).value += 1

    def _usage(self, usage: Usage, source: str, line: _Line, dollars: float | None) -> None:
        if source == "plugin":
            return  # a plugin's own answer took nothing, and nobody would have asked for it
        saved = source == "cache"
        for kind in _TYPES:
            tokens = getattr(usage, kind)
            if tokens <= 0:
                continue
            cell = line.tokens.get((kind, usage.estimated))
            if cell is None:
                if saved:
                    cell = self.numbers.count(SAVED_TOKENS, line.model, kind)
                else:
                    estimated = "true" if usage.estimated else "false"
                    cell = self.numbers.count(TOKENS, line.model, line.route, kind, estimated, *line.who)
                line.tokens[kind, usage.estimated] = cell
            cell.value += tokens
        if dollars is None or not 0 <= dollars < inf:
            return
        if line.cost is None:
            which = (SAVED, line.model) if saved else (COST, line.model, line.route, *line.who)
            line.cost = self.numbers.count(*which)
        line.cost.value += dollars


def _model(record: AuditRecord) -> str | None:
    """The model that answered, else the one that was asked."""
    return record.answering_model or record.model
