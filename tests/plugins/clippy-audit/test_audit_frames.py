"""Lines put together around what is remembered are those that would be made anew."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from attrs import evolve
from clippy_audit.cleaner import Cleaner
from clippy_audit.frames import MOST, framed, headed
from clippy_audit.lines import encode
from clippy_audit.record import describe, micros, timestamp
from clippy_hookspecs import AuditRecord, ErrorInfo, HookCall, Provenance, Scope, Usage
from clippy_hookspecs.records import AttemptRecord
from hypothesis import given
from hypothesis import strategies as st

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
            line = remembered(one, clean)
            assert line == made_anew(one, clean) or (line is None and one.model == "\x00")
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
        {"duration": math.inf},
        {"first_token": math.nan},
        {"usage": Usage(input=1 << 70)},
        {"id": ""},
        {"id": "one, and two"},
        {"id": "caf\xe9"},
        {"id": "\x7f"},
        {"id": "\ud800"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_goes_no_usual_way_is_described_anew(change):
    clean, usual = Cleaner(), evolve(PLAIN, provenance=Provenance(), usage=Usage(1, 1), attempts=(ATTEMPT,))
    assert remembered(usual, clean) == made_anew(usual, clean)
    assert framed(evolve(usual, **change), clean) is None


@pytest.mark.parametrize("id", ["one, and two", "0123456789abcdef"])
def test_no_text_moves_another_to_its_place(id):  # noqa: A002 - the field's name
    """A model that looks like a hole, and an id that looks like two values: together they would fit."""
    clean, record = Cleaner(), evolve(PLAIN, provenance=Provenance(), model="\x00", id=id)
    assert [remembered(record, clean), remembered(record, clean)] == [None, None]


@pytest.mark.parametrize(
    "change", [{"answering_model": "another"}, {"ended_by": "caller"}], ids=lambda change: next(iter(change))
)
def test_what_one_record_says_is_not_said_of_the_next(change):
    """Each field that a line may have is a part of what its frame is remembered by."""
    clean, plain = Cleaner(), evolve(PLAIN, provenance=Provenance(), usage=Usage(1, 1), attempts=(ATTEMPT,))
    for record in (plain, evolve(plain, **change), plain):
        assert remembered(record, clean) == made_anew(record, clean)


def test_a_trace_has_the_numbers_that_it_was_told_however_large():
    calls = (HookCall("p", "pre_request", "passed", 1 << 70), HookCall("q", "on_chunk", "passed", 0, 1 << 65))
    line = remembered(evolve(PLAIN, provenance=Provenance(), trace=calls), Cleaner())
    assert line is not None
    assert b'"ns":1180591620717411303424,"calls":1}' in line
    assert b'"ns":0,"calls":36893488147419103232}' in line


def test_an_id_that_a_secret_stands_in_is_taken_out():
    clean, record = Cleaner(("beef",)), evolve(PLAIN, provenance=Provenance(), id="0123beef89abcdef")
    assert remembered(record, clean) == made_anew(record, clean)
    assert b"beef" not in (remembered(record, clean) or b"beef")


@given(st.floats(-1e12, 1e12))
def test_a_number_of_seconds_has_microseconds(value):
    assert abs(micros(value) - value) <= max(5.1e-7, abs(value) * 2**-52)
    assert abs(value) > 1e9 or micros(value) == round(micros(value), 6)


@given(st.floats(0, 2e10) | st.floats(1e9, 1e10) | st.integers(0, 10**11))
def test_a_time_is_told_to_the_microsecond(seconds):
    told = timestamp(seconds)
    meant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    assert told is not None
    assert len(told) == len("2026-01-01T00:00:00.000000Z")
    assert abs(datetime.fromisoformat(told) - meant) <= timedelta(microseconds=1)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, 1e300, 1e13])
def test_what_is_no_time_is_not_told(seconds):
    assert timestamp(seconds) is None
