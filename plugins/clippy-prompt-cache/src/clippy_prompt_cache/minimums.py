"""From how many tokens on a provider caches a prompt at all."""

from __future__ import annotations

import re
from typing import Final

OPENAI: Final = 1024
"""OpenAI's guide *Prompt caching* (developers.openai.com, read 2026-11-28): 1024 tokens or more, in steps of 128."""

_UNKNOWN: Final = 1024

_CLAUDE: Final = re.compile(
    r"claude-(?:(?P<old>\d(?:[-.]\d)?)-)?(?P<family>[a-z]+)(?:-(?P<major>\d{1,2})(?!\d)(?:[-.](?P<minor>\d{1,2})(?!\d))?)?"
)

_MINIMUMS: Final = {
    "opus": (((4, 1), 1024), ((4, 6), 4096), ((4, 7), 2048), ((4, 8), 1024), ((99, 0), 512)),
    "sonnet": (((99, 0), 1024),),
    "haiku": (((4, 4), 2048), ((99, 0), 4096)),
    "mythos": (((5, 0), 2048), ((99, 0), 512)),
    "fable": (((99, 0), 512),),
}
"""By family: up to which version how many tokens.  From Anthropic's own guidance, prompt-caching.md of its skill
claude-api (github.com/anthropics/skills at 0da71c3b, read 2026-11-28); Opus 3 and Haiku 3 as in its documentation
before.  Versions after the newest known are taken for like it."""


def minimum(api: str, model: str) -> int:
    """The fewest tokens of a prefix that *model* keeps; 1024 where nobody knows."""
    if api != "anthropic.messages":
        return OPENAI
    found = _CLAUDE.search(model)
    if found is None or found["family"] not in _MINIMUMS:
        return _UNKNOWN
    version = _version(found)
    return next(tokens for until, tokens in _MINIMUMS[found["family"]] if version <= until)


def _version(found: re.Match[str]) -> tuple[int, int]:
    """Claude 3 has its version before the family's name; a preview is older, and what says nothing is the newest."""
    if found.string[found.end() :].startswith("-preview"):
        return 0, 0
    if found["old"] is not None:
        major, _, minor = found["old"].replace(".", "-").partition("-")
        return int(major), int(minor or 0)
    if found["major"] is None:
        return 99, 0
    return int(found["major"]), int(found["minor"] or 0)
