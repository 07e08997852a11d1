"""What a semantic cache did, or in shadow mode would have done."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Literal

from attrs import frozen

Tier = Literal["words", "meaning"]
NEAR = 0.8
"""Share of words that two answers have in common from which on they count as near each other."""
_WORD = re.compile(r"\w+")


@frozen
class Hit:
    """An answer that was given, or in shadow mode would have been: by which tier and how alike the questions are.

    ``similarity`` is the cosine of the two questions, 1.0 for those of the same words.
    """

    key: str
    tier: Tier
    similarity: float


@frozen
class SemanticStatistics:
    """Counts since the plugin was made.

    ``lookups``: questions that might have been answered.  ``words``, ``meaning``: hits by tier; in shadow mode what
    would have been.  ``vetoes``: near questions that a guard told apart, by its name.  ``equal``, ``near``, ``other``:
    in shadow mode, how the provider's answer compares with the one that would have been given.  ``reported``: hits that
    were reported as wrong.
    """

    lookups: int
    words: int
    meaning: int
    vetoes: Mapping[str, int]
    equal: int
    near: int
    other: int
    reported: int


def compared(one: str, other: str) -> Literal["equal", "near", "other"]:
    """How alike two answers are, by their words and how often each comes."""
    if " ".join(one.split()) == " ".join(other.split()):
        return "equal"
    mine, yours = (Counter(_WORD.findall(text.casefold())) for text in (one, other))
    together = (mine | yours).total()
    return "near" if together and (mine & yours).total() / together >= NEAR else "other"
