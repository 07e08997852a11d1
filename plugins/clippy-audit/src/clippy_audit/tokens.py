"""Finds tokens that say by their form who issued them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .issuers import MARKED, SHARED, TOKENS
from .shapes import is_mixed, is_random, is_stand_in
from .spans import Span


def find_tokens(text: str) -> Iterator[Span]:
    """Every token of a known issuer in *text*; not words like ``sk-fading-circle`` or stand-ins like ``sk-xxxx``."""
    if len(text) < 16 or _LONG_RUN not in text.encode("utf-8", "surrogatepass").translate(_IN_RUNS):
        return
    # A Twilio account number looks like any id; only beside the name is it worth hiding.
    marked = _MARKED if "wilio" in text else _MARKED[:-1]
    for run in _RUN.finditer(text):
        for match in _TOKEN.finditer(text, *run.span()):
            if _genuine(match.group()):
                yield Span(match.start(), _continued(text, match.end()), _KINDS[match.lastgroup or ""])
        word = run.group()
        for kind, needed, pattern in marked:
            if needed in word:
                for match in pattern.finditer(text, *run.span()):
                    if _genuine(match.group()):
                        yield Span(*match.span(), kind)


def _compiled() -> tuple[re.Pattern[str], dict[str, str]]:
    """One pattern for all issuers, sorted by first letter: the engine then rules most of them out with one look."""
    by_letter: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    for kind, patterns in TOKENS.items():
        for pattern in patterns:
            group = f"t{len(kinds)}"
            kinds[group] = kind
            by_letter.setdefault(pattern[0], []).append(f"(?P<{group}>{pattern[1:]})")
    letters = "|".join(f"{re.escape(letter)}(?:{'|'.join(rest)})" for letter, rest in by_letter.items())
    return re.compile(rf"(?<![A-Za-z0-9])(?:{letters})", re.ASCII), kinds


_TOKEN, _KINDS = _compiled()
_MARKED = tuple((kind, needed, re.compile(rf"(?<![A-Za-z0-9]){pattern}", re.ASCII)) for kind, needed, pattern in MARKED)
_SHARED = re.compile(SHARED, re.ASCII)
_LONG_PART = re.compile(r"(?=[A-Za-z]{0,15}[0-9])[A-Za-z0-9]{16}", re.ASCII)
_NO_DIGITS = str.maketrans("", "", "0123456789")

# Prose holds no run of sixteen of these, so most text is never compared with the hundred patterns above.
_RUN = re.compile(r"[A-Za-z0-9_\-+/=.~:%$]{16,}+", re.ASCII)
# Whether there is one is asked of its bytes, with one letter for every character of a run: five times as fast.
_IN_RUNS = bytes(ord("x" if _RUN.match(chr(byte) * 16) else " ") for byte in range(256))
_LONG_RUN = b"x" * 16


# A key that a terminal or a mail has wrapped, or that a program puts together from two strings.
_NEXT = re.compile(
    r"""
    (?: \\?\r?\n[ \t]{0,40}
      | (?P<quote>["'])[ \t]{0,8}[+\\]?[ \t]{0,8}(?:\r?\n[ \t]{0,40})?\+?[ \t]{0,8}(?P=quote)
    )
    (?P<rest>[A-Za-z0-9_-]{16,}+)
    """,
    re.ASCII | re.VERBOSE,
)


def _continued(text: str, end: int) -> int:
    """Where a token ends whose first part ends at *end*: in the next line or string, if the rest of it stands there."""
    for _ in range(4):  # the longest have some two hundred characters, and without an end this were quadratic
        found = _NEXT.match(text, end)
        if found is None or not is_mixed(found["rest"], 16) or _TOKEN.match(found["rest"]):
            break
        end = found.end()
    return end


def _genuine(token: str) -> bool:
    token = token.rstrip(".")  # of the sentence
    if is_stand_in(token):
        return False
    if _SHARED.match(token):
        # Words are small letters in short parts; a key is mixed, or has one long part with a digit in it.
        return is_mixed(token, 16) or bool(_LONG_PART.search(token)) or is_random(token.translate(_NO_DIGITS), 16)
    body = token[8:]
    return body != body.lower() or any(character.isdigit() for character in body)
