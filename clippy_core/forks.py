"""What begins anew in a forked child: locks that a thread of the parent may hold, and connections."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import MethodType
from weakref import WeakKeyDictionary

_followed: WeakKeyDictionary[object, str] = WeakKeyDictionary()
"""Objects, found by identity, and the method of each that begins it anew."""


def follow_forks(begin_anew: Callable[[], None]) -> None:
    """Have the method *begin_anew* called in every child forked while its object lives, before anything else there."""
    assert isinstance(begin_anew, MethodType)
    _followed[begin_anew.__self__] = begin_anew.__name__


def _in_child() -> None:
    for owner, name in tuple(_followed.items()):
        getattr(owner, name)()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
