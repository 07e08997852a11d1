"""The scenes of the demo.  Each does one thing with a real client and says what proves that it happened."""

from __future__ import annotations

from typing import Any

from clippy_hookspecs import AuditRecord, Outcome, RequestContext

from ..testing import Fault, Reply
from .demo_flow import steered_stream
from .demo_outage import outage
from .demo_scene import Proof, Scene, Skipped, check, need
from .demo_sdks import Driver
from .demo_shared import shared_answers
from .demo_stage import Stage
from .demo_traces import audit_log, time_line
from .demo_words import COUNTED, answerer, attempt_facts, attempt_line, count, facts_of, ms, quoted, requests, source_of
from .screen import Line, Span, line

QUESTION = "What is a plugin? One short sentence."
ANSWER = "A plugin is code that a program calls without knowing it."
STORY = "Count from one to twelve in words."
PACE = 0.03
"""Seconds between two chunks, so that a stream can be seen streaming."""
RETRY_AFTER = 1.0


# --- calls -----------------------------------------------------------------------------------------------------------


def plain_call(stage: Stage) -> Proof:
    """A call that goes to the provider and comes back."""
    text, sent, record = _ask(stage, stage.primary, QUESTION, Reply(ANSWER))
    check(sent == 1, f"{requests(sent)} reached the provider, not 1")
    return Proof(f"{requests(sent)}, {ms(record.duration)}: {quoted(text)}", facts=facts_of(text, sent, record))


def cached_call(stage: Stage) -> Proof:
    """The same call again."""
    need(stage, "cache", "cache_lookup", "cache_store")
    check(bool(stage.recorder.records), "there was no call before this one")
    first = stage.recorder.records[-1]
    text, sent, record = _ask(stage, stage.primary, QUESTION)
    check(sent == 0 and source_of(record) == "cache", f"{requests(sent)}, the answer came from the {source_of(record)}")
    said = f"{requests(sent)}, {answerer(record)} in {ms(record.duration)} (the provider: {ms(first.duration)})"
    return Proof(said, facts=facts_of(text, sent, record))


def recovered_call(stage: Stage) -> Proof:
    """A call that meets two failures on its way."""
    need(stage, "retry", "on_error", "classify_error")
    faults = (Fault.status(503), Fault.status(429, retry_after=RETRY_AFTER))
    with Watching(stage):
        text, sent, record = _ask(stage, stage.primary, "Will it work in the end?", *faults, Reply("Yes, it did."))
    check(sent == len(record.attempts) == 3, f"{requests(sent)}, {len(record.attempts)} attempts, not 3")
    waited = record.attempts[2].waited
    check(waited >= RETRY_AFTER, f"waited {waited:.2f} s although the server asked for {RETRY_AFTER:g} s")
    below = [attempt_line(attempt) for attempt in record.attempts]
    facts = {**facts_of(text, sent, record), "attempts": [attempt_facts(attempt) for attempt in record.attempts]}
    return Proof(f"{requests(sent)}, the caller saw no error: {quoted(text)}", tuple(below), facts)


def other_sdk(stage: Stage) -> Proof:
    """Another SDK with another wire API, through the same host."""
    if stage.other is None:
        raise Skipped("no second SDK here: anthropic is not installed" + ("" if stage.server else ", or has no key"))
    text, sent, record = _ask(stage, stage.other, QUESTION, Reply(ANSWER))
    check(sent == 1, f"{requests(sent)} reached the provider, not 1")
    facts = {"client": stage.other.name, **facts_of(text, sent, record)}
    said = f"{stage.other.name}: {requests(sent)}"
    if stage.implementing("cache_lookup") and stage.implementing("cache_store"):
        _, again, second = _ask(stage, stage.other, QUESTION)
        check(again == 0, f"{requests(again)} when the call was made again")
        said += f", repeated {requests(again)} ({answerer(second)})"
        facts["requests_when_repeated"] = again
    return Proof(said, facts=facts)


# --- streams ---------------------------------------------------------------------------------------------------------


def mended_stream(stage: Stage) -> Proof:
    """A stream whose connection is reset after its role chunk and before its first token."""
    need(stage, "retry", "on_error", "classify_error")
    assert stage.server is not None
    broken = stage.server.counters["broken"]
    stage.acts.planned += [[Fault.reset(at_delta=0), Reply("never seen")], Reply(COUNTED, chunk_delay=PACE)]
    pieces, sent, record = _read(stage, "Count, even if the line breaks.")
    broken = stage.server.counters["broken"] - broken
    check(broken == 1 and sent == 2, f"{broken} connections broke and {requests(sent)}; 1 and 2 were planned")
    check("".join(pieces) == COUNTED, f"the caller read {''.join(pieces)!r}")
    said = f"{requests(sent)}, {broken} reset; the caller read {len(pieces)} chunks and no error"
    below = tuple(attempt_line(attempt) for attempt in record.attempts)
    return Proof(said, below, {**facts_of("".join(pieces), sent, record), "chunks": len(pieces), "broken": broken})


