"""Callers come, rest, leave and are cancelled in any order: one request at a time, nobody hangs, books are closed."""

from __future__ import annotations

from typing import Any

import pytest
from calling import COLOURS
from flight_lab import Call, Lab, events
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EVENTS = events()
WORDS = "one two three four"

STEPS = st.one_of(
    st.tuples(st.just("come"), st.sampled_from(["plain", "stream", "resting"])),
    st.tuples(st.sampled_from(["leave", "cancel", "go_on", "pause", "resume"]), st.integers(0, 7)),
    st.tuples(st.just("say"), st.integers(1, 3)),
    st.tuples(st.just("answer"), st.just(0)),
)


async def _act(lab: Lab, what: str, which: Any) -> None:
    if what == "come":
        lab.call(stream=which != "plain", allowed=1 if which == "resting" else None)
        await lab.until(lambda: lab.calls[-1].name in lab.witness.contexts)
    elif what in ("say", "answer"):
        if lab.valve.exchanges:
            lab.valve.say(which) if what == "say" else lab.valve.answer()
    elif lab.calls:
        call: Call = lab.calls[which % len(lab.calls)]
        flow: Any = lab.witness.contexts[call.name].flow
        if what in ("pause", "resume"):
            getattr(flow, what)()
        else:
            getattr(call, what)()


@pytest.mark.parametrize("colour", COLOURS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, min_size=3, max_size=14))
def test_in_any_order_of_coming_resting_and_leaving_every_book_is_closed(colour: str, steps: list[Any]) -> None:
    async def scenario(lab: Lab) -> None:
        for what, which in (("come", "stream"), *steps):
            await _act(lab, what, which)
        lab.valve.flow()
        for call in lab.calls:
            lab.witness.contexts[call.name].flow.resume()
            call.go_on()

    lab = Lab(colour).run(scenario)

    assert lab.valve.most == 1
    for call in lab.calls:
        assert call.error is None or call.record.outcome == "cancelled", (call.name, call.error)
        if call.leaving:
            continue
        if call.record.outcome in ("answered", "cached"):
            assert call.text == WORDS
        elif call.body["stream"]:
            said = b"".join(call.pieces)
            assert b"".join(EVENTS).startswith(said) or call.status == 499
    for one in lab.valve.exchanges:
        assert one.closed >= 1
