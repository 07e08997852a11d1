"""Requests leave at once: before Python 3.12, which begins tasks eagerly, aiohttp's wait for the loop's next turn."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

import aiohttp

Writing = Coroutine[Any, Any, None]


class RequestAtOnce(aiohttp.ClientRequest):
    """aiohttp's request; the task that aiohttp makes to write it has only to do what could not be done yet."""

    def write_bytes(self, *args: Any, **more: Any) -> Writing:
        """As aiohttp's own."""
        return begun(super().write_bytes(*args, **more))


def begun(writing: Writing) -> Writing:
    """The rest of *writing*, of which all is done that waits for nothing."""
    try:
        awaited = writing.send(None)
    except StopIteration:
        return _nothing()
    except BaseException as error:
        return _failed(error)
    return _go_on(writing, awaited)


async def _nothing() -> None: ...


async def _failed(error: BaseException) -> None:
    raise error


async def _go_on(writing: Writing, awaited: Any) -> None:
    await _Rest(writing, awaited)


class _Rest:
    """Hands on to *writing* what becomes of the future that it *awaited*, and of all after it."""

    def __init__(self, writing: Writing, awaited: Any) -> None:
        self._writing, self._awaited = writing, awaited

    def __await__(self) -> Generator[Any, Any, None]:
        awaited = self._awaited
        while True:
            try:
                told, failed = (yield awaited), None
            except BaseException as error:
                told, failed = None, error
            try:
                awaited = self._writing.send(told) if failed is None else self._writing.throw(failed)
            except StopIteration:
                return
