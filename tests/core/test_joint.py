"""Where a second part of an answer joins the first: nothing twice, nothing lost, and as little as possible held."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.joint import LOOK_BACK, Joint


def join(said: str, second: str, *, exact: bool = False, cuts: int = 1) -> str:
    joint = Joint(said, exact)
    pieces = [second[at : at + cuts] for at in range(0, len(second), cuts)]
    return said + "".join([*map(joint.feed, pieces), joint.finish()])


REPEATS = {
    "the last word": ("one two three", "three four", "one two three four"),
    "the last words": ("one two three ", "two three four", "one two three four"),
    "a word that was cut": ("the eleph", "elephant ran", "the elephant ran"),
    "words and a cut word": ("I saw the eleph", "the elephant ran", "I saw the elephant ran"),
    "everything": ("one two three", "one two three four", "one two three four"),
    "everything, as one word": ("Hello", "Hello world", "Hello world"),
    "a line": ("first\nsecond\nthi", "second\nthird", "first\nsecond\nthird"),
    "unspaced script": ("今天天气很", "天气很好", "今天天气很好"),
    "punctuation": ("Yes. And", "Yes. And no.", "Yes. And no."),
}
NOT = {
    "nothing": ("one two ", "three four", "one two three four"),
    "the rest of a word": ("hel", "lo there", "hello there"),
    "a space at both sides": ("one two ", " three", "one two three"),
    "a line more": ("one\n", "\n\ntwo", "one\n\ntwo"),
    "a word meant twice": ("I know that", " that man", "I know that that man"),
    "another word with that beginning": ("take the ", "them all", "take the them all"),
    "nothing said": ("", "one", "one"),
    "only white space said": (" \n", "one", " \none"),
}


@pytest.mark.parametrize("cuts", [1, 2, 3, 100])
@pytest.mark.parametrize("case", REPEATS)
def test_what_is_repeated_is_left_out(case: str, cuts: int) -> None:
    said, second, whole = REPEATS[case]
    assert join(said, second, cuts=cuts) == whole


@pytest.mark.parametrize("cuts", [1, 2, 3, 100])
@pytest.mark.parametrize("case", NOT)
def test_what_is_not_repeated_stays(case: str, cuts: int) -> None:
    said, second, whole = NOT[case]
    assert join(said, second, cuts=cuts) == whole


def test_after_the_beginning_of_its_own_answer_a_model_repeats_all_or_nothing() -> None:
    assert join("that is that", "that is all", exact=True) == "that is thatthat is all"
    assert join("that is", "that is all", exact=True) == "that is all"


WORDS = st.lists(st.sampled_from(["one", "two", "three", "a", "the", "eleph"]), min_size=1, max_size=12)


@given(WORDS, WORDS, st.data())
def test_a_repetition_from_any_word_on_is_found_however_it_is_cut(first, more, data) -> None:
    """The whole sentence, broken anywhere; the second part begins at the word that was broken, or some words before.

    A word beyond any doubt stands before the repetition, so that there is one way only to understand it.
    """
    whole = " ".join([*first, "zebra", *more, "end"])
    broken = data.draw(st.integers(whole.index("zebra") + 5, len(whole) - 1))
    said = whole[:broken]
    second = whole[whole.index("zebra") :]
    assert join(said, second, cuts=data.draw(st.integers(1, 9))) == whole


@given(st.text(max_size=60), st.text(max_size=60), st.integers(1, 9), st.booleans())
def test_the_cuts_make_no_difference_and_only_the_beginning_can_be_left_out(said, second, cuts, exact) -> None:
    whole = join(said, second, exact=exact, cuts=cuts)
    assert whole == join(said, second, exact=exact, cuts=100)
    assert whole.startswith(said)
    assert second.endswith(whole[len(said) :])


@given(st.text(max_size=60), st.text(min_size=1, max_size=60))
def test_only_what_may_still_be_a_repetition_is_held(said, second) -> None:
    joint = Joint(said)
    for at in range(len(second)):
        out = joint.feed(second[at])
        held = "" if out else second[: at + 1]
        if out:
            break
        assert held.lstrip() in said


@pytest.mark.parametrize("said", ["word " * 20_000, "a" * 100_000, "天" * 100_000])
def test_a_repetition_of_a_long_answer_is_looked_for_near_its_end_and_at_its_beginning(said: str) -> None:
    joint = Joint(said)
    joint.feed(said[:5])
    assert len(joint._starts or []) <= LOOK_BACK + 1
    assert join(said[:5000], said[:5000] + "end", cuts=1000) == said[:5000] + "end"
