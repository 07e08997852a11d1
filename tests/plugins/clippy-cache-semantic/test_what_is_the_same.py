"""Which texts are the same words, which say the same, and by what two are told apart."""

from __future__ import annotations

import pytest
from clippy_cache_semantic import SemanticCache
from clippy_cache_semantic.guards import BALANCED, difference
from clippy_cache_semantic.normal import normalised
from clippy_cache_semantic.reading import Reading
from clippy_cache_semantic.shelf import Shelf, unit
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.testing import PluginContract


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What's the fee for 12 boxes?", "what is the fee for twelve boxes"),
        ("How do I paint a door?", "  HOW  do I paint a door??  "),
        ("How do I paint a door?", "Hi there, could you please tell me: how can I paint a door? Thanks!"),
        ("Does it cost 1,500 a month?", "does it cost 1500 a month"),
        ("In winter, can I paint a door?", "Can I paint a door in winter?"),
        ("Please, where do I park? Many thanks", "erm, where do I park"),
        ("I can't open the lid", "i cannot open the lid"),
        ("two hundred and five nails", "205 nails"),
        ("How do I paint a door?", "Morning all! Quick question: how do I paint a door? Any help is appreciated."),
        ("How do I paint a door?", "I'd be grateful if you could tell me how to paint a door, if you don't mind."),
    ],
)  # fmt: skip
def test_another_dress_is_the_same_words(one: str, other: str) -> None:
    """Capitals, marks, politeness, contractions, numbers, order of clauses."""
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Set it to 1.5", "Set it to 15"), ("Is -5 cold?", "Is 5 cold?"), ("What is C++?", "What is C?"),
        ("print('A')", "print('a')"), ("x = 1\n    y", "x = 1\ny"), ("What is 2 * 3?", "What is 2 + 3?"),
        ("Can I park here?", "Can't I park here?"), ("At 10:30", "At 1030"), ("Is it 5%?", "Is it 5?"),
        ("Give me one of twenty thirty", "Give me one of 50"),
        ("How do you say thank you?", "How do you say please?"), ("Hello lyrics", "Sorry lyrics"),
        ("All dogs allowed?", "Dogs allowed?"), ("Team building ideas", "Building ideas"),
        ("Good morning in French?", "Good evening in French?"), ("What does please mean?", "What does kindly mean?"),
    ],
)  # fmt: skip
def test_what_marks_say_is_kept(one: str, other: str) -> None:
    """Where a mark, a capital or a blank makes a difference it is no dress."""
    assert normalised(one) != normalised(other)


@given(st.text(max_size=60))
def test_to_normalise_any_text_ends_and_is_never_empty_for_words(text: str) -> None:
    """Nothing raises; what has words keeps some; the same text has one form."""
    once = normalised(text)
    assert once == normalised(text)
    assert bool(once) == bool(text.strip())


@given(st.text(max_size=40), st.text(max_size=40))
def test_guards_judge_any_two_texts_alike_both_ways_round(one: str, other: str) -> None:
    """Nothing raises, and numbers, units, times and negations do not depend on who asks first."""
    a, b = Reading(one), Reading(other)
    for guard in BALANCED:
        assert (guard(a, b) is None) == (guard(b, a) is None)
    difference(a, b)
    difference(b, a)


SAME = (
    ("How do I fix a broken chair?", "How can I repair a damaged chair?"),
    ("When does the museum open?", "What time does the museum open?"),
    ("How much is a haircut?", "What is the price of a haircut?"),
    ("Why did Kim reject the offer?", "Why was the offer rejected by Kim?"),
    ("How do I turn the alarm off?", "How do I disable the alarm?"),
    ("What is the difference between tea and coffee?", "How does coffee differ from tea?"),
    ("Where is the nearest pharmacy?", "Where is the closest pharmcay?"),
    ("Who repairs roofs in Graz?", "Who fixes roofs in graz?"),
)
OTHER = {
    "number": ("Can I bring 2 dogs?", "Can I bring three dogs?"),
    "unit": ("Is 5 litres enough?", "Is 5 gallons enough?"),
    "time": ("Are you open on Sunday?", "Are you open on Saturday?"),
    "negation": ("Which dogs are allowed?", "Which dogs are not allowed?"),
    "antonym": ("How do I inflate a tyre?", "How do I deflate a tyre?"),
    "code": ("What does `foo(x)` return?", "What does `bar(x)` return?"),
    "kind": ("When did Graz win?", "Why did Graz win?"),
    "scope": ("Can I park in the yard?", "Can I only park in the yard?"),
    "name": ("How do I call Zorvex?", "How do I call Quandle?"),
    "content": ("Does the soup contain celery?", "Does the stew contain celery?"),
    "order": ("Is an eel longer than a pike?", "Is a pike longer than an eel?"),
}


@pytest.mark.parametrize(("one", "other"), SAME)
def test_other_words_for_the_same_pass(one: str, other: str) -> None:
    """Synonyms, passives, kinds of questions, slips of the pen."""
    assert difference(Reading(one), Reading(other)) is None
    assert difference(Reading(other), Reading(one)) is None


@pytest.mark.parametrize("guard", OTHER)
def test_each_guard_tells_its_kind_apart(guard: str) -> None:
    """The first that objects is the one that is meant for it, whoever asks first."""
    one, other = map(Reading, OTHER[guard])
    assert difference(one, other) == guard
    assert difference(other, one) == guard


def test_directions_may_not_be_turned_round() -> None:
    """From and to."""
    one, other = Reading("How far is it from Graz to Linz?"), Reading("How far is it from Linz to Graz?")
    assert difference(one, other) in ("order", "direction")


def test_two_texts_without_words_of_content_are_not_one() -> None:
    """There is nothing to go by."""
    assert difference(Reading("What is it?"), Reading("Who are you?")) is not None
    assert difference(Reading("What should I do?"), Reading("What can I do?")) is not None


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.integers(0, 2**32 - 1)), max_size=60))
def test_a_shelf_finds_what_a_plain_search_does(steps: list[tuple[int, bool, int]]) -> None:
    """Whatever was added, replaced and dropped before."""
    shelf, model = Shelf(4), {}
    for number, add, seed in steps:
        key = str(number)
        if add:
            model[key] = unit([seed % 7 - 3, seed % 11 - 5, seed % 13 - 6, 1])
            shelf.put(key, model[key])
        else:
            model.pop(key, None)
            shelf.drop(key)
    asked = unit([1, 2, 3, 4])
    expected = {key for key, vector in model.items() if float(vector @ asked) >= 0.3 + 1e-6}
    found = dict(shelf.near(asked, 0.3, 100))
    assert expected <= set(found) <= set(model)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@pytest.mark.parametrize("numbers", [[], [0.0, 0.0], [float("nan"), 1.0], [float("inf")]])
def test_what_is_no_vector_is_refused(numbers: list[float]) -> None:
    """An embedder that gives nonsense is found out at once."""
    with pytest.raises(ValueError, match="embedding"):
        unit(numbers)


class TestSemanticCacheAsPlugin(PluginContract):
    def make(self) -> SemanticCache:
        return SemanticCache(mode="serve")
