"""What an answer says was used, for calls of a file that no host has read: an archive of a browser or a proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from clippy_hookspecs import Usage

_Way = tuple[str, ...]
_INPUT: Final[tuple[_Way, ...]] = (("prompt_tokens",), ("input_tokens",))
_OUTPUT: Final[tuple[_Way, ...]] = (("completion_tokens",), ("output_tokens",))
_READ: Final[tuple[_Way, ...]] = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),
    ("cache_read_input_tokens",),
)
_WRITTEN: Final[tuple[_Way, ...]] = (
    ("prompt_tokens_details", "cache_write_tokens"),
    ("input_tokens_details", "cache_write_tokens"),
    ("cache_creation_input_tokens",),
)
_REASONING: Final[tuple[_Way, ...]] = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "thinking_tokens"),
)
_AROUND: Final = ("message", "response")
"""Where an event has the answer that it is about."""


def usage_in(api: str, body: bytes) -> Usage | None:
    """The tokens that *body* names, an answer of *api* or the events of one; None if it names none.

    What a later event says holds for what it names: Anthropic's API tells the input at the start and the output last.
    """
    told: dict[str, Any] = {}
    for value in _objects(body):
        for one in (value, *(value.get(name) for name in _AROUND)):
            if isinstance(one, Mapping) and isinstance(used := one.get("usage"), Mapping):
                told |= {name: count for name, count in used.items() if count is not None}
    if not told:
        return None
    read, written = _count(told, _READ), _count(told, _WRITTEN)
    apart = read + written if api == "anthropic.messages" else 0  # its input is what no cache had
    return Usage(_count(told, _INPUT) + apart, _count(told, _OUTPUT), read, written, _count(told, _REASONING))


def _objects(body: bytes) -> Iterator[Mapping[str, Any]]:
    whole = body.lstrip().startswith(b"{")
    texts = [body] if whole else [line[5:] for line in body.splitlines() if line.startswith(b"data:")]
    for text in texts:
        if b'"usage"' not in text:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def _count(told: Mapping[str, Any], ways: tuple[_Way, ...]) -> int:
    for way in ways:
        value: Any = told
        for name in way:
            value = value.get(name) if isinstance(value, Mapping) else None
        if type(value) is int and 0 < value < 2**53:
            return value
    return 0
