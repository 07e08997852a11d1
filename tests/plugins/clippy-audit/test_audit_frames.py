"""Lines put together around what is remembered are those that would be made anew."""

from __future__ import annotations

import math
from itertools import product

import pytest
from attrs import evolve
from clippy_audit.cleaner import Cleaner
from clippy_audit.frames import MOST, framed, headed
from clippy_audit.lines import encode
from clippy_audit.record import describe
from clippy_hookspecs import AuditRecord, ErrorInfo, HookCall, Provenance, Scope, Usage
from clippy_hookspecs.records import AttemptRecord

ATTEMPT = AttemptRecord(1, "main", 200, None, 0.0, 0.0123456789)
TRACE = (HookCall("p", "pre_request", "passed", 1200), HookCall("q", "on_chunk", "changed", 5, 7))
PLAIN = AuditRecord("0123456789abcdef", "answered", 1.5, 0.25, "openai.chat", "POST", "http://p/v1/chat/completions")


def made_anew(record: AuditRecord, clean: Cleaner) -> bytes:
    return encode({"v": 1, "seq": 3}, describe(record, "standard", clean), 1 << 20)


def remembered(record: AuditRecord, clean: Cleaner) -> bytes | None:
    rest = framed(record, clean)
    return None if rest is None else headed({"v": 1, "seq": 3}, rest)


def usual() -> list[AuditRecord]:
    """Records that differ in everything that one may have or not, and in its numbers."""
    parts = product(
        (None, Usage(), Usage(12, 7, cache_read=3)),
        (Provenance(), Provenance("cache", "cache-memory", "main", 12.3456789, reason="similar 0.97")),
        (None, 1e-7),
        ((), (ATTEMPT,), (evolve(ATTEMPT, sent=False, waited=2.0, status=None),)),
        ((), TRACE),
        (Scope(), Scope("acme", "ada@example.org", "s")),
        ("m", None, "mödel", "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD", "\x00", "\x7f"),
    )
    return [
        evolve(
            PLAIN, usage=used, provenance=by, first_token=first, attempts=tried, trace=trace, scope=whose, model=model,
            duration=place * 0.1, id=f"{place:016x}", stream=place % 2 == 0,
        )
        for place, (used, by, first, tried, trace, whose, model) in enumerate(parts)
    ]  # fmt: skip


def test_a_record_around_a_remembered_frame_is_the_line_that_would_be_made_anew():
    """Whether its frame is remembered yet or not, and whatever was remembered before."""
    clean = Cleaner(("my-own-secret",))
    for record in usual():
        for one in (record, evolve(record, duration=7.0, id="a name my-own-secret", usage=record.usage)):
            given = remembered(one, clean)
            assert given == made_anew(one, clean) or (given is None and one.model == "\x00")
    assert 0 < len(clean.frames) <= MOST
    assert "my-own-secret" not in repr([*clean.frames.values()])


@pytest.mark.parametrize(
    "change",
    [
        {"error": ErrorInfo("transient", "timeout")},
        {"parent": "0123456789abcdef"},
        {"provenance": None},
        {"attempts": (ATTEMPT, evolve(ATTEMPT, number=2))},
        {"attempts": (evolve(ATTEMPT, error=ErrorInfo("transient", "timeout")),)},
        {"duration": math.nan},
        {"usage": Usage(input=1 << 70)},
        {"id": ""},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_goes_no_usual_way_is_described_anew(change):
    clean, usual = Cleaner(), evolve(PLAIN, provenance=Provenance(), usage=Usage(1, 1), attempts=(ATTEMPT,))
    assert remembered(usual, clean) == made_anew(usual, clean)
    assert framed(evolve(usual, **change), clean) is None
