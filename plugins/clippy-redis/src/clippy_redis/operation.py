"""One exchange with the server: what is sent, and what its answer means.  Nothing here waits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

from attrs import field, frozen

LONGEST_MS = 100 * 366 * 86_400 * 1000
"""Milliseconds beyond which a time to live is cut: Redis refuses what ends after its numbers do."""


def to_milliseconds(seconds: float) -> int:
    """*seconds*, which are above 0, as the server wants a time to live: whole, and never 0."""
    return LONGEST_MS if seconds * 1000 >= LONGEST_MS else math.ceil(seconds * 1000)


@frozen
class Script:
    """A Lua script, called by the digest of its text."""

    text: str = field(repr=False)
    sha: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


@frozen
class Operation:
    """A command, or a script with its keys and arguments; ``read`` makes the result of the answer.

    The answer is what redis-py makes of a reply: bytes, int, bool, list, None.  ``keys``: how many of the words are
    keys of the script.
    """

    command: tuple[str | bytes | int, ...]
    read: Callable[[Any], Any]
    script: Script | None = None
    keys: int = 1

    def words(self, *, whole: bool = False) -> tuple[str | bytes | int, ...]:
        """What is sent; *whole*: the script's text instead of its digest, for a server that does not know it."""
        if self.script is None:
            return self.command
        if whole:
            return ("EVAL", self.script.text, self.keys, *self.command)
        return ("EVALSHA", self.script.sha, self.keys, *self.command)
