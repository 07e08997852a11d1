"""Texts to token ids, as the model was trained: BERT's uncased WordPiece (Devlin et al. 2018; Wu et al. 2016).

The steps, in this order: drop what cannot be seen, part CJK ideographs, strip accents, lower each character, split at
white space and around punctuation, then cut each word into the longest pieces that the vocabulary has.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache

LONGEST_WORD = 100
"""Characters; a longer word is one unknown token."""
_CHARACTERS = 4 * LONGEST_WORD
"""Looked at for each token that is wanted, so that a book costs no more than its first page."""

_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
_ASCII_PUNCTUATION = frozenset(string.punctuation)


@lru_cache(maxsize=4096)
def _shown(char: str) -> str:
    """What one character of a text becomes: nothing, a space, itself, or itself between spaces."""
    category = unicodedata.category(char)
    if char in "\t\n\r" or category[0] == "Z":
        return " "
    if char == "\ufffd" or category in ("Cc", "Cf", "Co", "Cs"):
        return ""
    if any(first <= ord(char) <= last for first, last in _IDEOGRAPHS):
        return f" {char} "
    return char


@lru_cache(maxsize=4096)
def _plain(char: str) -> str:
    """One character of a decomposed text: without its accent, in lower case, punctuation between spaces."""
    category = unicodedata.category(char)
    if category == "Mn":
        return ""
    if char in _ASCII_PUNCTUATION or category[0] == "P":
        return f" {char} "
    return char.lower()  # by itself: a sigma at the end of a word is one like any other


class WordPiece:
    """A vocabulary and the cutting by it.  Special tokens in a text are text: nobody types a separator."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self._first = {word: number for word, number in vocabulary.items() if not word.startswith("##")}
        self._later = {word[2:]: number for word, number in vocabulary.items() if word.startswith("##")}
        self._unknown, self._start, self._end = (vocabulary[name] for name in ("[UNK]", "[CLS]", "[SEP]"))
        self._longest = max(map(len, vocabulary))
        self._pieces = lru_cache(maxsize=4096)(self._cut)

    def ids(self, text: str, most: int) -> list[int]:
        """The tokens of *text* between the two that begin and end every text; at most *most* in all, 2 or more."""
        room = most - 2
        ids: list[int] = []
        for word in self._words(text[: most * _CHARACTERS]):
            ids.extend(self._pieces(word))
            if len(ids) >= room:
                break
        return [self._start, *ids[:room], self._end]

    @staticmethod
    def _words(text: str) -> Iterator[str]:
        shown = "".join(map(_shown, text))
        return iter("".join(map(_plain, unicodedata.normalize("NFD", shown))).split())

    def _cut(self, word: str) -> tuple[int, ...]:
        """The longest piece first, then the longest of the rest; one unknown token where there is none."""
        if len(word) > LONGEST_WORD:
            return (self._unknown,)
        pieces: list[int] = []
        begin, known = 0, self._first
        while begin < len(word):
            for end in range(min(len(word), begin + self._longest), begin, -1):
                number = known.get(word[begin:end])
                if number is not None:
                    break
            else:
                return (self._unknown,)
            pieces.append(number)
            begin, known = end, self._later
        return tuple(pieces)
