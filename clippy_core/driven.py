"""Coroutines driven by hand as far as they go without waiting: a task costs more than most of what settles a request.

A coroutine that has begun may go on in another task as long as nothing in it belongs to its first one, such as a
cancel scope.  That holds for a chain of hooks and for an ``inline`` hook: they wait only through ``run_hook``,
``ctx.ask`` and services, which say so before anything begins that may belong to a task (:func:`about_to_wait`).
"""

from __future__ import annotations

import logging
import threading
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

log = logging.getLogger("clippy")


T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError(
        "something awaited something real in place in a sync host; a hook must drop inline=True from its @hookimpl,"
        " and the work of ctx.when_begun may await nothing but services"
    )


def drive_beside(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """As :func:`drive`, where nobody waits who could be told what it raises: it is logged."""
    try:
        drive(work())
    except Exception:
        log.exception("work beside a request failed")


class _Thread(threading.local):
    by_hand = False


_thread = _Thread()
_ABOUT_TO_WAIT = object()


@types.coroutine
def about_to_wait() -> Generator[Any, Any, None]:
    """Awaited before what may suspend begins: a coroutine that :func:`until_it_waits` drives stops here."""
    if _thread.by_hand:
        yield _ABOUT_TO_WAIT


@types.coroutine
def until_it_waits(coroutine: Coroutine[Any, Any, None]) -> Generator[Any, Any, bool]:
    """Run *coroutine* here until it is about to wait; whether it ended.  Raises what it raises.

    What waits without having said so, against the promise of ``inline=True``, waits here, in the caller's task.
    """
    go_on, value = coroutine.send, None
    while True:
        outer, _thread.by_hand = _thread.by_hand, True
        try:
            waits_for = go_on(value)
        except StopIteration:
            return True
        finally:
            _thread.by_hand = outer
        if waits_for is _ABOUT_TO_WAIT:
            return False
        try:
            go_on, value = coroutine.send, (yield waits_for)
        except BaseException as error:
            go_on, value = coroutine.throw, error


@types.coroutine
def the_rest_of(coroutine: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
    """Go on with a coroutine that has begun, in whatever task awaits this."""
    yield from coroutine


def without_a_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *work* whose event loop is gone up to where it would wait: plain hooks and the record need no loop."""
    coroutine = work()
    try:
        coroutine.send(None)
    except StopIteration:
        return
    except Exception:
        log.exception("settling a request after its event loop had ended failed")
    coroutine.close()
