"""What begins anew in a forked child: locks that a thread of the parent may hold, and connections."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import MethodType
from weakref import WeakKeyDictionary

# Not WeakMethod with a callback: when an interpreter ends, its callback may come after it is gone itself, and fails.
_followed: WeakKeyDictionary[object, dict[str, None]] = WeakKeyDictionary()


def follow_forks(begin_anew: Callable[[], None]) -> None:
    """Have the method *begin_anew* called in every child forked while its object lives, before anything else there."""
    assert isinstance(begin_anew, MethodType)
    _followed.setdefault(begin_anew.__self__, {})[begin_anew.__name__] = None


def leave_to_the_parent(it: object) -> None:
    """Keep what the parent holds open as it is: an open context manager that is collected here would close it here."""
    _parents.append(it)


_parents: list[object] = []


def _in_child() -> None:
    for owner, names in tuple(_followed.items()):
        for name in names:
            getattr(owner, name)()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
