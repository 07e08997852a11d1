"""Secrets whose name is a value of its own, in an object, a row or a tag: ``{"value": "...", "name": "x-api-key"}``.

What stands in the order of name and value, next to each other, the signs of a field find.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .authorization import find_authorization
from .fields import keeps, kind_of
from .names import Trust, trust
from .shapes import is_words
from .spans import Span

_IS = r"[\"']?\s{0,3}[:=]\s{0,3}"
_NEXT = r"(?:\s{0,3},\s{0,20}|\s{1,20}(?:-[ ])?)"
_OTHERS = rf"(?:[\"']?\w{{1,24}}{_IS}(?:\"[^\"\\\r\n]{{0,80}}+\"|'[^'\\\r\n]{{0,80}}+'|[\w.]{{1,20}}+){_NEXT})"
_LABEL = rf"(?:name|key|header)(?<![\w-]name)(?<![\w-]key)(?<![\w-]header){_IS}[\"']?(?P<name>[A-Za-z_][\w.-]{{0,63}})"
_ENDS = r"\s\"'`,;|>&{}()<\[\]"
# Where no run of other letters goes before it: else every "value" in a long run would be read to the run's end.
_VALUE = (
    rf"value(?<![^{_ENDS}]value){_IS}"
    rf"(?:\"(?P<double>(?:[^\"\\\r\n]|\\.)*+)\"|'(?P<single>(?:[^'\\\r\n]|\\.)*+)'|(?P<bare>[^{_ENDS}]++))"
)
# In small letters and with a letter first, so that the engine skips every place that none of them can begin at.
_GIVEN = re.compile(rf"value{_IS}")
_VALUE_FIRST = re.compile(rf"{_VALUE}{_NEXT}{_OTHERS}{{0,4}}?[\"']?{_LABEL}")
_NAME_FIRST = re.compile(rf"{_LABEL}[\"']?{_NEXT}{_OTHERS}{{1,4}}?[\"']?{_VALUE}")


def find_pairs(text: str, lowered: str) -> Iterator[Span]:
    """Every value in *text* beside which a name of a secret stands.  *lowered* is the same in small letters."""
    if "value" not in lowered or not _GIVEN.search(lowered):
        return
    for pattern in (_VALUE_FIRST, _NAME_FIRST):
        for match in pattern.finditer(lowered):
            name = text[match.start("name") : match.end("name")]
            how = next(how for how in ("double", "single", "bare") if match[how] is not None)
            span = _secret(text, *match.span(how), trust(name), name, quoted=how != "bare")
            if span:
                yield span


def _secret(text: str, begin: int, end: int, sure: Trust, name: str, *, quoted: bool) -> Span | None:
    value = text[begin:end]
    if sure is Trust.HEADER:
        return find_authorization(text, begin, end, whole=True)
    if sure is Trust.BARE or keeps(value, sure) or (not quoted and is_words(value)):
        return None
    return Span(begin, end, kind_of(sure, name))
