"""Differences line by line, and places on a time line."""

from __future__ import annotations

import json

from attrs import evolve
from clippy_inspect.changes import MOST_LINES, changes, lines_of, weight
from clippy_inspect.timeline import MOST_ROWS, MOST_TICKS, events, lanes, thinned, whole
from clippy_recorder import Attempt, Exchange, Piece
from hypothesis import given
from hypothesis import strategies as st
from inspect_world import exchange, retried, streamed

texts = st.lists(st.sampled_from(["a", "b", "c", "", "{"]), max_size=30).map("\n".join)


@given(texts, texts)
def test_a_difference_holds_all_that_was_added_and_removed(before: str, after: str) -> None:
    """Counted line by line, what is in one and not in the other is what the difference says."""
    found = changes(before, after)
    old, new = lines_of(before), lines_of(after)
    for text in {*old, *new}:
        gone = sum(line.sign == "-" and line.text == text for line in found)
        come = sum(line.sign == "+" and line.text == text for line in found)
        assert new.count(text) - old.count(text) == come - gone
    if before == after:
        assert [line.sign for line in found] == ["~"]


def test_only_what_is_near_a_change_is_shown() -> None:
    before = json.dumps([*range(50)])
    after = json.dumps([*range(25), "new", *range(25, 50)])
    signs = [(line.sign, line.text.strip()) for line in changes(before, after)]
    assert signs == [
        ("~", "24 equal lines"),
        (" ", "23,"),
        (" ", "24,"),
        ("+", '"new",'),
        (" ", "25,"),
        (" ", "26,"),
        ("~", "24 equal lines"),
    ]


def test_a_line_feed_within_a_text_begins_a_line() -> None:
    """A prompt of many lines is one JSON string; one changed line in it must not be all of it."""
    before, after = ({"content": "\n".join(["first", middle, "last"])} for middle in ("old", "new"))
    found = changes(json.dumps(before), json.dumps(after))
    assert ["   old"] == [line.text for line in found if line.sign == "-"]
    assert ["   new"] == [line.text for line in found if line.sign == "+"]


def test_texts_without_anything_in_common_take_no_minutes() -> None:
    before = json.dumps([f"a{number % 7}" for number in range(60_000)])
    after = json.dumps([f"b{number % 5}" for number in range(60_000)])
    found = changes(before, after)
    assert len(found) <= MOST_LINES + 1
    assert "lines differ" in found[0].text  # comparing them all would take hours


def test_a_conversation_is_weighed() -> None:
    assert (2, 48) == weight(json.dumps({"messages": [{"role": "user", "n": 1}, {"role": "user", "n": 1}]}))
    for text in (None, "", "[]", '{"messages": 7}', "no json", "[" * 100_000):
        assert weight(text) is None


def test_a_time_line_begins_at_nought_and_ends_with_the_request() -> None:
    made = retried(1)
    attempts = [lane for lane in lanes(made) if lane.name.startswith("Attempt")]
    first, second = attempts
    assert ["head", "body"] == [span.kind for span in first.spans]
    assert ["wait", "head", "body"] == [span.kind for span in second.spans]
    assert all(0 <= span.begin and span.begin + span.width <= 100.2 for lane in lanes(made) for span in lane.spans)
    ends = [span.begin + span.width for span in second.spans]
    assert ends == sorted(ends)


def test_a_request_of_which_nothing_is_known_has_a_time_line() -> None:
    bare = Exchange(id="a", began=0.0)
    assert (1, (), []) == (whole(bare), lanes(bare), events(bare))
    sent = evolve(bare, attempts=(Attempt(1, "", 5),))
    assert ["attempt 1 sent"] == [event.what for event in events(sent)]


@given(st.lists(st.integers(0, 10**9), max_size=1500).map(sorted))
def test_a_picture_shows_no_more_than_it_can_and_loses_no_end(times: list[int]) -> None:
    pieces = [Piece(at, "bytes") for at in times]
    shown = thinned(pieces)
    assert len(shown) <= MOST_TICKS
    if pieces:
        assert (shown[0], shown[-1]) == (pieces[0], pieces[-1])
    made = events(streamed(1, ("a", "b")) if not pieces else exchange(1, pieces=tuple(pieces)))
    assert len(made) <= MOST_ROWS
    assert [event.at for event in made] == sorted(event.at for event in made)
    assert all(event.gap >= 0 for event in made)
