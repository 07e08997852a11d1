"""The context of a request, whose partition is computed when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable

from clippy_hookspecs import RequestContext


class Context(RequestContext):
    """A RequestContext as the host makes it.

    A partition is a key of its own, and only a cache by meaning asks for it: for all others it would be half of what
    their key costs.
    """

    __slots__ = ("_partition",)

    _partition: str | Callable[[], str | None] | None

    @property
    def partition(self) -> str | None:
        """The cache key without the messages, None when the request may not be cached."""
        found = self._partition
        if callable(found):
            found = self._partition = found()
        return found

    @partition.setter
    def partition(self, value: str | Callable[[], str | None] | None) -> None:
        self._partition = value
