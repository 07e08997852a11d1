"""The context of a request, of which some fields are computed when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable

from clippy_hookspecs import RequestContext


class Context(RequestContext):
    """A RequestContext as the host makes it.

    A partition is a key of its own, and only a cache by meaning asks for it: for all others it would be half of what
    their key costs.  An account is a digest that few plugins need.
    """

    __slots__ = ("_account", "_only", "_partition", "_share")

    _account: str | Callable[[], str]
    _only: tuple[str, ...]
    _partition: str | Callable[[], str | None] | None
    _share: str

    @property
    def account(self) -> str:
        """A digest of the credentials that go to the present route."""
        found = self._account
        if callable(found):
            found = self._account = found()
        return found

    @account.setter
    def account(self, value: str | Callable[[], str]) -> None:
        self._account = value

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

    @property
    def share(self) -> str:
        """Who else may get the answer, fixed when the first key is made: a plugin's other word comes too late."""
        found: str | None = getattr(self, "_share", None)
        if found is None:
            found = self._share = self.cache_control.share
        return found

    @property
    def only(self) -> tuple[str, ...]:
        """The routes to which it may be switched, () for any; a request that a plugin asks within it has the same."""
        found: tuple[str, ...] = getattr(self, "_only", ())
        return found

    @only.setter
    def only(self, value: tuple[str, ...]) -> None:
        self._only = value

    def barred(self, route: str) -> str | None:
        """Why it may not be switched to *route*, in words; None if it may."""
        return "its caller may not use it" if self.only and route not in self.only else None
