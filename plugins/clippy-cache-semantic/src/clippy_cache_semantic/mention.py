"""Where a word is not used but spoken of: how it is spelt, what it means, what it is in another language."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .letters import words
from .vocabulary import FUNCTION, NEGATIVE

MENTIONING = words("say says saying word phrase term write spell pronounce translate mean means")
"""Behind these a word is not used but spoken of."""
_COURTESIES = words("hello hi hey please thanks thank sorry goodbye bye cheers regards pardon")
"""What surrounds a question is taken away before: where one of these is left, it is spoken of."""
_SPOKEN = (
    re.compile(r"\b(?:say|spell|pronounce|translate)(?: the (?:word|phrase|term))? ([a-z]+)"),
    re.compile(r"\b(?:words?|synonyms?|antonyms?|opposites?|rhymes?) (?:for|of|to|with) (?:an? |the )?([a-z]+)"),
    re.compile(r"\b(?:does|do|what)(?: the (?:word|phrase|term))? ([a-z]+) means?\b"),
    re.compile(r"\b([a-z]+ (?:regards|wishes))\b"),
    re.compile(r"(?<!\w)['\"]([^'\"]{1,60})['\"](?!\w)"),
)
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def spoken(text: str, tokens: Sequence[str]) -> frozenset[str]:
    """The words that *text*, in lower case and of these *tokens*, speaks of: they have no synonyms."""
    said = (word for pattern in _SPOKEN for found in pattern.findall(text) for word in _WORD.findall(found))
    return (frozenset(said) - (FUNCTION - NEGATIVE)) | (_COURTESIES & frozenset(tokens))
