"""Equal requests under way share one flight: whole answers, hand-overs, failures, and who may share what."""

from __future__ import annotations

import httpx
import pytest
from calling import COLOURS
from flight_lab import Lab, Valve

WORDS = "one two three four"


@pytest.mark.parametrize("colour", COLOURS)
def test_fifty_callers_at_once_are_one_request_to_the_provider(colour: str) -> None:
    async def scenario(lab: Lab) -> None:
        leader = lab.call()
        await lab.asked()
        others = [lab.call() for _ in range(49)]
        await lab.until(lambda: lab.waiting == 49)
        lab.valve.flow()
        await lab.finished(leader, *others)
        assert {call.text for call in lab.calls} == {WORDS}

    lab = Lab(colour).run(scenario)

    assert len(lab.valve.exchanges) == 1
    assert lab.calls[0].record.outcome == "answered"
    assert {call.record.outcome for call in lab.calls[1:]} == {"cached"}
    given = lab.calls[7].record.provenance
    assert given is not None
    assert (given.source, given.by, given.age, given.reason) == ("cache", "together", 0.0, "flight")


@pytest.mark.parametrize("colour", COLOURS)
def test_when_the_leader_is_cancelled_the_next_in_line_asks_and_nobody_else(colour: str) -> None:
    async def scenario(lab: Lab) -> None:
        leader = lab.call()
        await lab.asked()
        others = [lab.call() for _ in range(49)]
        await lab.until(lambda: lab.waiting == 49)
        leader.cancel()
        lab.valve.answer(1)  # a thread that blocks without a socket learns of it with the next byte
        await lab.asked(2)
        assert lab.waiting == 48
        lab.valve.flow()
        await lab.finished(*others)
        assert {call.text for call in others} == {WORDS}

    lab = Lab(colour).run(scenario)

    assert (len(lab.valve.exchanges), lab.valve.most) == (2, 1)
    assert lab.calls[0].record.outcome == "cancelled"
    assert sorted(call.record.outcome for call in lab.calls[1:]) == ["answered", *["cached"] * 48]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_follower_that_is_cancelled_leaves_alone(colour: str) -> None:
    async def scenario(lab: Lab) -> None:
        leader = lab.call()
        await lab.asked()
        follower, other = lab.call(), lab.call()
        await lab.until(lambda: lab.waiting == 2)
        follower.cancel()
        await lab.finished(follower)
        assert lab.waiting == 1
        lab.valve.flow()
        await lab.finished(leader, other)

    lab = Lab(colour).run(scenario)

    assert [call.record.outcome for call in lab.calls] == ["answered", "cancelled", "cached"]
    assert len(lab.valve.exchanges) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_the_providers_failure_is_everybodys_and_costs_one_request(colour: str, stream: bool) -> None:
    async def scenario(lab: Lab) -> None:
        lab.call(stream=stream)
        await lab.asked()
        for _ in range(9):
            lab.call(stream=stream)
        await lab.until(lambda: lab.waiting == 9)
        lab.valve.flow()

    lab = Lab(colour, valve=Valve(status=503)).run(scenario)

    assert len(lab.valve.exchanges) == 1
    assert {call.status for call in lab.calls} == {503}
    assert len({b"".join(call.pieces) for call in lab.calls}) == 1
    assert {call.record.outcome for call in lab.calls} == {"failed"}


def test_a_connection_that_breaks_breaks_for_everybody_as_the_http_module_says_it() -> None:
    async def scenario(lab: Lab) -> None:
        lab.call()
        await lab.asked()
        lab.call()
        await lab.until(lambda: lab.waiting == 1)
        lab.valve.exchanges[0].pieces.clear()
        lab.valve.flow()

    lab = Lab("sync", valve=Valve(breaks=httpx.ReadError("reset"))).run(scenario)

    assert [type(call.error) for call in lab.calls] == [httpx.ReadError, httpx.ReadError]
    assert lab.calls[0].error is not lab.calls[1].error
    assert len(lab.valve.exchanges) == 1


def test_requests_of_two_callers_never_share_a_flight() -> None:
    async def scenario(lab: Lab) -> None:
        lab.headers["1"] = {"authorization": "Bearer sk-other"}
        lab.call()
        await lab.asked()
        lab.call()
        await lab.asked(2)
        lab.valve.flow()

    assert len(Lab("sync").run(scenario).valve.exchanges) == 2
