"""The context of a request, of which some fields are computed when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clippy_hookspecs import CacheControl, Clock, RequestContext, RouteInfo, Scope, Services, Stash

from .flow import FlowHandle

_AS_EVER = CacheControl()


class Context(RequestContext):
    """A RequestContext as the host makes it.

    A partition is a key of its own, and only a cache by meaning asks for it: for all others it would be half of what
    their key costs.  An account is a digest that few plugins need.
    """

    __slots__ = ("_account", "_partition", "_share", "only")

    only: tuple[str, ...]
    """The routes to which it may be switched, () for any; a request that a plugin asks within it has the same."""
    _account: str | Callable[[], str]
    _partition: str | Callable[[], str | None] | None
    _share: str | None

    def __init__(
        self,
        identity: str,
        scope: Scope,
        clock: Clock,
        services: Services,
        route: RouteInfo,
        flow: FlowHandle,
        parent: str | None,
        stream: bool,
        deadline: float | None,
        account: str | Callable[[], str],
        directives: Mapping[str, str],
    ) -> None:
        """By hand: every request has one, and as attrs writes it this takes twice the time, most of it for defaults."""
        self.id = identity
        self.scope = scope
        self.clock = clock
        self.services = services
        self.route = route
        self.flow = flow
        self.parent = parent
        self.stream = stream
        self.deadline = deadline
        self._account = account
        self.directives = directives
        self.attempt = self.route_attempt = self.unsent = self.leases = 0
        self.committed = False
        self.stale_within = 0.0
        self.key = self._partition = self.asker = self.provenance = self.key_parts = self._share = None
        self.stash = Stash()
        self.trace = []
        self.cache_control = _AS_EVER
        self.beginnings = self.only = ()

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
        found = self._share
        if found is None:
            found = self._share = self.cache_control.share
        return found

    def barred(self, route: str) -> str | None:
        """Why it may not be switched to *route*, in words; None if it may."""
        return "its caller may not use it" if self.only and route not in self.only else None
