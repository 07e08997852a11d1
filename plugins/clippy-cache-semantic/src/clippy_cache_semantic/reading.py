"""What a text says, as far as rules can tell: its words of content, names, numbers, negations and kind of question."""

# ruff: noqa: E501 (lists of words)

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from itertools import pairwise

from attrs import define, field, frozen

from .letters import slips
from .lexicon import english
from .mention import MENTIONING, spoken
from .normal import looks_like_code, lowered, normalised, plain
from .polite import asked
from .vocabulary import (
    ARTICLE,
    ARTICLES,
    FILLER,
    FUNCTION,
    KIND,
    KINDS,
    LETTER_BEFORE,
    LETTERS,
    LETTERS_ONLY,
    MEASURING,
    NEGATIVE,
    OPENING,
    ORDINALS,
    PARTS,
    PHRASES,
    POSSIBLE_HOW,
    REWORDED,
    SHORT,
    SMALL,
    STRICT,
    UNITS,
    WHEN,
    YES_NO,
)

_TOKEN = re.compile(r"[£$€¥]?\d+(?:[.:]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?|[%#@&+]")
_PAUSE = re.compile(r"[.,;:?!]")
_CODE_TOKEN = re.compile(
    r"`[^`]+`|\b\w+[_./:\\]\w[\w./:\\]*|--?\w[\w-]+(?<=\w)|\b\w+\(\)?|\b[a-z]+[A-Z]\w*|[<>=!]=|->|=>|&&|\|\||[{}\[\]<>=]"
)
_JOINED = re.compile(
    r"\b(?:(non|un|re|pre|post|anti|semi|self|ex|co|multi)[- ]|(de|dis|mis|over|under|inter|sub|super|micro|mini|out)-)(?=[a-z]{3})"
)

_ALL_CAPITALS = re.compile(r"\b[A-Z]{2,5}\b")


@frozen
class Word:
    """One word of content: as it stands in lower case, the words before and behind it, and whether it is a name.

    ``at``: its place among the tokens; ``clause``: how many clauses began before it, and what opened its own; ``led``:
    the preposition or other word before it and its articles; ``owner``: a genitive; ``short``: a name in capitals
    alone, so more likely initials.
    """

    text: str
    before: str
    behind: str
    name: bool
    filler: bool
    at: int = 0
    clause: tuple[int, str] = (0, "")
    led: str = ""
    owner: bool = False
    short: bool = False


