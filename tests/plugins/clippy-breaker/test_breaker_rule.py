"""The pure rule, and the text it is kept as."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import pytest
from attrs import evolve
from clippy_breaker.record import FORGET, HEALTHY, MOST_MODELS, ROUTE, Record, dump, load
from clippy_breaker.rule import CLOCK_SKEW, CLOSED, Machine, Mark, Rule
from hypothesis import given
from hypothesis import strategies as st

RULE = Rule()


def after(
    marks: str, machine: Machine = CLOSED, *, start: float = 1000.0, step: float = 0.1, rule: Rule = RULE
) -> Machine:
    """A breaker after attempts that ended so, one by one; it stops at the first that opens it."""
    for number, mark in enumerate(marks):
        if machine.until is not None:
            break
        now = start + number * step
        machine = rule.after(machine, [(now, mark)], now, why="overloaded")  # type: ignore[list-item]
    return machine


def test_ten_failures_in_a_row_open_it() -> None:
    """Nine do not, nor do ten with a success among them."""
    assert after("f" * 9).until is None
    assert after("f" * 9 + "." + "f" * 9).until is None
    opened = after("." * 50 + "f" * 10)
    assert opened.state(1006.0) == "open"
    assert opened.why == "10 failures in a row, the last: overloaded"


def test_failures_in_a_row_count_however_far_apart_they_are() -> None:
    """Where each attempt ends in a timeout of a minute, ten of them take ten minutes."""
    assert after("f" * 10, step=70.0).until is not None


def test_three_fifths_of_the_last_fifty_open_it() -> None:
    """With at least 30 of them, and none older than a minute."""
    mixed = "fff.." * 5 + "ffff"
    assert len(mixed) == 29
    assert after(mixed).until is None
    assert after(mixed + "f").why == "20 of 30 attempts failed, the last: overloaded"
    assert after("." * 50 + "fff..ff.f." * 2).until is None
    assert after(("fff.." * 20), step=2.5).until is None, "24 attempts in a minute are too few"


def test_a_success_never_opens_it() -> None:
    """Also where it is the thirtieth attempt, of which many failed."""
    closed = after("ffff.." * 4 + "fffff")
    assert (closed.until, sum(mark == "f" for _, mark in closed.marks)) == (None, 21)
    assert after("." * 5, closed).until is None


def test_slow_attempts_open_it_when_four_fifths_are_slow_or_failed() -> None:
    """Slow ones alone are no failures in a row."""
    assert after("s" * 29).until is None
    assert after("s" * 30).why == "30 of 30 attempts were slow and 0 failed, the last: overloaded"
    assert after("sss." * 12).until is None


@given(st.integers(0, 10**9), st.floats(0.8, 1.2), st.none() | st.floats(allow_nan=True, allow_infinity=True))
def test_an_open_time_stays_within_its_bounds(turn: int, jitter: float, asked: float | None) -> None:
    """Doubled each turn, at least what the server asked for, never above max_open, always a number."""
    opened = RULE.opened(Machine(turn=turn), 1000.0, asked=asked, jitter=jitter)
    base = min(120.0, 10.0 * 2.0 ** min(turn, 30) * jitter)
    wanted = asked if asked is not None and asked > base else base
    assert opened.length == min(wanted, 120.0)
    assert opened.until == 1000.0 + opened.length
    assert opened.turn == turn + 1


def test_three_probes_close_it_and_nothing_is_remembered() -> None:
    """Regression: the original looked at its whole window when it was half open, where the failures that had opened it
    still were, and so never closed."""
    machine = after("f" * 10)
    for _ in range(3):
        assert machine.until is not None
        machine = RULE.probed(machine, 1020.0)
    assert (machine.until, machine.marks, machine.run, machine.turn) == (None, (), 0, 0)
    assert machine.epoch == 2
    assert after("f" * 9, machine, start=1020.0).until is None


def test_a_clock_that_was_set_back_keeps_nothing_open_for_longer_than_its_time() -> None:
    """An end that lies further ahead than the open time was written by another clock."""
    opened = RULE.opened(CLOSED, 1000.0)
    assert opened.state(1000.0 - CLOCK_SKEW + 1) == "open"
    assert opened.state(1000.0 - 3600) == "half_open"
    assert opened.state(1000.0 + 3600) == "half_open"


def test_hardly_any_false_openings_at_a_fifth_of_independent_faults() -> None:
    """At most 0.1 in 10,000 attempts; tests/support/campaign_breaker.py does it a million times."""
    dice = random.Random(7)
    assert after("".join("f" if dice.random() < 0.2 else "." for _ in range(20_000)), step=0.05).until is None


# --- the text ---------------------------------------------------------------------------------------------------------

MARKS = st.lists(st.tuples(st.integers(0, 600), st.sampled_from([".", "f", "s"])), max_size=50)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    marks: Sequence[tuple[int, Mark]] = draw(MARKS)
    now = 1_763_800_000.0
    return Machine(
        draw(st.integers(0, 10**6)),
        now - draw(st.integers(0, 10**6)),
        draw(st.integers(0, 9)),
        tuple((now - age / 10, mark) for age, mark in marks),
        draw(st.none() | st.floats(1e9, 2e9)),
        draw(st.floats(0, 200)),
        draw(st.integers(0, 40)),
        draw(st.integers(0, 2)),
        draw(st.text(max_size=60)),
    )


def alike(one: Machine, other: Machine) -> bool:
    times = zip(one.marks, other.marks, strict=True)
    assert all(abs(a[0] - b[0]) < 0.06 and a[1] == b[1] for a, b in times)
    assert abs(one.changed - other.changed) < 0.002
    return evolve(one, marks=(), changed=0) == evolve(other, marks=(), changed=0)


@given(st.dictionaries(st.text(max_size=20), machines(), max_size=4))
def test_what_is_kept_comes_back(kept: dict[str, Machine]) -> None:
    """Times of attempts to a tenth of a second, all else exactly."""
    back = load(dump(Record(kept)))
    assert back.machines.keys() == kept.keys()
    assert all(alike(kept[name], back.machines[name]) for name in kept)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=11) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=30,
)


@given(
    st.text()
    | JSONS.map(json.dumps)
    | st.lists(JSONS, min_size=11, max_size=11).map(lambda flat: json.dumps([1, {"": flat}]))
)
def test_whatever_else_lies_under_the_key_is_a_healthy_route(text: str) -> None:
    """Another program's value, a torn one, one of another version: never an exception, always a usable breaker."""
    record = load(text)
    for name in (ROUTE, "model"):
        assert record.machine(name).state(1e9) in ("closed", "open", "half_open")
        RULE.after(record.machine(name), [(1e9, "f")], 1e9)
        RULE.opened(record.machine(name), 1e9)
    assert record.lifetime(1e9, RULE) > 0


