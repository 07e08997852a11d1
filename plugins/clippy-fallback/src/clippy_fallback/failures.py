"""The names that a failure can have: as a kind or as a category."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import get_args

from clippy_errors import KINDS
from clippy_hookspecs import Category

_OF_THE_HOST = ("route_unfit", "first_token_timeout", "idle_timeout", "total_timeout")
_OF_THE_BREAKER = ("breaker_open", "cooldown")
NAMES = frozenset({*get_args(Category), *KINDS, *_OF_THE_HOST, *_OF_THE_BREAKER})


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError for a name that no failure has, with those that are near it."""
    for name in names:
        if name not in NAMES:
            near = get_close_matches(name, sorted(NAMES), n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(NAMES))}"
            raise ValueError(f"{name!r} is no kind or category of failure; {hint}")
