"""Ids of requests: unpredictable, because gateways tell them to strangers, and never twice."""

from __future__ import annotations

import os

_BYTES = 8
_AT_ONCE = 256
"""How many are made together: to ask the system for each costs ten times what an id costs."""

_fresh: list[str] = []


def new_id() -> str:
    """One that nobody has had, as sixteen hexadecimal digits.  May be called from any thread."""
    while True:
        try:
            return _fresh.pop()
        except IndexError:
            _fresh.extend(os.urandom(_BYTES * _AT_ONCE).hex(" ", _BYTES).split())


if hasattr(os, "register_at_fork"):  # what is left belongs to the parent
    os.register_at_fork(after_in_child=_fresh.clear)
