"""One way to write a call for the sync and the async clients of an SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any

Said = Callable[[object], None]
"""How a call says what it got."""

HOP = frozenset({"content-length", "content-encoding", "transfer-encoding", "x-should-retry"})
"""Headers of an answer that a host with plugins may drop or add: those of the coding, and the word against retries."""


async def value(given: Any) -> Any:
    """What a client's method returned, awaited if it is to be."""
    return await given if hasattr(given, "__await__") else given


class Each(AsyncIterator[Any]):
    """The items of a stream of either colour."""

    def __init__(self, stream: Any) -> None:
        self._is_async = hasattr(stream, "__aiter__")
        self._items = aiter(stream) if self._is_async else iter(stream)

    async def __anext__(self) -> Any:
        if self._is_async:
            return await anext(self._items)
        try:
            return next(self._items)
        except StopIteration:
            raise StopAsyncIteration from None


class Inside:
    """A context manager of either colour."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    async def __aenter__(self) -> Any:
        if hasattr(self._manager, "__aenter__"):
            return await self._manager.__aenter__()
        return self._manager.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        leave = getattr(self._manager, "__aexit__", None)
        if leave is not None:
            left: bool | None = await leave(kind, error, trace)
        else:
            left = self._manager.__exit__(kind, error, trace)
        return left


def plain(thing: Any) -> Any:
    """*thing* of an SDK as plain data, with the name of its class."""
    dump = getattr(thing, "model_dump", None)
    if dump is not None:
        return {"": type(thing).__name__, **dump(mode="json", warnings=False)}
    if isinstance(thing, list | tuple):
        return [plain(item) for item in thing]
    if isinstance(thing, dict):
        return {key: plain(item) for key, item in thing.items()}
    return thing if isinstance(thing, str | bytes | int | float | bool | None) else repr(thing)


def head(headers: Any) -> dict[str, str]:
    """The headers of an answer that every roof keeps."""
    return {name.lower(): text for name, text in headers.items() if name.lower() not in HOP | {"date"}}
