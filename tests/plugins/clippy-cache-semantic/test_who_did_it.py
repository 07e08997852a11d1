"""Who did it and whom it was done to are two questions, though their words are the same."""

from __future__ import annotations

import pytest
from clippy_cache_semantic.guards import STRICT, difference
from clippy_cache_semantic.reading import Reading

OPPOSITE = [
    ("Who acquired Google?", "Who did Google acquire?"),
    ("Whom did Google acquire?", "Who acquired Google?"),
    ("What causes cancer?", "What does cancer cause?"),
    ("What is made of gold?", "What is gold made of?"),
    ("Who can call Anna?", "Who can Anna call?"),
    ("Who will replace Tom?", "Who will Tom replace?"),
    ("Who has invited Tom?", "Who has Tom invited?"),
    ("Who is afraid of Anna?", "Who is Anna afraid of?"),
    ("What is used for soap?", "What is soap used for?"),
    ("Which team beat Arsenal?", "Which team did Arsenal beat?"),
    ("Who voted for Anna?", "Who did Anna vote for?"),
    ("What eats owls?", "What do owls eat?"),
    ("Who was replaced by Tom?", "Who was Tom replaced by?"),
    ("Who should thank Maria?", "Who should Maria thank?"),
]
THE_SAME = [
    ("What is the capital of France?", "What is France's capital?"),
    ("Who wrote the book?", "Who was the book written by?"),
    ("What is the price of gold?", "What is the gold price?"),
    ("What does a passport cost?", "What is the cost of a passport?"),
    ("Which country hosted the Olympics?", "Which country hosted the Olympic games?"),
    ("Who invented the telephone?", "Who was the inventor of the telephone?"),
]


@pytest.mark.parametrize(("one", "other"), OPPOSITE)
def test_the_question_from_the_other_side_gets_no_answer(one: str, other: str) -> None:
    """In either order."""
    assert difference(Reading(one), Reading(other), STRICT) is not None
    assert difference(Reading(other), Reading(one), STRICT) is not None


@pytest.mark.parametrize(("one", "other"), THE_SAME)
def test_the_same_question_with_its_words_elsewhere_is_not_taken_for_the_opposite(one: str, other: str) -> None:
    """Another guard may say no, but not because of their order."""
    assert difference(Reading(one), Reading(other), STRICT) != "order"


@pytest.mark.parametrize(
    ("one", "other"), [("Does this apply to US?", "Does this apply to us?"), ("Is WHO right?", "Is who right?")]
)
def test_a_name_in_capitals_is_no_pronoun(one: str, other: str) -> None:
    """Neither for the same words nor for the same meaning."""
    assert Reading(one).normal != Reading(other).normal
    assert difference(Reading(one), Reading(other), STRICT) == "name"


def test_a_text_all_in_capitals_says_the_same() -> None:
    """Somebody shouts."""
    assert Reading("CAN YOU HELP US WITH IT?").normal == Reading("Can you help us with it?").normal
