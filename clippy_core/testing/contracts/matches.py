"""What a text filter looks for: words that its settings and its code name, and the shortest pieces that it changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .base import settings_of

MATCHES = 6
"""Pieces that are enough to judge a filter by."""
LONGEST = 40
"""Letters of a piece beyond which it is no word but a whole text."""


def matches_in(texts: Iterable[str], changes: Callable[[str], bool]) -> list[str]:
    """The shortest pieces of *texts* that a filter changes, as *changes* tells; a few, each once."""
    found: dict[str, None] = {}
    for text in texts:
        if len(found) < MATCHES and not any(match in text for match in found):
            match = _shortest(text, changes)
            if 1 < len(match) <= LONGEST:
                found[match] = None
    return list(found)


def _shortest(text: str, changes: Callable[[str], bool]) -> str:
    """*text* without what can go at its beginning and at its end."""
    for start in range(len(text)):
        if not changes(text[start + 1 :]):
            text = text[start:]
            break
    for end in range(len(text), 0, -1):
        if not changes(text[: end - 1]):
            return text[:end]
    return text


def followed_by_their_tails(match: str, instead: str) -> Iterator[tuple[str, str]]:
    """Texts, each in two pieces, that look like a match only to who reads again what it has put there itself.

    After *match* comes each of its own tails: with *instead* in its place they may make the match once more.  The same
    after *instead*, which the model itself may write.
    """
    tails = dict.fromkeys(match[-length:] for length in range(1, min(len(match), 13)))
    for tail in tails:
        for head in dict.fromkeys((match, instead)):
            yield head, tail


def around(words: Iterable[str]) -> Iterator[str]:
    """Texts in which a filter finds these words, or nearly."""
    for word in words:
        yield from (f"before {word} after", word, word + word, f"{word[:-1]}{word}", f"a {word[: len(word) // 2]}")


def named_words(plugin: object) -> list[str]:
    """Words that stand in the filter's settings and in the code of its methods: likely what it looks for."""
    cls, found = type(plugin), []
    for name in ("filter", "on_chunk", "on_response"):
        function: Any = getattr(cls, name, None)
        if getattr(function, "__module__", "") == cls.__module__:  # its own, and not what it has of TextFilter
            names = [function.__globals__.get(name) for name in function.__code__.co_names]
            found += [*function.__code__.co_consts, *names]
    words = [word for one in (*settings_of(plugin).values(), *found) for word in _words_in(one)]
    return [word for word in dict.fromkeys(words) if 0 < len(word) <= 40 and "\n" not in word][:12]


def _words_in(value: object) -> Iterator[str]:
    if isinstance(value, re.Pattern):
        value = value.pattern
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from (word for one in pair for word in _words_in(one))
    elif isinstance(value, (tuple, list, set, frozenset)):
        for one in value:
            yield from _words_in(one)
