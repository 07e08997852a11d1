"""What the pieces of a text cost in tokens.

A byte-pair tokenizer cuts a text into pieces by character class (a word with the blank before it, up to three digits, a
run of punctuation, a line end) and then each piece into tokens.  The first step is cheap and done here as it is done
there; for the second, a piece costs what pieces of its class and length cost on average in OpenAI's ``o200k_base``.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections import Counter
from typing import Final

from attrs import define, frozen

# --- the pieces -------------------------------------------------------------------------------------------------------

SLICE: Final = 1 << 18
"""Characters looked at together, so that a huge text does not become a huge list of pieces."""

# Every alternative takes a run that can end in one place only, so a scan is linear.
_PART: Final = (
    r"(?:[^\w\r\n]|_)?(?:[A-Z]*+[a-z]++|[A-Z]++)(?![\u00aa-\u024f\u0300-\u036f\u1e00-\u1eff])"
    r"(?:'(?:s|t|re|ve|m|ll|d)\b)?"
    r"|[0-9]{1,3}"
    r"| ?[!-/:-@\[-`{-~]++[\r\n/]*+"
    r"| ?[A-Za-z\u00c0-\u024f\u0300-\u036f\u1e00-\u1eff]++"
    r"| ?[\u3040-\u30ff]++| ?[\u3400-\u9fff]++"
    r"| ?[\u0370-\u1dff\u1f00-\u1fff\uac00-\ud7af]++"
    r"| ?[\u2010-\u2027\u2030-\u205e\u3001-\u303f]"
    r"|\s*[\r\n]+|\s+(?!\S)|\s"
    r"|[^\x00-\x7f]++"
    r"|."
)
_LONG: Final = r"[A-Za-z0-9+/]{20,}+"  # base64, hex, paths, long names
_PIECE: Final = f"{_LONG}|{_PART}"
_REPEAT: Final = r"(.)\1*+"
_SHIFT: Final = r"[A-Z]++|[a-z]++|[0-9]++|[+/]++"


@functools.cache
def _expression(pattern: str) -> re.Pattern[str]:
    """Compiled at the first count: it takes as long as everything else that a host imports for it."""
    return re.compile(pattern, re.DOTALL)


# --- what they cost ---------------------------------------------------------------------------------------------------

# First character of a block of scripts, the kind of script, and the cost of a run: max(1, a + the sum of b).
# "unknown" scripts have few words in a vocabulary and cost nearly their bytes.
_SCRIPTS: Final = (
    (0x0000, "latin", 0.25, 0.17),
    (0x00A0, "symbol", 0.3, 0.9),
    (0x00C0, "latin", 0.25, 0.3),
    (0x0250, "unknown", 0.0, 1.0),
    (0x0300, "latin", 0.25, 1.3),
    (0x0370, "other", 0.15, 0.44),  # Greek
    (0x0400, "cyrillic", 0.56, 0.18),
    (0x0530, "other", 0.80, 0.25),  # Armenian
    (0x0590, "other", 0.15, 0.45),  # Hebrew
    (0x0600, "other", 0.45, 0.28),  # Arabic
    (0x0700, "unknown", 0.0, 1.5),
    (0x0900, "other", 0.35, 0.28),  # Devanagari
    (0x0980, "other", 0.40, 0.40),  # Bengali to Sinhala
    (0x0E00, "other", 0.60, 0.40),  # Thai
    (0x0E80, "unknown", 0.0, 1.9),
    (0x1000, "other", 1.50, 0.55),  # Burmese
    (0x10A0, "other", 0.65, 0.26),  # Georgian
    (0x1100, "unknown", 0.0, 2.2),
    (0x1780, "other", 1.80, 0.65),  # Khmer
    (0x1800, "unknown", 0.0, 2.2),
    (0x1E00, "latin", 0.25, 1.1),  # Vietnamese
    (0x1F00, "other", 0.30, 1.20),  # polytonic Greek
    (0x2000, "symbol", 0.4, 0.75),
    (0x2070, "symbol", 0.0, 1.5),
    (0x2C00, "unknown", 0.0, 2.4),
    (0x3000, "symbol", 0.2, 0.8),
    (0x3040, "cjk", 0.35, 0.62),  # Kana
    (0x3100, "unknown", 0.0, 2.0),
    (0x3400, "cjk", 0.3, 0.80),  # Han
    (0xA000, "unknown", 0.0, 2.4),
    (0xAC00, "cjk", 0.40, 0.62),  # Hangul
    (0xD7B0, "unknown", 0.0, 2.4),
    (0xF900, "cjk", 0.0, 1.5),
    (0xFB00, "unknown", 0.0, 2.0),
    (0xFF00, "symbol", 0.1, 0.9),
    (0x10000, "unknown", 0.0, 3.0),
    (0x1F000, "symbol", 0.3, 1.45),  # emoji
    (0x20000, "unknown", 0.0, 3.0),
)
_NOT_RUSSIAN: Final = frozenset("іїєґўђћљњџјѓќѕәғқңөұүһъ")  # letters that Russian has not, or hardly ever uses
_NOT_RUSSIAN_RATE: Final = 0.10  # what each letter costs more in the other languages written in Cyrillic
_STARTS: Final = tuple(script[0] for script in _SCRIPTS)

_WORD: Final = (0.0, 1.0, 1.0, 1.0, 1.01, 1.04, 1.06, 1.07, 1.13, 1.2, 1.22, 1.25, 1.45, 1.45, 1.6, 1.8, 2.1)
_LEADS: Final = dict.fromkeys(" \t’—–", 0.0) | dict.fromkeys("_.(<'", 0.1) | dict.fromkeys("-:/,[\\=", 0.33)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that are frequent in other languages and rare in English and in code.  Where they are common the other words of
# the text are longer in tokens than English ones: half as much in the languages that the vocabulary knows well.
_WELL_KNOWN: Final = _words(
    "al als auf avec che com como da das dat de dei del della der des deze di die dos du een ein eine em er es est et "
    "ha hat het il ist kann la les los mit nel nem nicht niet oder om op para pas por pour que qui se sono su sua sur "
    "um uma un una und une van von voor wird wordt zijn zu zum zur"
)
_LITTLE_KNOWN: Final = _words(
    "aan aby ang ar att av az bez bir bu byla cha dan dari det dla egy ett ez fi har hogy ile ir ja jako jest kad kaip "
    "kell kui kwa lub ma med meg mga mis mo muss na nang nebo ng ning nu och og olla oraz ovat pada peab przez sau "
    "sem serta som sus tai tak ten till tylko untuk vagy ve veya wa ya yake yang yra za"
)


def _word(piece: str) -> float:
    """An ASCII word with at most one leading character."""
    lead = "" if piece[0].isalpha() else piece[0]
    word = piece[len(lead) :].partition("'")[0]
    size = len(word)
    extra = _LEADS.get(lead, 0.85) if lead else 0.02 * size
    if word.islower() or word[1:].islower():
        return extra + (_WORD[size] if size < len(_WORD) else 2.1 + 0.35 * (size - 16))
    if word.isupper():
        return extra + 0.9 + (0.09 if lead else 0.2) * size
    return extra + 0.85 + 0.42 * size


def _long(piece: str) -> float:
    """A long unbroken run: random characters change their class often, paths and long names seldom."""
    if len(_expression(_SHIFT).findall(piece)) > 0.4 * len(piece):
        return len(piece) * (0.6 if piece in (piece.lower(), piece.upper()) else 0.78)
    return sum(_word(part) if part[-1].isalpha() else 1.0 for part in _expression(_PART).findall(piece))


def _marks(piece: str) -> float:
    """Punctuation: a repeated character is cheap, three different ones often are one token, more are not."""
    core = piece.strip()
    size = len(core)
    if size < 5:
        return 1.15 if size == 3 else 1.7 if size == 4 and len(set(core)) > 1 else 1.0
    runs = [len(run.group()) for run in _expression(_REPEAT).finditer(core)]
    return max(1.0, sum(0.5 + run // 24 for run in runs))


@frozen
class Rates:
    """Tokens of one family of models for each ``o200k_base`` token, by kind of script."""

    latin: float = 1.0
    cjk: float = 1.0
    other: float = 1.0


@define
class Tally:
    """Estimated ``o200k_base`` tokens by kind of script."""

    ascii: float = 0.0
    cjk: float = 0.0
    other: float = 0.0
    words: int = 0
    well: int = 0
    little: int = 0
    surplus: float = 0.0  # what the words would cost more in a language of which the vocabulary knows little
    accented: float = 0.0  # the same for words with accents
    cyrillic: int = 0  # letters, and those of them that tell that the language is not Russian
    not_russian: int = 0

    def read(self, text: str) -> None:
        """Add the pieces of *text*."""
        for start in range(0, len(text), SLICE):
            for piece, times in Counter(_expression(_PIECE).findall(text, start, start + SLICE)).items():
                self._add(piece, times)

    def _add(self, piece: str, times: int) -> None:
        word = piece[1:]
        size = len(word)
        # Most pieces of most texts are such words; without this branch counting takes nearly twice as long.
        if piece[0] == " " and size < len(_WORD) and word.islower() and word.isascii() and word.isalpha():
            self.ascii += times * _WORD[size]
            self.words += times
            if size > 4:
                self.surplus += times * 0.27 * (size - 4)
            self.well += times * (word in _WELL_KNOWN)
            self.little += times * (word in _LITTLE_KNOWN)
            return
        last = piece[-1]
        if piece.isspace():
            self.ascii += times * (1.0 + len(piece) // 80)
        elif last.isalpha() and (piece[1:] if len(piece) > 1 else piece).isascii():
            self._add_word(piece, times)
        elif not piece.isascii():
            self._add_letters(piece, times)
        elif last.isdigit() and len(piece) < 4:
            self.ascii += times
        elif _is_long(piece):
            self.ascii += times * _long(piece)
        else:
            self.ascii += times * _marks(piece)

    def _add_word(self, piece: str, times: int) -> None:
        if _is_long(piece):
            self.ascii += times * _long(piece)
            return
        word = piece if piece[0].isalpha() else piece[1:]
        self.ascii += times * _word(piece)
        self.words += times
        self.well += times * (word in _WELL_KNOWN)
        self.little += times * (word in _LITTLE_KNOWN)
        if word[1:].islower():
            self.surplus += times * max(0.0, 0.27 * (len(word) - 4))

    def _add_letters(self, piece: str, times: int) -> None:
        core = piece.strip()
        scripts = [_SCRIPTS[bisect_right(_STARTS, ord(char)) - 1] for char in core]
        cost = times * max(1.0, scripts[0][2] + sum(script[3] for script in scripts))
        kinds = {script[1] for script in scripts}
        if "latin" in kinds:
            self.ascii += cost
            self.words += times
            self.accented += times * max(0.0, 0.27 * (len(core) - 4))
            if max(core) > "\u00ff":
                self.little += times
            else:
                self.well += times
        elif "cjk" in kinds:
            self.cjk += cost
        elif kinds == {"symbol"}:
            self.ascii += cost
        else:
            self.other += cost
            if "cyrillic" in kinds:
                self.cyrillic += times * len(core)
                self.not_russian += times * len(_NOT_RUSSIAN.intersection(core.lower()))

    def total(self, rates: Rates) -> float:
        """The estimate for a family of models."""
        words = max(1, self.words)
        little = min(1.0, self.little / words / 0.12)
        well = 0.4 * min(1.0, max(0.0, self.well / words - 0.02) / 0.2)
        latin = self.ascii + min(1.0, little + well) * self.surplus + min(1.0, little + well / 3) * self.accented
        other = self.other
        if self.not_russian > 0.005 * self.cyrillic:
            other += _NOT_RUSSIAN_RATE * self.cyrillic
        return latin * rates.latin + self.cjk * rates.cjk + other * rates.other


def _is_long(piece: str) -> bool:
    return len(piece) >= 20 and _expression(_LONG).fullmatch(piece) is not None
