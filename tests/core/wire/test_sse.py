"""Server-sent events are decoded as the WHATWG standard says, however their bytes arrive."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.wire.sse import SseDecoder, SseEvent, SseLimitError

LINES = st.sampled_from(
    [b"data: a", b"data:", b"data", b"event: e", b"id: 1", b"id: \x00", b"id", b"retry: 7", b": c", b":", b"", b"", b"",
     b"x: y", b"data: \xff\xe2\x82", b"\xef\xbb\xbfdata: b", "data: \u2028é".encode()]
)  # fmt: skip
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])).map(b"".join), max_size=25).map(b"".join)
CUTS = st.lists(st.integers(min_value=0, max_value=200), max_size=8)


def pieces(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    marks = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(marks)]


def decode(parts: Iterable[bytes], decoder: SseDecoder | None = None) -> tuple[list[SseEvent], bytes]:
    decoder = decoder or SseDecoder()
    events = [event for part in parts for event in decoder.feed(part)]
    events += decoder.finish()
    return events, decoder.rest


@given(STREAMS, CUTS, st.booleans())
def test_events_and_their_bytes_do_not_depend_on_the_cuts(stream: bytes, cuts: list[int], silent: bool) -> None:
    """Whole, in pieces or byte by byte: the same events with the same bytes, the same state, the same rest."""
    decoders = [SseDecoder(silent=silent) for _ in range(3)]
    ways = [[stream], pieces(stream, cuts), [stream[at : at + 1] for at in range(len(stream))]]
    whole, cut, single = (decode(way, decoder) for way, decoder in zip(ways, decoders, strict=True))
    assert whole == cut == single
    assert len({(decoder.last_event_id, decoder.retry) for decoder in decoders}) == 1


@given(STREAMS, CUTS, st.booleans())
def test_no_byte_is_lost_and_none_is_made(stream: bytes, cuts: list[int], silent: bool) -> None:
    """The raw bytes of the events and then the rest are the input."""
    events, rest = decode(pieces(stream, cuts), SseDecoder(silent=silent))
    assert b"".join(event.raw for event in events) + rest == stream


@given(STREAMS)
def test_asking_for_silent_bytes_changes_no_event(stream: bytes) -> None:
    """Keep-alive bytes come out between the events, which stay what they are."""
    plain, _ = decode([stream])
    with_silent, _ = decode([stream], SseDecoder(silent=True))
    said = [(event.event, event.data, event.id) for event in with_silent if not event.silent]
    assert said == [(event.event, event.data, event.id) for event in plain]


@pytest.mark.parametrize("comment", [b": ping\n", b":\r\n", b"\n"])
def test_a_keep_alive_comes_out_as_soon_as_its_line_ends(comment: bytes) -> None:
    """Between events a comment or blank line waits for nothing."""
    decoder = SseDecoder(silent=True)
    assert [event.data for event in decoder.feed(b"data: a\n\n")] == ["a"]
    assert decoder.feed(comment[:-1]) == []
    assert decoder.feed(comment[-1:]) == [SseEvent("", "", raw=comment, silent=True)]


def test_an_event_goes_out_when_its_blank_line_ends() -> None:
    """Nothing waits for the next event."""
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r\n\r") == []
    assert decoder.feed(b"\n") == [SseEvent("message", "a", raw=b"data: a\r\n\r\n")]
    assert decoder.feed(b"data: b\n\n") == [SseEvent("message", "b", raw=b"data: b\n\n")]


def test_an_event_that_is_cut_off_is_no_event_but_its_bytes_are_there() -> None:
    """The end of the input is not a blank line."""
    assert decode([b"data: a\n\nid: 9\ndata: b\n"]) == (
        [SseEvent("message", "a", raw=b"data: a\n\n")],
        b"id: 9\ndata: b\n",
    )


def test_an_id_counts_when_its_block_ends_even_without_data() -> None:
    """The last event id is what a reconnecting client would send."""
    decoder = SseDecoder()
    decoder.feed(b"id: 3\n")
    assert decoder.last_event_id == ""
    assert decoder.feed(b"\n") == []
    assert decoder.last_event_id == "3"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("15", 15), ("0", 0), ("0" * 30 + "15", 15), ("9" * 20, 99999999999999999999)]
    + [(bad, None) for bad in ("-1", "+1", "1.5", "1_0", "1e3", " 5", "5 ", "", "٣", "²", "9" * 5000)],
)
def test_retry_is_ascii_digits_only(value: str, expected: int | None) -> None:
    """Anything else is ignored, and so is a number no clock could use."""
    decoder = SseDecoder()
    decoder.feed(f"retry: {value}\n\n".encode())
    assert decoder.retry == expected


@given(CUTS)
def test_too_long_a_line_is_a_clean_error_after_the_events_before_it(cuts: list[int]) -> None:
    """However it arrives, what came before is handed out, and every later call raises."""
    stream = b"data: a\n\ndata: " + b"x" * 100
    decoder, got = SseDecoder(max_line=50), []

    def feed_all() -> None:
        for part in [*pieces(stream, cuts), b"\n\n"]:
            got.extend(decoder.feed(part))

    with pytest.raises(SseLimitError, match="line of the event stream is longer than 50 bytes"):
        feed_all()
    assert [event.data for event in got] == ["a"]
    with pytest.raises(SseLimitError):
        decoder.finish()


def test_too_long_an_event_of_short_lines_is_a_clean_error() -> None:
    """Many small lines must not fill the memory either."""
    decoder = SseDecoder(max_event=1000)
    with pytest.raises(SseLimitError, match="event of the stream is longer than 1000 bytes"):
        _ = [decoder.feed(b"data: 12345\n") for _ in range(200)]


def test_a_line_of_exactly_the_limit_passes() -> None:
    """The limit is the last length that is allowed, line end not counted."""
    events, _ = decode([b"data: " + b"x" * 44 + b"\r\n\r\n"], SseDecoder(max_line=50))
    assert len(events) == 1


def seconds(size: int) -> float:
    stream = b"data: " + b"x" * size + b"\n\n"
    decoder = SseDecoder()
    start = time.process_time()
    for at in range(len(stream)):
        decoder.feed(stream[at : at + 1])
    return time.process_time() - start


def test_time_is_linear_when_bytes_come_one_by_one() -> None:
    """Thirty times the bytes take about thirty times as long, not nine hundred."""
    few, many = min(seconds(10_000) for _ in range(3)), seconds(300_000)
    assert many < 150 * few
