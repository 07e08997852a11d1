"""What English words there are and how they go together, from WordNet and from a few groups of everyday phrases."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path

from .phrases import GROUPS, IRREGULAR, OPPOSITES

_FILE = Path(__file__).parent / "lexicon.tsv.gz"
_NEGATIVE = ("un", "in", "im", "il", "ir", "dis", "non", "de", "mis")
_ENDINGS = (
    ("ies", "y"), ("ied", "y"), ("ier", "y"), ("iest", "y"), ("ying", "ie"), ("ves", "f"), ("ves", "fe"),
    ("es", ""), ("es", "e"), ("s", ""), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e"),
    ("er", ""), ("er", "e"), ("est", ""), ("est", "e"), ("ly", ""), ("men", "man"),
)  # fmt: skip


class Lexicon:
    """WordNet's words, each with the sets of synonyms it is in, its opposites and what is derived from it."""

    def __init__(self, path: Path = _FILE) -> None:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            pairs = (line.rstrip("\n").partition("\t") for line in lines)
            self._lines = {word: rest for word, _, rest in pairs}
        self._groups: dict[str, set[int]] = {}
        for number, group in enumerate(GROUPS):
            for word in group.split():
                self._groups.setdefault(word.replace("_", " "), set()).add(number)
        self._opposites: dict[str, set[str]] = {}
        for line in OPPOSITES:
            one, others = line.split(" / ")
            for first in one.split():
                for second in others.split():
                    self._opposites.setdefault(first, set()).add(second)
                    self._opposites.setdefault(second, set()).add(first)
        # The same few thousand words come again and again.
        self.forms = lru_cache(maxsize=16384)(self._forms)
        self.alike = lru_cache(maxsize=65536)(self._alike)
        self.opposed = lru_cache(maxsize=65536)(self._opposed)

    def knows(self, word: str) -> bool:
        """Whether *word*, in any of its forms, is English and not a name."""
        return bool(self.forms(word))

    def _forms(self, word: str) -> frozenset[str]:
        """The words that *word* may be a form of, itself included; none for one that is not known."""
        known = self._lines
        found = {word} if word in known or word in self._groups else set()
        if word in IRREGULAR:
            found.add(IRREGULAR[word])
        for ending, instead in _ENDINGS:
            if word.endswith(ending) and len(word) > len(ending) + 1:
                stem = word[: -len(ending)]
                if stem + instead in known or stem + instead in self._groups:
                    found.add(stem + instead)
                if not instead and len(stem) > 2 and stem[-1] == stem[-2] and stem[:-1] in known:
                    found.add(stem[:-1])
        return frozenset(found)

    def _alike(self, one: str, other: str) -> bool:
        """Whether two words say the same, as forms, derivations or synonyms of each other."""
        if one == other:
            return True
        mine, yours = self.forms(one), self.forms(other)
        if mine & yours:
            return True
        if self.opposed(one, other):
            return False
        if any(b in self._part(a, 2) or a in self._part(b, 2) for a in mine for b in yours):
            return True
        senses = {sense for word in mine for sense in self._part(word, 0)}
        if any(sense in senses for word in yours for sense in self._part(word, 0)):
            return True
        return self.everyday(one, other)

    def everyday(self, one: str, other: str) -> bool:
        """Whether two words stand in one of the everyday groups."""
        mine, yours = self.forms(one), self.forms(other)
        groups = {group for word in mine for group in self._groups.get(word, ())}
        return any(group in groups for word in yours for group in self._groups.get(word, ()))

    def _opposed(self, one: str, other: str) -> bool:
        """Whether two words are opposites, or one is the other with a negative prefix."""
        mine, yours = self.forms(one) | {one}, self.forms(other) | {other}
        if mine & yours:
            return False
        for a in mine:
            for b in yours:
                if b in self._part(a, 1) or a in self._part(b, 1) or b in self._opposites.get(a, ()):
                    return True
                longer, shorter = (a, b) if len(a) > len(b) else (b, a)
                if len(shorter) > 2 and longer.endswith(shorter) and longer[: -len(shorter)] in _NEGATIVE:
                    return True
                if a.endswith("less") and b.endswith("ful") and a[:-4] == b[:-3]:
                    return True
                if b.endswith("less") and a.endswith("ful") and b[:-4] == a[:-3]:
                    return True
        return False

    def _part(self, word: str, number: int) -> tuple[str, ...]:
        return _parts(self._lines.get(word, ""))[number]


@lru_cache(maxsize=8192)
def _parts(line: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    senses, opposites, derived, *_ = *line.split("\t"), "", "", ""
    return tuple(senses.split()), tuple(opposites.split()), tuple(derived.split())


@lru_cache(maxsize=1)
def english() -> Lexicon:
    """The lexicon, read when it is first needed: that takes some tenth of a second."""
    return Lexicon()