def replayed_stream(stage: Stage) -> Proof:
    """A stream that is asked for again from a new host, which has nothing in memory."""
    need(stage, "cache", "cache_lookup", "cache_store")
    stage.acts.planned.append(Reply(COUNTED, chunk_delay=PACE))
    first, sent, live = _read(stage, STORY)
    check(sent == 1, f"{requests(sent)} for the first stream, not 1")
    stage.restart()
    stage.acts.planned.clear()
    again, sent, record = _read(stage, STORY)
    if sent and not stage.writing_files("cache_store"):
        raise Skipped(f"{' and '.join(stage.implementing('cache_store'))} keeps nothing beyond the process")
    check(sent == 0, f"{requests(sent)}: the new host did not find the stored answer")
    check(first == again, f"{len(again)} chunks came back, {len(first)} were stored")
    said = f"{requests(sent)}, new host, the same {len(again)} chunks from {answerer(record)} in {ms(record.duration)}"
    facts = {**facts_of("".join(again), sent, record), "chunks": len(again), "seconds_live": live.duration}
    return Proof(said, facts=facts)


# --- what is left behind ---------------------------------------------------------------------------------------------


def one_request(stage: Stage) -> Proof:
    """What each plugin did in one request."""
    records = stage.recorder.records
    if not records:
        raise Skipped("nothing to see: no request was made")
    short = [one for one in records if len(one.attempts) < 4]
    record = max(short, key=lambda one: (len(one.attempts), one.stream is False))
    shown = time_line(record, stage.recorder.contexts[records.index(record)])
    if not any(step.ns for step in shown if not step.provider):
        raise Skipped("nothing to see: no plugin took part in any request")
    total = sum(step.ns for step in shown if not step.provider)
    plugins = {step.plugin for step in shown if not step.provider}
    said = f"{count(len(plugins), 'plugin')} took {total / 1000:,.0f} µs of {count(len(record.attempts), 'attempt')}"
    return Proof(said, tuple(step.line() for step in shown), {"id": record.id, "steps": [s.facts() for s in shown]})


def audit_records(stage: Stage) -> Proof:
    """The files that the audit plugins wrote."""
    need(stage, "audit", "audit")
    stage.host.close()
    ids = [record.id for record in stage.recorder.records]
    found = audit_log(stage.folder, ids)
    if not found.records and not stage.writing_files("audit"):
        raise Skipped(f"{' and '.join(stage.implementing('audit'))} wrote no file")
    check(sorted(found.ids) == sorted(ids), f"{len(found.ids)} records for {len(ids)} requests")
    leaks = found.files_with(*stage.secrets)
    check(not leaks, f"the API key stands in {', '.join(leaks)}")
    said = f"{count(len(found.ids), 'call')}, one record each in {', '.join(found.names)}; no file holds the API key"
    return Proof(said, tuple(found.lines(6)), {"files": list(found.names), "records": found.records})


SCENES = (
    Scene("plain", "A plain call", plain_call),
    Scene("cached", "The same call from the cache", cached_call),
    Scene("recovered", "503, then 429 with Retry-After", recovered_call, staged=True),
    Scene("mended", "A stream cut before its 1st token", mended_stream, staged=True),
    Scene("other", "Another SDK, the same host", other_sdk),
    Scene("replayed", "A stream replayed from the disk", replayed_stream),
    Scene("shared", "One answer for many calls", shared_answers, staged=True),
    Scene("flow", "A stream paused, slowed and resumed", steered_stream, staged=True),
    # the last that asks: its breaker may be in a file, and still open for the next host
    Scene("outage", "A provider that is down", outage, staged=True),
    Scene("timeline", "The time line of one request", one_request),
    Scene("audit", "The audit records", audit_records),
)


# --- small things ----------------------------------------------------------------------------------------------------


def _ask(stage: Stage, driver: Driver, prompt: str, *acts: Any) -> tuple[str, int, AuditRecord]:
    """Ask once; the text, the requests that reached the provider, and the record."""
    stage.acts.planned.extend(acts)
    before, sent = len(stage.recorder.records), stage.sent
    text = driver.chat(stage.host, prompt)
    check(len(stage.recorder.records) == before + 1, "the request was not recorded exactly once")
    replies = [act.text for act in acts if isinstance(act, Reply)]
    if stage.server is not None and replies:
        check(text == replies[-1], f"the caller got {text!r}, the provider said {replies[-1]!r}")
    return text, stage.sent - sent, stage.recorder.records[-1]


def _read(stage: Stage, prompt: str) -> tuple[list[str], int, AuditRecord]:
    """Read a stream and show it as it comes; its chunks' texts, the requests that went out, and the record."""
    before, sent = len(stage.recorder.records), stage.sent
    pieces: list[str] = []
    for piece in stage.primary.stream(stage.host, prompt):
        pieces.append(piece)
        stage.show(line("      ", Span(stage.hide("".join(pieces)), "dim")))
    check(len(stage.recorder.records) == before + 1, "the request was not recorded exactly once")
    return pieces, stage.sent - sent, stage.recorder.records[-1]


class Watching:
    """Show attempts while they fail."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.lines = stage, list[Line]()

    def __enter__(self) -> None:
        self.stage.recorder.watch = self._tell

    def __exit__(self, *_: object) -> None:
        self.stage.recorder.watch = None

    def _tell(self, outcome: Outcome, ctx: RequestContext) -> None:
        then = "" if outcome.state == "ok" else ", waiting"
        self.lines.append(line(f"      attempt {ctx.attempt}: HTTP {outcome.status}{then}"))
        self.stage.show(*self.lines)
