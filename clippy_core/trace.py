"""``CLIPPY_TRACE``: what became of each request, on stderr or in a file; never content, never a key.

Tracing is one more recorder at the end of the audit chain.  A host that is not traced has no such step, so that it
costs nothing.  With it answers are decoded and hook calls timed, as under any plugin that records.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from clippy_hookspecs import AttemptRecord, AuditRecord, ErrorInfo, HookCall, PluginError

from .chains import Step, compile_step
from .config import Config, HostConfig
from .config_host import Tracing
from .config_values import RawText

VARIABLE = "CLIPPY_TRACE"
_LONGEST = 80
"""Letters of a name that a caller or a provider chose."""


def trace_steps(config: Config) -> tuple[Step, ...]:
    """The step that traces, for the end of the audit chain; none for a host that is not traced.

    The setting ``trace`` decides, and where a configuration does not speak of it the environment's CLIPPY_TRACE: also
    for hosts that read nothing else from there.  Raises ConfigError when that means nothing.
    """
    wanted = _wanted(config)
    if wanted is False:
        return ()
    file = wanted if isinstance(wanted, Path) else None
    as_json = wanted == "json" or (file is not None and file.suffix in (".json", ".jsonl"))
    return (compile_step("audit", "trace", "of the host", Trace(as_json, file).audit, "skip"),)


def _wanted(config: Config) -> Tracing:
    text = config.environ.get(VARIABLE, "").strip()
    if "trace" in config.tree or not text:
        return config.host.trace
    from .config_structure import structure  # no other part of a host without a configuration needs it

    return structure(HostConfig, {"trace": RawText(text)}, origin=lambda _: f"environment {VARIABLE}").trace


@frozen
class Trace:
    """Writes one block of lines for each request, or one line of JSON; ``file`` None is stderr."""

    as_json: bool = False
    file: Path | None = None

    def audit(self, record: AuditRecord) -> None:
        """Write *record*.  In one piece, so that blocks of several threads or processes stay whole."""
        text = json.dumps(document(record)) if self.as_json else "\n".join(lines(record))
        if self.file is not None:
            # Opened for each record: the file may be moved away meanwhile, and after a fork nothing is shared.
            try:
                file = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            except OSError as error:  # told once, as any failure of a step, but by the name that the user gave
                what = f"the trace could not be written to {self.file} ({error.strerror}; is its folder there?)"
                raise PluginError(what, "trace", "audit") from error
            try:
                os.write(file, f"{text}\n".encode())
            finally:
                os.close(file)
        elif sys.stderr is not None:  # a program without a terminal may have none
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def document(record: AuditRecord) -> dict[str, Any]:
    """*record* as JSON: numbers, names and decisions.  Milliseconds, but ``us`` is microseconds and ``time`` unix."""
    usage, provenance = record.usage, record.provenance
    return {
        "id": record.id,
        "parent": record.parent,
        "time": round(record.time, 3),
        "outcome": record.outcome,
        "status": record.status,
        "target": _target(record),
        "model": _name(record.model),
        "route": record.route or None,
        "stream": record.stream,
        "ms": _ms(record.duration),
        "first_token_ms": _ms(record.first_token),
        "finish_reason": _name(record.finish_reason),
        "error": _kind(record.error),
        "answered_by": provenance and {"source": provenance.source, "plugin": provenance.by},
        "tokens": usage and {"input": usage.input, "output": usage.output, "estimated": usage.estimated},
        "attempts": [
            {
                "number": attempt.number,
                "route": attempt.route or None,
                "status": attempt.status,
                "error": _kind(attempt.error),
                "waited_ms": _ms(attempt.waited),
                "ms": _ms(attempt.duration),
                "sent": attempt.sent,
            }
            for attempt in record.attempts
        ],
        "plugins": [
            {"plugin": call.plugin, "hook": call.hook, "did": call.action, "us": call.ns // 1000, "calls": call.calls}
            for call in record.trace
        ],
    }


def lines(record: AuditRecord) -> Iterator[str]:
    """*record* for a person: what came of it, its attempts if it took several, and what each plugin did."""
    yield " ".join(part for part in _summary(record) if part)
    if len(record.attempts) > 1 or any(attempt.error for attempt in record.attempts):
        yield from (f"  {_attempt(attempt)}" for attempt in record.attempts)
    by_plugin: dict[str, list[HookCall]] = {}
    for call in record.trace:
        by_plugin.setdefault(call.plugin, []).append(call)
    width = max(map(len, by_plugin), default=0)
    for plugin, calls in by_plugin.items():
        yield f"  {plugin:<{width}}  {', '.join(map(_call, calls))}"


def _summary(record: AuditRecord) -> Iterator[str]:
    yield f"clippy {record.id} {record.outcome}"
    yield str(record.status or "")
    yield _name(record.model) or ""
    yield _target(record)
    yield "stream" if record.stream else ""
    yield f"{record.duration:.3f}s"
    yield f"(first token {record.first_token:.3f}s)" if record.first_token is not None else ""
    if record.usage is not None:
        about = "about " if record.usage.estimated else ""
        yield f"{about}{record.usage.input}+{record.usage.output} tokens"
    if record.provenance is not None and record.provenance.by:
        yield f"by {record.provenance.by}"
    yield _kind(record.error) or ""
    yield f"asked by {record.parent}" if record.parent else ""


def _attempt(attempt: AttemptRecord) -> str:
    parts = (
        f"attempt {attempt.number}",
        attempt.route,
        str(attempt.status or ""),
        _kind(attempt.error) or "ok",
        "" if attempt.sent else "not sent",
        f"{attempt.duration:.3f}s",
        f"after {attempt.waited:.3f}s" if attempt.waited else "",
    )
    return " ".join(part for part in parts if part)


def _call(call: HookCall) -> str:
    times = f" x{call.calls}" if call.calls > 1 else ""
    return f"{call.hook} {call.action} {call.ns // 1000}us{times}"


def _target(record: AuditRecord) -> str:
    """Whose API, and for a call of none of ours its method and host: a path may hold a key."""
    return record.api or f"{record.method} {urlsplit(record.url).hostname or '-'}"


def _kind(error: ErrorInfo | None) -> str | None:
    """What kind of failure it was; its message may quote a prompt."""
    return None if error is None else f"{error.category}/{_name(error.kind)}"


def _name(text: str | None) -> str | None:
    """A name that somebody else chose: short, and nothing in it can act on a terminal."""
    if text is None:
        return None
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return shown if shown.isprintable() else ascii(shown)[1:-1]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
