"""Text that others wrote, made safe to look at: what has no shape, or turns around what follows, is written out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

_SHAPELESS: Final = (
    "\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_SELECTORS: Final = "\ufe00-\ufe0f"
_MARKS: Final = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_UNSEEN: Final = re.compile(f"[{_SHAPELESS}]")
_JOINERS: Final = "\u200c\u200d"
_SELECTOR: Final = re.compile(f"[{_SELECTORS}]")
_PILE: Final = re.compile(f"[{_MARKS}]{{8}}")
"""Marks on one letter, beyond which no writing goes."""
_FLAG: Final = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")


def escaped(sign: str) -> str:
    r"""A character as Python would write it: ``\x1b``."""
    return sign.encode("unicode_escape").decode("ascii")


def visible(text: str, keep: str = "", written: Callable[[str], str] = escaped) -> str:
    """*text* with every control, bidirectional and invisible character *written* out, but for those in *keep*.

    Joiners stay between characters that are not ASCII: Persian words and family emoji need them, and English has no use
    for them but to hide something.  So do the tags of a flag, one variation selector behind what it varies, and the
    first eight marks on a letter.
    """

    def shown(found: re.Match[str]) -> str:
        return found[0] if _belongs(found[0], found.string, found.start()) else written(found[0])

    return _doubted(keep).sub(shown, text)


def visible_json(document: Any, indent: int | None = None) -> str:
    """*document* as JSON of nothing but what ASCII can print: of its controls, JSON itself leaves one as it is."""
    return json.dumps(document, indent=indent).replace("\x7f", "\\u007f")


@cache
def _doubted(keep: str) -> re.Pattern[str]:
    kept = f"(?![{re.escape(keep)}])" if keep else ""
    return re.compile(f"{kept}[{_SHAPELESS}{_SELECTORS}{_MARKS}]")


def _belongs(sign: str, text: str, at: int) -> bool:
    """Whether *sign* is a part of what is written around it."""
    if sign in _JOINERS:
        return _beyond_ascii(text, at - 1) and _beyond_ascii(text, at + 1)
    if "\U000e0030" <= sign <= "\U000e007f":
        begin = text.rfind("\U0001f3f4", max(0, at - 7), at)
        flag = _FLAG.match(text, begin) if begin >= 0 else None
        return flag is not None and at < flag.end()
    if _UNSEEN.match(sign):
        return False
    if _SELECTOR.match(sign):
        return at > 0 and not _SELECTOR.match(text, at - 1)
    return at < 8 or not _PILE.match(text, at - 8)


def _beyond_ascii(text: str, at: int) -> bool:
    return 0 <= at < len(text) and text[at] > "\x7f" and not _UNSEEN.match(text[at])