@define(eq=False, slots=False)
class Reading:
    """A text, read when somebody first asks what it says: most are only compared by their words."""

    text: str
    normal: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.normal = normalised(self.text)
        if _ALL_CAPITALS.search(self.text) is not None:
            for word in sorted(self.capitals & FUNCTION):  # US is another word than us
                self.normal = re.sub(rf"\b{word}\b", word.upper(), self.normal)

    @cached_property
    def bare(self) -> str:
        """The question without what surrounds it, in lower case."""
        low = asked(lowered(plain(self.text)))
        low = asked(LETTERS_ONLY.sub(self._spelt, _JOINED.sub(r"\1\2", low)))
        for pattern, word in (*REWORDED, *PHRASES):
            low = pattern.sub(word, low)
        return low

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Its words and numbers in their order, genitives without their ending."""
        return tuple(token.removesuffix("'s") for token in _TOKEN.findall(self.bare))

    @cached_property
    def owners(self) -> frozenset[int]:
        """Places of the genitives among the tokens."""
        return frozenset(at for at, token in enumerate(_TOKEN.findall(self.bare)) if token.endswith("'s"))

    @cached_property
    def clauses(self) -> tuple[tuple[int, str], ...]:
        """For each token how many clauses begin before it, and the word that opened its own: "" where none did."""
        found, count, opening, end = [], 0, "", 0
        for match in _TOKEN.finditer(self.bare):
            if match[0] in OPENING:
                count, opening = count + 1, match[0]
            elif _PAUSE.search(self.bare, end, match.start()):
                count, opening = count + 1, ""
            end = match.end()
            found.append((count, opening))
        return tuple(found)

    def led(self, at: int) -> str:
        """The word before the articles of the token at *at*; "" where it stands first."""
        before = at - 1
        while before >= 0 and self.tokens[before] in ARTICLES:
            before -= 1
        return self.tokens[before] if before >= 0 else ""

    def _spelt(self, match: re.Match[str]) -> str:
        """A small word or a day, month or time of day that was meant, where what stands there is no word nor a name."""
        word = match[0]
        if word in FUNCTION or english().knows(word):
            return word
        mended = SHORT.get(word) or meant(word)
        # Days and months are written as names are.
        return word if word in self.names and mended.rstrip("s") not in WHEN else mended

    @cached_property
    def names(self) -> frozenset[str]:
        """Words that are written as names are: with capitals, in a text that is not all so, and not where one begins."""
        words = list(re.finditer(r"[^\W\d_]+", plain(self.text)))
        capital = [match for match in words if match[0][0].isupper()]
        if len(capital) > 0.6 * len(words) and len(words) > 3:
            return frozenset()
        text = plain(self.text)
        begins = {match.end() for match in re.finditer(r"(?:^|[.!?:]\s|\n)[\s\"'(]*", text)}
        return frozenset(
            match[0].casefold() for match in capital if match.start() not in begins and match[0] not in ("I", "OK")
        )

    @cached_property
    def capitals(self) -> frozenset[str]:
        """Names of up to five letters, all of them capitals."""
        return frozenset(word.casefold() for word in _ALL_CAPITALS.findall(plain(self.text))) & self.names

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """Its words of content."""
        found, tokens = [], self.tokens
        known = english()
        for at, token in enumerate(tokens):
            previous, behind = tokens[at - 1] if at else "", tokens[at + 1] if at + 1 < len(tokens) else ""
            if self._ties(token, behind) or (token in UNITS and previous[-1:].isdigit()):
                continue
            forms = known.forms(token)
            named = token in self.names
            spoken_of = named or previous in MENTIONING
            filler = not spoken_of and (token in FILLER or (bool(forms) and forms <= FILLER))
            found.append(
                Word(
                    token, previous, behind, named, filler, at, self.clauses[at], self.led(at), at in self.owners,
                    token in self.capitals,
                )
            )  # fmt: skip
        return tuple(found)

    def _ties(self, token: str, behind: str) -> bool:
        """Whether *token* is no word of content: it ties others, or a rule of its own looks at it."""
        if not token[0].isalpha():
            return True
        if token in FUNCTION:
            return len(token) > 1 or (token not in self.names and (token not in ARTICLE or behind not in LETTER_BEFORE))
        return token in STRICT or token in WHEN or token.rstrip("s") in WHEN or token in PARTS

    @cached_property
    def strict(self) -> frozenset[str]:
        """Small words that must stand on both sides."""
        return frozenset(token for token in self.tokens if token in STRICT) | frozenset(
            token for token, behind in pairwise(self.tokens) if token in MEASURING and behind[-1].isdigit()
        )

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Its numbers in rising order of their spelling, ordinals and parts included."""
        found = []
        for token in self.tokens:
            if token[-1].isdigit():
                found.append(_number(token.lstrip("£$€¥")))
            elif token in ORDINALS and token not in ("first", "second"):
                found.append(f"{ORDINALS[token]}")
            elif token in PARTS:
                found.append(PARTS[token])
        return tuple(sorted(found))

    @cached_property
    def units(self) -> frozenset[str]:
        """The units of its numbers, and other units that are named."""
        found, before = set(), ""
        for token in self.tokens:
            behind_number = before[-1:].isdigit()
            if token[0] in "£$€¥" and len(token) > 1:
                found.add(UNITS[token[0]])
            if token in UNITS and (
                behind_number or (token not in LETTERS and UNITS[token] not in ("person", "user", "in"))
            ):
                found.add(UNITS[token])
            before = token
        return frozenset(found - {"am", "pm"})

    @cached_property
    def when(self) -> frozenset[str]:
        """Days, months, seasons and times of day in it."""
        found = {token.rstrip("s") if token.rstrip("s") in WHEN else token for token in self.tokens}
        found &= WHEN
        if "may" in found and "may" not in self.names:
            found.discard("may")
        if "am" in found and not re.search(r"\d\s?am\b", self.bare):
            found.discard("am")
        if found & {"morning", "afternoon", "evening", "night"} and self.numbers:
            half = "am" if "morning" in found else "pm"
            found = found - {"morning", "afternoon", "evening", "night"} | {half}
        return frozenset(found)

    @cached_property
    def negations(self) -> int:
        """How often it says no, without prefixes."""
        return sum(token in NEGATIVE for token in self.tokens)

    @cached_property
    def code(self) -> frozenset[str]:
        """What looks like code in it, as it is written."""
        return (
            frozenset(_CODE_TOKEN.findall(self.text)) if looks_like_code(self.text) or "_" in self.text else frozenset()
        )

    @cached_property
    def kind(self) -> str:
        """What is asked for: what, how, how much, when, where, why, who, yes or no, or "" where that cannot be told."""
        bare = self.bare
        if POSSIBLE_HOW.match(bare):
            return ""
        if YES_NO.match(bare):
            return "yes or no"
        match = KIND.search(bare)
        if match is None or match.lastgroup is None:
            return ""
        return KINDS[int(match.lastgroup[1:])][1]

    @cached_property
    def spoken(self) -> frozenset[str]:
        """Words that are not used but spoken of."""
        return spoken(self.bare, self.tokens)

    @cached_property
    def initials(self) -> str:
        """The first letter of each of its words."""
        return "".join(token[0] for token in self.tokens)

    @cached_property
    def kind_words(self) -> frozenset[str]:
        """Words that only say again what is asked for."""
        return frozenset(word for _, kind, words in KINDS if kind == self.kind for word in words.split())


@lru_cache(maxsize=4096)
def meant(token: str) -> str:
    """What *token*, no word of English, is with a slip of the pen: a small word or a time of day; else *token*.

    Of short words only two letters that changed places are mended: too many names are near those.
    """
    for word in SMALL:
        near = sorted(word) == sorted(token) or (len(word) > 4 and word[0] == token[0])
        if near and slips(token, word) == 1:
            return word
    return token


def _number(text: str) -> str:
    if ":" in text:
        return text.removesuffix(":00")
    try:
        return f"{float(text):g}" if text.count(".") < 2 else text
    except ValueError:
        return text
