"""Texts that a caller, a provider or a plugin chose, made fit for a line of a log."""

from __future__ import annotations

import re
from functools import lru_cache

from clippy_audit import redact

# Ids of requests as hosts make them: nothing would be taken out, and each is another one, which no memory is for.
_ID = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{16}\Z", re.ASCII)
LONGEST = 200
"""Characters of a name.  What is longer is none, and may be a prompt that went to the wrong place."""


def name(text: str | None, *, personal: bool = True) -> str | None:
    """*text* without secrets and on one line; None for what is not there.

    *personal*: also without personal data.  Characters that move a cursor, end a line, turn the direction of writing or
    are not shown at all become escapes as in Python (``\\n``, ``\\u202e``), and so does a backslash, so that two texts
    never read alike.
    """
    if not text:
        return None
    if _ID.match(text):
        return text
    if len(text) > LONGEST:
        return f"[{len(text)} characters]"
    return _name(text, personal)


@lru_cache(maxsize=1024)  # models, routes and kinds come again with every request
def _name(text: str, personal: bool) -> str:
    cleaned = redact(text, personal=personal)
    if cleaned.isprintable() and "\\" not in cleaned:
        return cleaned
    return "".join(one if one.isprintable() and one != "\\" else _escape(one) for one in cleaned)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
