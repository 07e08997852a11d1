"""Text that others wrote, made safe to look at: what has no shape, or turns around what follows, is shown by name."""

from __future__ import annotations

import re
from typing import Final

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_JOINERS: Final = "\u200c\u200d"


def visible(text: str) -> str:
    """*text* with every control, bidirectional and invisible character as a picture or as ``[U+202E]``.

    Line feeds and tabs stay.  Joiners stay between characters that are not ASCII: Persian words and family emoji need
    them, and English has no use for them but to hide something.
    """
    return _UNSEEN.sub(_named, text)


def _named(found: re.Match[str]) -> str:
    sign = found[0]
    if sign in _JOINERS and _beyond_ascii(found.string, found.start() - 1) and _beyond_ascii(found.string, found.end()):
        return sign
    if sign < "\x20":
        return chr(0x2400 + ord(sign))
    return "\u2421" if sign == "\x7f" else f"[U+{ord(sign):04X}]"


def _beyond_ascii(text: str, at: int) -> bool:
    return 0 <= at < len(text) and text[at] > "\x7f" and not _UNSEEN.match(text[at])
