"""How a planted fault is shown: one probe, its result with the sound twin, and its result with the broken one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from attrs import frozen
from calling import Caller

Make = Callable[..., Any]
Probe = Callable[[Make], Any]


@frozen
class Shown:
    """A small use of a plugin in a real host; what it gives tells a sound plugin from a broken one."""

    probe: Probe
    sound: Any
    broken: Any


SHOWN: dict[tuple[str, str], Shown] = {}


def shows(suite: str, what: str, *, sound: Any, broken: Any) -> Callable[[Probe], Probe]:
    """Register a probe for the fault *what* of *suite*."""

    def register(probe: Probe) -> Probe:
        assert (suite, what) not in SHOWN
        SHOWN[suite, what] = Shown(probe, sound, broken)
        return probe

    return register


def a_caller(colour: str = "sync") -> Caller:
    return Caller(colour, httpx)


def answered(caller: Caller, *arguments: Any, **named: Any) -> bool:
    """Whether a plain call got an answer and not a failure."""
    try:
        return caller.chat(*arguments, **named).status == 200
    except Exception:
        return False


def at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each of *works* gave or raised, all begun at the same moment in threads of their own."""
    barrier, results = threading.Barrier(len(works)), [None] * len(works)

    def run(place: int) -> None:
        barrier.wait()
        try:
            results[place] = works[place]()
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
