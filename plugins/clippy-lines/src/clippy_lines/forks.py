"""What has to begin anew in a forked child: locks that a thread of the parent may hold, numbers that count its life."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Something that lives on in a forked child."""

    def after_fork(self) -> None:
        """Called in the child before anything else runs there."""
        ...


_FOLLOWED: WeakSet[Forked] = WeakSet()


def follow_forks(it: Forked) -> None:
    """Have ``it.after_fork()`` called in every child forked while *it* lives."""
    _FOLLOWED.add(it)


def _in_child() -> None:
    for it in list(_FOLLOWED):
        it.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
