"""What begins anew in a forked child: locks that a thread of the parent may hold, and connections.

And what ends with a child of multiprocessing, which never comes to what runs at exit.
"""

from __future__ import annotations

import atexit
import os
import sys
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


_at_end: dict[Callable[[], None], bool] = {}


def close_at_exit(close: Callable[[], None]) -> None:
    """Have *close* called at exit, and at the end of each child of multiprocessing, forked or not."""
    if close not in _at_end:
        _at_end[close] = False
        atexit.register(close)
    _told_multiprocessing()


def _told_multiprocessing() -> None:
    """Without importing it: who makes a child has done so by then."""
    util = sys.modules.get("multiprocessing.util")
    if util is None or all(_at_end.values()):
        return
    for close, told in _at_end.items():
        if not told:
            _at_end[close] = True
            if sys.modules["multiprocessing.process"].parent_process() is not None:
                _finish(close)
            util.register_after_fork(close, _finish)  # a child begins by forgetting how its parent wanted to end


def _finish(close: Callable[[], None]) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, close, exitpriority=0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_told_multiprocessing, after_in_child=_in_child)
