"""What begins anew in a forked child: locks that a thread of the parent may hold, and connections."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import MethodType
from typing import Any
from weakref import WeakMethod

_followed: set[WeakMethod[Any]] = set()


def follow_forks(begin_anew: Callable[[], None]) -> None:
    """Have the method *begin_anew* called in every child forked while its object lives, before anything else there."""
    assert isinstance(begin_anew, MethodType)
    _followed.add(WeakMethod(begin_anew, _followed.discard))


def _in_child() -> None:
    for reference in tuple(_followed):
        begin_anew = reference()
        if begin_anew is not None:
            begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
