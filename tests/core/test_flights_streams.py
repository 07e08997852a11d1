"""One stream for many: who comes late gets what was said, who leaves leaves alone, and it ends for all as it ends."""

from __future__ import annotations

import httpx
import pytest
from calling import COLOURS, Keep
from flight_lab import Lab, Valve, events

EVENTS = events()
USAGE = events(usage=True)
WORDS = "one two three four"


@pytest.mark.parametrize("at", range(len(EVENTS)))
@pytest.mark.parametrize("colour", COLOURS)
def test_whoever_comes_at_any_piece_gets_the_same_pieces(colour: str, at: int) -> None:
    async def scenario(lab: Lab) -> None:
        leader = lab.call(stream=True)
        await lab.asked()
        lab.valve.answer()
        for said in range(len(EVENTS)):
            if said == at:
                late = [lab.call(stream=True) for _ in range(3)]
                await lab.until(lambda: lab.waiting == 3)
            lab.valve.say()
            await lab.until(lambda n=said: len(leader.pieces) > n)  # type: ignore[misc]
        lab.valve.flow()
        await lab.finished(leader, *late)
        assert [call.pieces for call in lab.calls] == [EVENTS] * 4

    lab = Lab(colour).run(scenario)

    assert [one.closed for one in lab.valve.exchanges] == [1]
    assert [call.record.outcome for call in lab.calls] == ["answered", "cached", "cached", "cached"]


@pytest.mark.parametrize("colour", COLOURS)
def test_when_the_leader_leaves_amid_its_stream_it_goes_on_for_the_others_and_one_of_them_pays(colour: str) -> None:
    async def scenario(lab: Lab) -> None:
        leader = lab.call(stream=True)
        await lab.asked()
        lab.valve.say(2)
        await lab.until(lambda: len(leader.pieces) == 2)
        others = [lab.call(stream=True) for _ in range(3)]
        await lab.until(lambda: lab.waiting == 3)
        lab.valve.say()
        await lab.until(lambda: all(len(call.pieces) == 3 for call in others))
        leader.cancel()
        await lab.finished(leader)
        lab.valve.flow()
        await lab.finished(*lab.calls)
        assert [call.pieces for call in others] == [EVENTS] * 3

    keep = Keep()
    lab = Lab(colour, {"keep": keep}).run(scenario)

    assert len(lab.valve.exchanges) == 1
    left, *records = [call.record for call in lab.calls]
    assert sorted(record.outcome for record in records) == ["answered", "cached", "cached"]
    assert (left.outcome, left.usage) == ("cancelled", None)
    (paid,) = [record for record in records if record.outcome == "answered"]
    assert paid.usage is not None
    assert (paid.provenance.source, paid.provenance.reason) == ("provider", "flight")
    (entry,) = keep.entries.values()
    assert entry.events == tuple(EVENTS)