def test_nothing_is_a_healthy_route() -> None:
    """The usual case."""
    assert load(None) is HEALTHY


def test_breakers_of_models_are_bounded_and_the_oldest_go_first() -> None:
    """A program may ask for any number of models; that of the route always stays."""
    record = HEALTHY.having(ROUTE, RULE.opened(CLOSED, 1000.0), 1000.0)
    for number in range(40):
        record = record.having(f"m{number}", after("f", start=1001.0 + number), 1041.0)
    models = [name for name in record.machines if name]
    assert models == [f"m{number}" for number in range(40 - MOST_MODELS, 40)]
    assert ROUTE in record.machines
    assert len(dump(record)) < 4096


def test_what_no_longer_matters_is_dropped_when_something_else_is_written() -> None:
    """A breaker that closed long ago, and one whose failures are old."""
    old = Record({ROUTE: Machine(epoch=2, changed=1000.0), "m": after("f", start=1000.0)})
    now = 1000.0 + FORGET + 10
    assert set(old.having("n", after("f", start=now), now).machines) == {"n"}
    assert set(old.having("n", after("f", start=1100.0), 1100.0).machines) == {ROUTE, "m", "n"}


@pytest.mark.parametrize(
    ("machine", "least"),
    [(RULE.opened(CLOSED, 1000.0), FORGET + 10), (after("f"), FORGET), (after("f."), 60), (Machine(2, 1000.0), FORGET)],
    ids=["open", "failures in a row", "a failure in the window", "just closed"],
)
def test_a_store_keeps_it_for_as_long_as_it_matters(machine: Machine, least: float) -> None:
    """An epoch is remembered for longer than attempts last, so that a late end is known as one."""
    assert least <= Record({ROUTE: machine}).lifetime(1000.0, RULE) <= least + 0.5
