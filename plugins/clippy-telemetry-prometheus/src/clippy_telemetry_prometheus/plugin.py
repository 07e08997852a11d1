"""The plugin: what is counted when, and the page on a gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, ClassVar

from attrs import define, field
from attrs.validators import ge, matches_re, min_len, optional
from clippy_audit import follow_forks
from clippy_hookspecs import AuditRecord, Headers, Host, Request, RequestContext, Routes, hookimpl
from clippy_hookspecs.services import Prices, RawReply, RawRequest

from .door import refusal
from .ledger import Ledger
from .metrics import declared
from .names import Names
from .numbers import Numbers

_HEADERS = {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "www-authenticate": 'Bearer realm="metrics"',
}


@define(eq=False)
class PrometheusTelemetry:
    """Counts requests for Prometheus: in the registry of prometheus_client, and at /metrics of a gateway."""

    observes_only: ClassVar[bool] = True
    declares_metrics: ClassVar[tuple[tuple[str, str, str], ...]] = declared()

    token: str | None = field(
        default=None,
        repr=False,
        validator=optional(min_len(16)),
        metadata={
            "doc": 'what Prometheus sends as a bearer to read the page, best as {env = "NAME"}; '
            "None: a page only where callers need no key, for this machine"
        },
    )
    path: str = field(
        default="/metrics",
        validator=matches_re(r"|/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-]"),
        metadata={"doc": 'the path of the page on a gateway; "": no page'},
    )
    identity: bool = field(
        default=False, metadata={"doc": "also tell requests, tokens and costs by tenant and user, as labels"}
    )
    values: int = field(
        default=100,
        validator=ge(1),
        metadata={"doc": "different values that one label may have; what comes beyond them is told as other"},
    )
    registry: Any = field(
        default=None,
        repr=False,
        metadata={"doc": "for programs: the CollectorRegistry to be in, instead of the one of prometheus_client"},
    )
    _numbers: Numbers = field(init=False, factory=Numbers, repr=False)
    _ledger: Ledger = field(init=False, repr=False)
    _prices: Prices | None = field(init=False, default=None, repr=False)
    _siblings: Any = field(init=False, default=None, repr=False)
    _host: Host | None = field(init=False, default=None, repr=False)
    _answering: Callable[[RawRequest], Awaitable[RawReply]] | None = field(init=False, default=None, repr=False)
    _telling: Callable[[bytes], Awaitable[bytes]] | None = field(init=False, default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        self._ledger = Ledger(self._numbers, self.values, self.identity)
        follow_forks(self._numbers)

    @property
    def idle(self) -> str | None:
        """Why it has nothing to do: what it needs is not there."""
        if find_spec("prometheus_client") is not None:
            return None
        return "prometheus-client is not installed: python -m pip install prometheus-client"

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        """Be in the registry from now on, also when the host is closed: a counter does not fall."""
        from prometheus_client import REGISTRY  # a tenth of a second, for those who open a host

        from .collecting import collected_in
        from .page import Page

        registry = REGISTRY if self.registry is None else self.registry
        page = Page(registry, host, Names(self.values), self._siblings)
        self._answering, self._telling = page.answer, page.tell
        self._prices, self._host = host.services.get(Prices, None), host
        collected = collected_in(registry)
        collected.opened(self._numbers)
        try:
            yield
        finally:
            collected.closed(self._numbers)

    @hookimpl(tryfirst=True)
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        """A request is under way."""
        self._numbers.under_way[ctx.id] = request.stream

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """A request is over: the one place where it is counted."""
        self._numbers.under_way.pop(record.id, None)
        self._ledger.enter(record, self._prices)

    @hookimpl
    def register_routes(self, app: Routes) -> None:
        """The page, in whichever worker it is asked for."""
        siblings = getattr(app, "siblings", None)
        if siblings is not None and siblings.place is not None:
            self._siblings = siblings
            siblings.answer("metrics", self._tell)
        if self.path:
            app.route("GET", self.path, self._answer)

    async def _answer(self, request: RawRequest) -> RawReply:
        answering, host = self._answering, self._host
        if answering is None or host is None:
            return _refused(503, "The host is not open yet.\n")
        denied = refusal(request, self.token, _keys(host))
        return await answering(request) if denied is None else _refused(*denied)

    async def _tell(self, said: bytes) -> bytes:
        return b"[]" if self._telling is None else await self._telling(said)


def _keys(host: Host) -> Collection[str] | None:
    """The keys of the gateway's callers, none where they need none; None: nobody knows what they need."""
    keys = getattr(host.plugins.get("gateway"), "keys", None)
    return [str(getattr(one, "key", "")) for one in keys.values()] if isinstance(keys, Mapping) else None


def _refused(status: int, text: str) -> RawReply:
    fields = {name: value for name, value in _HEADERS.items() if status == 401 or name != "www-authenticate"}
    return RawReply(status, Headers(fields), text.encode(), {})
