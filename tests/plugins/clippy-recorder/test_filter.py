"""The filter language: what a term means, what is told of one that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from clippy_recorder import Exchange, Step
from clippy_recorder.filter import MOST_CHARACTERS, NAMES, FilterError, parse
from hypothesis import example, given
from hypothesis import strategies as st
from inspect_world import cached, exchange, failed, retried, streamed

ALL = {
    "plain": exchange(1, model="gpt-4o"),
    "stream": streamed(2, ("Größe ", "und Gewicht"), model="gpt-4o-mini", duration=2_000_000),
    "retried": retried(3, model="claude-sonnet"),
    "failed": failed(4, model="claude-sonnet"),
    "cached": cached(5, model="gpt-4o"),
    "running": exchange(6, state="running", status=None, duration=None, model=None, cost=None, usage=None, url="/x"),
}


def chosen(text: str) -> set[str]:
    wanted = parse(text)
    return {name for name, one in ALL.items() if wanted(one)}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", set(ALL)),
        ("model:gpt-4o", {"plain", "cached"}),
        ("MODEL:GPT-4O", {"plain", "cached"}),
        ("model:gpt-4o*", {"plain", "cached", "stream"}),
        ("model:*mini", {"stream"}),
        ("model:*sonnet*", {"retried", "failed"}),
        ("model:*", set(ALL) - {"running"}),
        ("-model:gpt-4o*", {"retried", "failed", "running"}),
        ("status:529", {"failed"}),
        ("status:=529", {"failed"}),
        ("status:>=400", {"failed"}),
        ("status:5xx", {"failed"}),
        ("status:2XX", {"plain", "stream", "retried", "cached"}),
        ("status:<400", {"plain", "stream", "retried", "cached"}),
        ("-status:<400", {"failed", "running"}),
        ("failed", {"failed"}),
        ("cached", {"cached"}),
        ("running", {"running"}),
        ("streamed", {"stream"}),
        ("retried", {"retried"}),
        ("generating", set(ALL) - {"running"}),
        ("state:failed", {"failed"}),
        ("state:Fail*", {"failed"}),
        ("ms:>1500", {"stream", "retried"}),
        ("ms:<=0.9", {"cached"}),
        ("first:>=300", {"stream"}),
        ("cost:>0", {"plain", "stream", "retried"}),
        ("tokens:>1233", {"plain", "stream", "retried"}),  # the cache's answer used none
        ("tokens:0", {"cached"}),
        ("attempts:2", {"retried"}),
        ("plugin:guard", {"retried"}),
        ("plugin:prompt-cache", set()),  # it looked, and did nothing
        ("called:prompt-cache", {"plain", "cached", "failed", "running", "stream"}),
        ("error:overloaded", {"failed"}),
        ("route:spare", {"retried"}),
        ("tenant:acme -cached -failed model:gpt*", {"plain", "stream"}),
        ("text:weather -running", set(ALL) - {"running"}),
        ('text:"und gewicht"', {"stream"}),
        ("größe", {"stream"}),
        ('"slow down"', {"retried"}),
        ('"failed"', set()),  # in quotes a word is text, not a state
        ('model:"gpt-4o*"', set()),  # and a star a star
        ("529", set()),
        ("id:req-0004", {"failed"}),
    ],
)
def test_a_filter_chooses(text: str, names: set[str]) -> None:
    assert names == chosen(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("status:", 'Something is missing after "status:" at character 1.'),
        ("cached -", 'Something is missing after "-" at character 8.'),
        ('text:"abc', "The quotation that begins at character 6 has no end."),
        ('"abc"def', "A space is missing after the quotation at character 5."),
        ("colour:red", 'There is no "colour:".'),
        ("status:>x", '"status:" compares numbers, as in status:>=400; "x" is none.'),
        ("ms:nan", '"nan" is none.'),
        ("ms:1_000", '"1_000" is none.'),
        ("cost:inf", '"inf" is none.'),
        (
            "state:nope",
            'There is no state "nope". The states are running, answered, cached, refused, failed, cancelled',
        ),
        ("-state:fail", 'There is no state "fail".'),
        ("state:x*", 'There is no state "x*".'),
        ("a " * 40, "A filter has at most 32 terms."),
        ("a" * 1001, "A filter is at most 1000 characters long."),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert sentence in str(caught.value)


NUMBERS = {"status", "ms", "first", "cost", "tokens", "attempts"}
words = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=12)


@st.composite
def terms(draw: st.DrawFn) -> str:
    sign = draw(st.sampled_from(["", "-"]))
    name = draw(st.sampled_from(["", *sorted(NAMES - NUMBERS)]))
    value = draw(st.sampled_from(["failed", "Cached"]) if name == "state" else st.text(max_size=12))
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{sign}{name}:{quoted}" if name else sign + quoted


@given(st.lists(terms(), max_size=8))
def test_what_is_quoted_is_read_as_it_was_meant(texts: list[str]) -> None:
    """However values look: in quotes each term stays one term, and a filter written out is the same filter."""
    wanted = parse("  ".join(texts))
    assert len(texts) == len(wanted.terms)
    again = parse(str(wanted))
    assert [word for word, _ in again.terms] == [word for word, _ in wanted.terms]


@given(st.text(max_size=MOST_CHARACTERS))
@example("0:0")
def test_any_text_is_a_filter_or_a_sentence(text: str) -> None:
    try:
        wanted = parse(text)
    except FilterError as error:
        said = str(error)
    else:
        said = "."
        assert all(wanted(one) in {True, False} for one in ALL.values())
    assert said.endswith(".")


@given(st.sampled_from(sorted(ALL)), terms())
def test_minus_turns_a_term_around(name: str, term: str) -> None:
    plain = term.removeprefix("-")
    assert parse(plain)(ALL[name]) != parse("-" + plain)(ALL[name])


@given(words, words)
def test_text_is_found_wherever_it_was_said(before: str, after: str) -> None:
    said: Exchange = exchange(1, text=f"{before} needle {after}")
    assert parse("needle")(said)
    assert parse('"Needle"')(said)
    assert not parse("text:haystack")(exchange(1, text="needle"))


def test_no_recording_is_too_bare_to_be_filtered() -> None:
    bare: Any = Exchange(id="a", began=0.0)
    step = evolve(bare, steps=(Step(0, "p", "audit", "failed", 1),))
    for name in sorted(NAMES):
        value = ">1" if name in NUMBERS else "failed" if name == "state" else "x"
        assert not parse(f"{name}:{value}")(bare)
    assert parse("plugin:p")(step)
