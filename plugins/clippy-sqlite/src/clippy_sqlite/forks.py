"""Nothing is open while the process is forked: what SQLite notes of its locks belongs to the process.

Copied to a child while a file is open it would never be true there: others could take the file from under it, and a
lock that was held would be held for ever.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from attrs import frozen

T = TypeVar("T")


@frozen
class _Steps:
    rest: Callable[[Any], None]
    resume: Callable[[Any], None]
    begin_anew: Callable[[Any], None]


_followed: WeakKeyDictionary[Any, _Steps] = WeakKeyDictionary()
_rested: list[tuple[Any, _Steps]] = []
_forking = threading.RLock()
"""Held over a fork, so that two threads that fork at once do it one after the other."""


def follow_forks(
    owner: T, rest: Callable[[T], None], resume: Callable[[T], None], begin_anew: Callable[[T], None]
) -> None:
    """Call three functions with *owner* at every fork while it lives.

    ``rest`` before it: close the file and let no thread open it again.  ``resume`` after it in the parent: let them.
    ``begin_anew`` after it in the child, where the file may have been inherited open after all, by a fork outside of
    Python: keep such a connection, and neither use nor close it.
    """
    with _forking:
        _followed[owner] = _Steps(rest, resume, begin_anew)


def _before() -> None:
    _forking.acquire()
    for owner, steps in list(_followed.items()):
        steps.rest(owner)
        _rested.append((owner, steps))


def _after_in_parent() -> None:
    try:
        while _rested:
            owner, steps = _rested.pop()
            steps.resume(owner)
    finally:
        _forking.release()


def _after_in_child() -> None:
    global _forking
    _rested.clear()
    _forking = threading.RLock()
    for owner, steps in list(_followed.items()):
        steps.begin_anew(owner)


if hasattr(os, "register_at_fork"):
    # Asking for the process id in every lookup would cost more than the rest of it.
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
