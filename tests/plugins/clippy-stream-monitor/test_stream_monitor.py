"""What is measured of streams, on a clock that the test owns."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from attrs import define, field
from calling import Caller
from clippy_hookspecs import Chunk, RequestContext, Usage, hookimpl
from clippy_stream_monitor import METER, Metrics, StreamMonitor, UnknownStream
from words import Words

from clippy_core.testing import Fault, Reply

WORDS = [f"w{number} " for number in range(21)]


def measured(caller: Caller, script: Any, *plugins: object, **call: Any) -> Metrics:
    """What a monitor says of one stream at its end."""
    monitor = StreamMonitor()
    caller.start([monitor, Words(), *plugins], script)
    caller.stream(**call)
    [metrics] = monitor.ended()
    assert monitor.metrics(metrics.id) == metrics
    assert monitor.live() == ()
    return metrics


def test_gaps_rates_and_the_first_token_are_those_of_the_clock(caller: Caller) -> None:
    """A head after two seconds, then a word each half second: two words a second."""
    found = measured(caller, [[Fault.slow(0.5), Reply(text="".join(WORDS), chunks=WORDS, delay=2.0)]])
    assert (found.state, found.pieces, found.model) == ("completed", 21, "test-model")
    assert found.first_token == pytest.approx(2.5)  # the role comes with the head, the first word after another wait
    assert found.gap_p50 == pytest.approx(0.5, rel=1 / 16)
    assert found.gap_p95 == pytest.approx(0.5, rel=1 / 16)
    assert found.gap_max == pytest.approx(0.5)
    assert found.average == pytest.approx(2.0, rel=0.02)
    assert found.peak == pytest.approx(2.1, rel=0.2)
    assert found.tokens == 21
    assert found.usage.estimated
    assert found.bytes > sum(map(len, WORDS))


def test_usage_is_the_providers_where_it_says_it(caller: Caller) -> None:
    """And is not marked as estimated then."""
    said = Usage(input=7, output=42)
    found = measured(caller, Reply("one two three", usage=said), stream_options={"include_usage": True})
    assert (found.usage.input, found.usage.output, found.usage.estimated) == (7, 42, False)


def test_what_anthropic_says_first_is_not_taken_for_the_end(caller: Caller) -> None:
    """message_start tells one output token; a stream that breaks amid it has the tokens that came."""
    monitor = StreamMonitor()
    route = {"base_url": "http://fake.test", "key": "k", "model": "claude", "api": "anthropic.messages"}
    script = [[Fault.hangup(at_delta=3), Reply("one two three four five", usage=Usage(9, 5))]]
    caller.start([monitor, Words()], script, routes={"main": route})
    caller.stream()
    [found] = monitor.ended()
    assert (found.state, found.usage.input, found.tokens, found.usage.estimated) == ("failed", 9, 3, True)


def test_a_pause_is_no_gap_and_slows_no_rate(caller: Caller) -> None:
    """A minute between two words, of which the caller paused all but half a second."""

    @define(eq=False)
    class Pauses:
        at: list[str] = field(factory=list)

        @hookimpl
        def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
            self.at.append(chunk.delta)
            if chunk.delta == "w9 ":
                ctx.flow.pause()
                caller.clock.advance(60.0)
                ctx.flow.resume()

    found = measured(caller, [[Fault.slow(0.5), Reply(text="".join(WORDS), chunks=WORDS)]], Pauses())
    assert found.gap_max == pytest.approx(0.5)
    assert found.average == pytest.approx(2.0, rel=0.02)
    assert found.paused == pytest.approx(60.0)
    assert found.seconds < 15


def test_a_live_stream_is_measured_while_it_stands_still(sync_caller: Caller) -> None:
    """Its present rate falls to nothing, its average falls slowly, its peak stays."""
    monitor = StreamMonitor()
    seen: list[Metrics] = []

    @define(eq=False)
    class Looks:
        @hookimpl
        def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
            if chunk.delta == "w15 ":
                seen.append(monitor.metrics(ctx.id))
                sync_caller.clock.advance(10.0)
                seen.append(monitor.live()[0])

    sync_caller.start([monitor, Words(), Looks()], [[Fault.slow(0.1), Reply(text="".join(WORDS), chunks=WORDS)]])
    sync_caller.stream()
    moving, standing = seen
    assert moving.state == "streaming"
    assert moving.current == pytest.approx(10.0, rel=0.25)
    assert standing.current == 0.0
    assert standing.average is not None
    assert moving.average is not None
    assert standing.average < moving.average / 5
    assert standing.peak == pytest.approx(10.0, rel=0.25)


def test_a_retried_attempt_counts_from_its_own_beginning(caller: Caller) -> None:
    """The first token is waited for from the sending of the attempt that answered."""
    from calling import Again

    found = measured(caller, [Fault.status(503), Reply("one two", delay=2.0)], Again())
    assert found.first_token == pytest.approx(2.0)


def test_what_was_never_a_stream_has_no_figures(caller: Caller) -> None:
    """A plain call is not kept; a stream that failed before its first byte has nothing but its state."""
    monitor = StreamMonitor()
    caller.start([monitor], [Reply("Hi"), Fault.status(500)])
    caller.chat()
    assert monitor.ended() == ()
    caller.stream()
    [failed] = monitor.ended()
    assert (failed.state, failed.pieces, failed.tokens, failed.first_token) == ("failed", 0, 0, None)
    assert (failed.gap_p50, failed.gap_max, failed.average, failed.current, failed.peak) == (None,) * 5


def test_the_oldest_ended_streams_make_room(sync_caller: Caller) -> None:
    """A server that runs for a year keeps no more of them than one that runs for a minute."""
    monitor = StreamMonitor(keep=3)
    sync_caller.start([monitor], Reply("Hi"))
    for _ in range(200):
        sync_caller.stream()
    assert len(monitor._streams._living) + len(monitor._streams._ended) <= 3 + 32
    assert len(monitor.ended()) == 3
    with pytest.raises(UnknownStream, match="ended a while ago"):
        monitor.metrics("0" * 16)


def test_a_long_stream_takes_no_more_memory_than_a_short_one(sync_caller: Caller) -> None:
    """No list of chunks grows: what a meter holds is numbers and a bounded piece of text."""
    from clippy_stream_monitor import Meter

    from clippy_core.flow import FlowHandle

    flow, chunk = FlowHandle(sync_caller.clock.now), Chunk("text", "some words that are not short ")
    meter = Meter("1", flow, "m", 0.0, Words(), sync_caller.clock.now)  # type: ignore[arg-type]

    def pass_by(times: int) -> int:
        for _ in range(times):
            sync_caller.clock.advance(0.013)
            meter.saw(chunk)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = pass_by(2_000)
        assert pass_by(20_000) - before < 200_000
    finally:
        tracemalloc.stop()
    assert meter.metrics().tokens == pytest.approx(22_000 * 6, rel=0.01)


def test_the_text_is_forgotten_at_the_end(caller: Caller) -> None:
    """What is kept of an ended stream are numbers."""
    found: list[Any] = []

    @define(eq=False)
    class Takes:
        @hookimpl
        def pre_request(self, ctx: RequestContext) -> None:
            found.append(ctx)

    measured(caller, Reply("a secret word"), Takes())
    meter = found[0].stash[METER]
    assert "secret" not in repr([getattr(meter, name) for name in ("_text", "_texts", "_final")])


@pytest.mark.parametrize("start", [0.0, 1000.1, 123456.7])
def test_every_character_counts_in_one_second(sync_caller: Caller, start: float) -> None:
    """Pieces that come exactly as a second begins are in that one, whatever the clock's fractions round to."""
    from clippy_stream_monitor import Meter

    from clippy_core.flow import FlowHandle
    from clippy_core.testing import VirtualClock

    clock = VirtualClock(start=start)
    meter = Meter("1", FlowHandle(clock.now), "m", 0.0, Words(), clock.now)  # type: ignore[arg-type]
    for _ in range(100):
        meter.saw(Chunk("text", "word "))
        clock.advance(0.1)
    metrics = meter.metrics()
    assert metrics.average == pytest.approx(99 / 10)
    assert metrics.peak == pytest.approx(10.0, abs=1.0)
    assert metrics.current == pytest.approx(10.0, abs=1.0)
