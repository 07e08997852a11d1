"""Ids of requests: unpredictable, because gateways tell them to strangers, and never twice."""

from __future__ import annotations

import os

_BYTES = 8
_AT_ONCE = 256
"""How many are made together: to ask the system for each costs ten times what an id costs."""

_fresh: dict[int, list[str]] = {}
"""By process: what is left belongs to the parent of one that was forked, by whatever means."""


def new_id() -> str:
    """One that nobody has had, as sixteen hexadecimal digits.  May be called from any thread."""
    while True:
        try:
            return _fresh[os.getpid()].pop()
        except (KeyError, IndexError):
            made = os.urandom(_BYTES * _AT_ONCE).hex(" ", _BYTES).split()
            if os.getpid() not in _fresh:
                _fresh.clear()
            _fresh.setdefault(os.getpid(), []).extend(made)
