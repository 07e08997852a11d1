"""Anybody's words as text of Markdown: what installed distributions say of themselves is shown and never obeyed.

Markdown passes HTML through, so that both formats are made safe here, before there is any Markdown.
"""

from __future__ import annotations

import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories that a terminal acts upon, that hide or reorder other letters, or that nobody knows."""
_SAFE = frozenset(" .,;'()/?%\"")
_INSIDE = frozenset("_-:!=")
"""Safe where they stand as prose has them: see :func:`_is_prose`."""


def plain(text: str, *, begins: bool = True) -> str:
    """*text* on one line as Markdown that shows exactly it; *begins*: it may stand at the start of a line."""
    words = " ".join(visible(text, keep=" \t\n\r").split(" "))
    words = " ".join(words.split())
    shown = [letter if _is_prose(words, place, begins) else f"&#{ord(letter)};" for place, letter in enumerate(words)]
    if begins and shown and not (words[0].isalpha() or words[0] in "\"'(/") and not shown[0].startswith("&"):
        shown[0] = f"&#{ord(words[0])};"  # 1. would begin a list, and --- draw a line
    return "".join(shown)


def _is_prose(words: str, place: int, begins: bool) -> bool:
    letter = words[place]
    if letter.isalnum() or letter in _SAFE or not letter.isascii():
        return True
    before, after = words[place - 1 : place], words[place + 1 : place + 2]
    if letter == "_":
        return before.isalnum() and after.isalnum()
    if letter == ":":
        return (bool(before) or not begins) and after in ("", " ")
    return letter in _INSIDE and (before.isalnum() or before in (" ", "")) and (after.isalnum() or after in (" ", ""))


def code(text: str) -> str:
    """*text* as code: in backticks where nothing in it can mean anything, else as an element."""
    words = " ".join(visible(text, keep=" \t\n\r").split())
    if words and not any(letter in words for letter in "`|<>&\\"):
        return f"`{words}`"
    shown = "".join(
        letter if letter == " " or letter.isalnum() or not letter.isascii() else f"&#{ord(letter)};" for letter in words
    )
    return f"<code>{shown}</code>"


def block(text: str) -> str:
    """*text* as a block of code, line by line, under a fence that is longer than any in it."""
    lines = visible(text, keep="\n").split("\n")
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    return "\n".join([fence, *lines, fence])


def slug(name: str) -> str:
    """*name* as the name of a file and of a place on a page."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in name)


def visible(text: str, keep: str = "") -> str:
    r"""*text* with its control characters written out, ``\x1b`` for an escape; those in *keep* stay."""
    return "".join(
        letter
        if letter in keep or unicodedata.category(letter) not in _UNSAFE
        else letter.encode("unicode_escape", "backslashreplace").decode("ascii")
        for letter in text
    )