@pytest.mark.parametrize("how", ["leave", "cancel"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_reader_that_goes_leaves_the_others_and_the_connection_alone(colour: str, how: str) -> None:
    async def scenario(lab: Lab) -> None:
        leader = lab.call(stream=True, allowed=1)
        await lab.asked()
        lab.valve.say()
        await lab.until(lambda: len(leader.pieces) == 1)
        leader.go_on()
        goes, stays = lab.call(stream=True, allowed=1), lab.call(stream=True)
        await lab.until(lambda: lab.waiting == 2)
        lab.valve.say()
        await lab.until(lambda: bool(goes.pieces and stays.pieces))
        getattr(goes, how)()
        goes.go_on()
        await lab.finished(goes)
        assert [one.closed for one in lab.valve.exchanges] == [0]
        lab.valve.flow()
        await lab.finished(leader, stays)
        assert leader.pieces == stays.pieces == EVENTS

    lab = Lab(colour).run(scenario)

    assert [call.record.outcome for call in lab.calls] == ["answered", "cancelled", "cached"]


@pytest.mark.parametrize("colour", COLOURS)
def test_the_connection_is_closed_when_the_last_reader_has_gone(colour: str) -> None:
    async def scenario(lab: Lab) -> None:
        leader = lab.call(stream=True, allowed=1)
        await lab.asked()
        lab.valve.say(1)
        await lab.until(lambda: len(leader.pieces) == 1)
        other = lab.call(stream=True, allowed=1)
        await lab.until(lambda: len(other.pieces) == 1)
        for call in (leader, other):
            call.leave()
            await lab.finished(call)
        lab.valve.say()  # a thread that blocks without a socket learns of it with the next byte
        await lab.until(lambda: lab.valve.exchanges[0].closed > 0)

    lab = Lab(colour).run(scenario)

    assert [one.read for one in lab.valve.exchanges] in ([1], [2])
    assert [call.record.outcome for call in lab.calls] == ["cancelled", "cancelled"]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_reader_that_rests_holds_up_nobody(colour: str) -> None:
    async def scenario(lab: Lab) -> None:
        rests = lab.call(stream=True, allowed=1)
        await lab.asked()
        lab.valve.say()
        await lab.until(lambda: len(rests.pieces) == 1)
        goes_on = lab.call(stream=True)
        lab.valve.flow()
        await lab.finished(goes_on)
        assert goes_on.pieces == EVENTS
        rests.go_on()
        await lab.finished(rests)
        assert rests.pieces == EVENTS

    Lab(colour).run(scenario)


@pytest.mark.parametrize("colour", COLOURS)
def test_nobody_reads_far_ahead_of_the_fastest_reader(colour: str) -> None:
    words = [f"{number} " for number in range(300)]

    async def scenario(lab: Lab) -> None:
        first = lab.call(stream=True, allowed=1)
        await lab.asked()
        lab.valve.say()
        await lab.until(lambda: len(first.pieces) == 1)
        second = lab.call(stream=True, allowed=1)
        await lab.until(lambda: len(second.pieces) == 1)
        lab.valve.flow()
        exchange = lab.valve.exchanges[0]
        await lab.until(lambda: exchange.read >= 64)
        for _ in range(20):
            await lab.until(lambda: True)
        assert exchange.read <= 66
        second.take(10)
        await lab.until(lambda: exchange.read >= 74)
        assert exchange.read <= 76
        first.go_on()
        second.go_on()
        await lab.finished(first, second)
        assert first.pieces == second.pieces == events(words)

    Lab(colour, valve=Valve(words=words)).run(scenario)


@pytest.mark.parametrize("leads", ["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_plain_and_streamed_callers_share_what_either_gets(colour: str, leads: str) -> None:
    async def scenario(lab: Lab) -> None:
        lab.call(stream=leads == "stream")
        await lab.asked()
        for _ in range(2):
            lab.call(stream=False)
            lab.call(stream=True)
        await lab.until(lambda: lab.waiting == 4)
        lab.valve.flow()
        await lab.finished(*lab.calls)
        assert {call.text for call in lab.calls} == {WORDS}

    lab = Lab(colour).run(scenario)

    assert len(lab.valve.exchanges) == 1


@pytest.mark.parametrize("colour", COLOURS)
def test_a_usage_chunk_comes_to_those_who_asked_for_it(colour: str) -> None:
    async def scenario(lab: Lab) -> None:
        asks = lab.call(stream=True, stream_options={"include_usage": True})
        await lab.asked()
        as_well = lab.call(stream=True, stream_options={"include_usage": True})
        not_asked = lab.call(stream=True)
        await lab.until(lambda: lab.waiting == 2)
        lab.valve.flow()
        await lab.finished(*lab.calls)
        assert asks.pieces == as_well.pieces == USAGE
        assert b"".join(not_asked.pieces) == b"".join(EVENTS)

    assert len(Lab(colour).run(scenario).valve.exchanges) == 1


@pytest.mark.parametrize("colour", COLOURS)
def test_a_stream_that_breaks_breaks_for_every_reader_and_not_for_who_had_nothing_of_it(colour: str) -> None:
    """A plain caller has got nothing yet, so that its request can be made again; one of them does it for all."""

    async def scenario(lab: Lab) -> None:
        leader = lab.call(stream=True)
        await lab.asked()
        lab.valve.say(2)
        await lab.until(lambda: len(leader.pieces) == 2)
        reader, plain, another = lab.call(stream=True), lab.call(), lab.call()
        await lab.until(lambda: lab.waiting == 3)
        lab.valve.say(1)
        await lab.until(lambda: len(reader.pieces) == 3)
        exchange = lab.valve.exchanges[0]
        exchange.pieces = exchange.pieces[:3]
        exchange.breaks = httpx.ReadError("reset")
        lab.valve.flow(1)
        await lab.finished(leader, reader)
        assert leader.pieces == reader.pieces == EVENTS[:3]
        assert [type(call.error) for call in (leader, reader)] == [httpx.ReadError] * 2
        await lab.asked(2)
        await lab.until(lambda: lab.waiting == 1)
        lab.valve.flow()
        await lab.finished(plain, another)
        assert plain.text == another.text == WORDS

    lab = Lab(colour).run(scenario)

    assert len(lab.valve.exchanges) == 2
    assert [call.record.outcome for call in lab.calls][:2] == ["failed", "failed"]
    assert sorted(call.record.outcome for call in lab.calls[2:]) == ["answered", "cached"]


def test_a_flight_whose_last_reader_is_no_streams_caller_is_over_when_its_stream_has_ended() -> None:
    """The leader has left, and the one who goes on reads another stream than the provider's: nobody's books end it."""

    async def scenario(lab: Lab) -> None:
        leader = lab.call(stream=True, allowed=1)
        await lab.asked()
        lab.valve.say()
        await lab.until(lambda: len(leader.pieces) == 1)
        asks_usage = lab.call(stream=True, stream_options={"include_usage": True})
        await lab.until(lambda: lab.waiting == 1)
        leader.leave()
        await lab.finished(leader)
        lab.valve.flow()
        await lab.finished(asks_usage)
        assert asks_usage.text == WORDS

    lab = Lab("sync").run(scenario)

    assert [call.record.outcome for call in lab.calls] == ["cancelled", "cached"]
