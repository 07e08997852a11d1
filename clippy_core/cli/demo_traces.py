"""What requests leave behind: the steps of one as a time line, and the records that an audit plugin wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from clippy_hookspecs import AttemptRecord, AuditRecord, HookCall, RequestContext

from .demo_stage import RECORDER
from .screen import Line, Span, line

_AFTER_SENDING = frozenset({"classify_error", "post_attempt", "on_error", "on_chunk", "on_response", "cache_store"})
_STYLES = {
    "passed": "dim",
    "hit": "good",
    "retry": "warn",
    "failed": "bad",
    "classified": "warn",
}
_LARGEST = 4 * 1024 * 1024
"""Bytes of a file that is looked into."""


@frozen
class Step:
    """One line of a time line: a hook call, or the provider's part."""

    plugin: str
    hook: str
    decision: str
    ns: int
    provider: bool = False

    def line(self) -> Line:
        """The step with its time."""
        style = "name" if self.provider else _STYLES.get(self.decision, "")
        name = Span(f"{self.plugin:<20} ", "name" if self.provider else "")
        return line(
            "      ", name, f"{self.hook:<18}", Span(f"{self.decision:<14}", style), f"{self.ns / 1000:>12,.0f} µs"
        )

    def facts(self) -> dict[str, Any]:
        """The step as data."""
        return {
            "plugin": self.plugin,
            "hook": self.hook,
            "decision": self.decision,
            "microseconds": round(self.ns / 1000, 3),
        }


def time_line(record: AuditRecord, ctx: RequestContext) -> list[Step]:
    """The hook calls of a request in their order, with the attempts where they were made."""
    attempts = list(record.attempts)
    steps: list[Step] = []
    due = True
    for call in ctx.trace:
        if due and attempts and call.hook in _AFTER_SENDING:
            steps.append(_sent(attempts.pop(0)))
            due = False
        if call.plugin != RECORDER:
            steps.append(_called(call))
        due = due or call.action in ("retry", "switch")
    return steps


def _called(call: HookCall) -> Step:
    times = "" if call.calls == 1 else f" ×{call.calls}"
    return Step(call.plugin, call.hook, f"{call.action}{times}", call.ns)


def _sent(attempt: AttemptRecord) -> Step:
    answered = f"HTTP {attempt.status}" if attempt.status else "no answer"
    result = answered if attempt.sent else "not sent"
    return Step("→ provider", f"attempt {attempt.number}", result, int(attempt.duration * 1e9), provider=True)


# --- records on disk -------------------------------------------------------------------------------------------------


@define(eq=False)
class AuditLog:
    """The records that were found in files, and whose they are."""

    folder: Path
    records: list[dict[str, Any]] = field(factory=list)
    ids: list[str] = field(factory=list)
    names: tuple[str, ...] = ()

    def lines(self, count: int) -> Iterator[Line]:
        """The last *count* kinds of records, the newest of each in a line: equal ones in a row say nothing."""
        kinds: dict[str, dict[str, Any]] = {}
        for record in reversed(self.records):
            kinds.setdefault(_kind(record), record)
        for record in reversed([*kinds.values()][:count]):
            yield line("      ", Span(_summary(record), "dim"))

    def files_with(self, *texts: str) -> list[str]:
        """The names of all files in the folder that hold one of *texts*."""
        return [
            path.name
            for path in _files(self.folder)
            if any(text and text.encode() in path.read_bytes() for text in texts)
        ]


def audit_log(folder: Path, ids: Sequence[str]) -> AuditLog:
    """The JSON lines below *folder* that name one of the requests *ids*, whoever wrote them."""
    wanted, log, names = set(ids), AuditLog(folder), dict[str, None]()
    for path in _files(folder):
        for record in _json_lines(path):
            found = [value for value in record.values() if isinstance(value, str) and value in wanted]
            if found:
                log.records.append(record)
                log.ids.append(found[0])
                names[path.name] = None
    log.names = tuple(names)
    return log


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size <= _LARGEST)


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    for text in path.read_bytes().splitlines():
        if text.startswith(b"{"):
            try:
                record = json.loads(text)
            except ValueError:
                continue  # a file of another kind
            if isinstance(record, dict):
                yield record


_KIND = ("outcome", "provenance", "route", "api", "model", "status")
_TELLING = ("id", "outcome", "provenance", "route", "status", "attempts", "duration", "usage", "model")


def _kind(record: dict[str, Any]) -> str:
    """What a record tells beside its own numbers: who answered, and how it ended."""
    return "  ".join(_named(record, _KIND)) or _summary(record)


def _summary(record: dict[str, Any]) -> str:
    """The telling fields of a record, if it has them by the names of AuditRecord; else those that are short."""
    return "  ".join(_named(record, _TELLING) or _named(record, [*record][:6]))


def _named(record: dict[str, Any], names: Sequence[str]) -> list[str]:
    return [f"{name}={_short(record[name])}" for name in names if name in record]


def _short(value: Any) -> str:
    if isinstance(value, dict) and "source" in value:
        by, why = value.get("by"), value.get("reason")
        return str(by or value["source"]) + (f" ({why})" if why else "")
    if isinstance(value, dict):
        return "+".join(str(number) for number in value.values() if type(number) in (int, float))
    if isinstance(value, list):
        return str(len(value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:40]
