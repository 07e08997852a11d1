"""Where a text may be cut although more of it is to come.

The rules are those of UAX #29 for extended grapheme clusters (what a reader takes for one character), told from the
properties in ``unicodedata`` and therefore stricter: where these do not say for sure that there is a boundary, there is
none.  So a combining mark, a joiner and what it joins, the two halves of a flag, a skin tone, the parts of a Hangul
syllable and an Indic conjunct always stay together, and so does everything that the next piece may still add to.
"""

from __future__ import annotations

from unicodedata import category, combining

_VIRAMA = 9
"""The combining class of what joins Indic consonants."""
_EXTENDING = frozenset({"Mn", "Me", "Mc", "Cf", "Cn"})
"""Categories that go on with a character; Cn may in a later Unicode."""
_CONTROLS = frozenset({"Cc", "Zl", "Zp"})
_JOINER = "\u200d"
# Letters and signs that Unicode counts among what extends or precedes.
_ADDED = frozenset("\u0e33\u0eb3\uff9e\uff9f")
_PREPENDED = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
    "\u0d4e\U000111c2\U000111c3\U000113d1\U0001193f\U00011941\U00011a3a\U00011d46\U00011f02"
    + "".join(map(chr, range(0x11A84, 0x11A8A)))
)


def boundary(text: str, at: int) -> bool:
    """Whether *text* may be cut before the character at *at* (above 0), whatever comes behind it."""
    before, after = text[at - 1], text[at]
    if before == "\r" and after == "\n":
        return False
    if before < "\x7f" and after < "\x7f":
        return True
    of_before, of_after = category(before), category(after)
    if of_before in _CONTROLS or of_after in _CONTROLS:
        return True
    if (of_after in _EXTENDING and after not in _PREPENDED) or after in _ADDED or "\U0001f3fb" <= after <= "\U0001f3ff":
        return False
    if before == _JOINER or before in _PREPENDED:
        return False
    if "\U0001f1e6" <= after <= "\U0001f1ff" and "\U0001f1e6" <= before <= "\U0001f1ff":
        return _letters_of_flags(text, at) % 2 == 0
    if _begins_syllable(before) and _is_hangul(after):
        return False
    if _goes_on_with_syllable(after):
        return False
    return not (of_after == "Lo" and _is_conjunct(text, at))


def last_boundary(text: str) -> int:
    """How much of *text* nothing can be added to: where its last character, as a reader sees it, begins."""
    if text and text[-1] != "\r" and category(text[-1]) in _CONTROLS:
        return len(text)
    return next((at for at in range(len(text) - 1, 0, -1) if boundary(text, at)), 0)


def last_word(text: str) -> int:
    """Where the last word begins, with the space before it; each letter of a script without spaces is a word."""
    return next((at for at in range(len(text) - 1, 0, -1) if _begins_word(text[at]) and boundary(text, at)), 0)


def last_line(text: str) -> int:
    """Where the last line begins, the one that has no newline yet."""
    return text.rfind("\n") + 1


def _begins_word(letter: str) -> bool:
    return (
        letter.isspace() or "\u3040" <= letter <= "\u9fff" or "\uf900" <= letter <= "\ufaff" or letter >= "\U00020000"
    )


def _letters_of_flags(text: str, at: int) -> int:
    """How many of the letters that make flags in pairs stand before *at*."""
    first = at
    while first and "\U0001f1e6" <= text[first - 1] <= "\U0001f1ff":
        first -= 1
    return at - first


def _is_conjunct(text: str, at: int) -> bool:
    """Whether a virama stands, or may stand, among the marks before *at*."""
    while at:
        mark, kind = text[at - 1], category(text[at - 1])
        if kind not in _EXTENDING and mark not in _ADDED:
            return False
        if kind == "Cn" or combining(mark) == _VIRAMA:
            return True
        at -= 1
    return False


def _begins_syllable(letter: str) -> bool:
    return "\u1100" <= letter <= "\u115f" or "\ua960" <= letter <= "\ua97c"


def _goes_on_with_syllable(letter: str) -> bool:
    return "\u1160" <= letter <= "\u11ff" or "\ud7b0" <= letter <= "\ud7fb"


def _is_hangul(letter: str) -> bool:
    return _begins_syllable(letter) or _goes_on_with_syllable(letter) or "\uac00" <= letter <= "\ud7a3"
