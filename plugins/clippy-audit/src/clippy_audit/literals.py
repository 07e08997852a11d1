"""An application's own keys, found exactly and in the forms they take on the way into a log."""

from __future__ import annotations

import json
import re
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from .spans import Span

SHORTEST = 4
"""Literals of fewer characters are ignored by the forms below: they would take ordinary words out of every text."""


def find_literals(text: str, literals: tuple[str, ...]) -> Iterator[Span]:
    """Every occurrence of *literals* in *text*: as they are, URL-encoded, JSON-escaped, in hexadecimal or base64."""
    if holds_literals(text, literals):
        for match in _compiled(literals).finditer(text):
            yield Span(*match.span(), "configured")


def holds_literals(text: str, literals: tuple[str, ...]) -> bool:
    """Whether :func:`find_literals` finds anything.  Looking for each form takes a third of the time of one pattern."""
    shortest, forms = forms_of(literals)
    return len(text) >= shortest and next(filter(text.__contains__, forms), None) is not None


class Forms(NamedTuple):
    """What to look for: the characters a text must have to hold any of them, and the forms, the longest first."""

    shortest: int
    forms: tuple[str, ...]


@lru_cache(maxsize=256)
def forms_of(literals: tuple[str, ...]) -> Forms:
    """Every form of every one of *literals*."""
    forms = {form for literal in literals if literal for form in _forms(literal)}
    return Forms(min(map(len, forms), default=sys.maxsize), tuple(sorted(forms, key=lambda form: (-len(form), form))))


@lru_cache(maxsize=64)
def _compiled(literals: tuple[str, ...]) -> re.Pattern[str]:
    # The longest first: where one literal begins another, the whole of the longer one goes.
    return re.compile("|".join(map(re.escape, forms_of(literals).forms)))


def _forms(literal: str) -> set[str]:
    forms = {literal}
    if len(literal) < SHORTEST:
        return forms
    data = literal.encode("utf-8", "surrogatepass")
    percent = quote(data, safe="")
    forms |= {percent, re.sub(r"%[0-9A-F]{2}", lambda m: m.group().lower(), percent), quote_plus(data)}
    forms |= {json.dumps(literal)[1:-1], json.dumps(literal, ensure_ascii=False)[1:-1], str.__repr__(literal)[1:-1]}
    forms |= {data.hex(), data.hex().upper()}
    return forms | _inside_base64(data)


def _inside_base64(data: bytes) -> set[str]:
    """The base64 characters that *data* alone decides, for each of the three places it can begin at in a text."""
    forms: set[str] = set()
    for shift in range(3):
        first = (shift * 8 + 5) // 6
        last = (shift + len(data)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            form = encode(b"\0" * shift + data).decode()[first:last]
            if len(form) >= SHORTEST + 2:
                forms.add(form)
    return forms
