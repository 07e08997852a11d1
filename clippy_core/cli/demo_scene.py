"""What a scene of the demo is, and what it has to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from .demo_stage import Stage
from .screen import Line


class Skipped(Exception):
    """A scene cannot be played here, for this reason."""


class Wrong(Exception):
    """A scene went otherwise than it should, in this way."""


@frozen
class Proof:
    """What a scene has to show: one line, more lines below it, and the same as data."""

    said: str
    below: tuple[Line, ...] = ()
    facts: Mapping[str, Any] = field(factory=dict)


@frozen
class Scene:
    """One scene.  ``staged``: it needs a provider that fails on command."""

    name: str
    title: str
    play: Callable[[Stage], Proof]
    staged: bool = False


def check(true: bool, otherwise: str) -> None:
    """Raises Wrong with *otherwise* unless *true*."""
    if not true:
        raise Wrong(otherwise)


def need(stage: Stage, what: str, *hooks: str) -> None:
    """Raises Skipped if nobody implements one of *hooks*."""
    missing = [hook for hook in hooks if not stage.implementing(hook)]
    if missing:
        raise Skipped(f"no {what} here: no active plugin implements {' and '.join(missing)}")
