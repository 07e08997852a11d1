"""The plugin: what is counted when, and the page on a gateway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import define, field
from attrs.validators import ge, matches_re, min_len, optional
from clippy_hookspecs import AuditRecord, ConfigError, Headers, Host, Request, RequestContext, Routes, hookimpl
from clippy_hookspecs.services import Prices, RawReply, RawRequest

from .door import refusal
from .ledger import Ledger
from .metrics import declared
from .names import Names

if TYPE_CHECKING:  # prometheus_client is imported when a host opens
    from clippy_serving.siblings import Siblings

    from .page import Page

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
    _ledger: Ledger | None = field(init=False, default=None, repr=False)
    _prices: Prices | None = field(init=False, default=None, repr=False)
    _siblings: Siblings | None = field(init=False, default=None, repr=False)
    _host: Host | None = field(init=False, default=None, repr=False)
    _page: Page | None = field(init=False, default=None, repr=False)

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
        from prometheus_client import REGISTRY

        from .collecting import numbers_in
        from .page import Page

        keys = _keys(host)
        if self.token is not None and any(getattr(one, "key", None) == self.token for one in (keys or {}).values()):
            raise ConfigError(
                ["plugins.telemetry-prometheus.token is also the key of a caller, who could read it: take another one"]
            )
        registry = REGISTRY if self.registry is None else self.registry
        self._ledger = Ledger(numbers_in(registry), self.values, self.identity)
        self._prices, self._host = host.services.get(Prices, None), host
        self._page = Page(registry, host, Names(self.values), self._siblings)
        yield

    @hookimpl(tryfirst=True)
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        """A request is under way."""
        if self._ledger is not None:
            self._ledger.numbers.under_way[ctx.id] = request.stream

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """A request is over: the one place where it is counted."""
        if self._ledger is not None:
            self._ledger.numbers.under_way.pop(record.id, None)
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
        page, host = self._page, self._host
        if page is None or host is None:
            return _refused(503, "The host is not open yet.\n")
        keys = _keys(host)
        denied = refusal(request, self.token, keyless=keys is not None and not keys)
        return await page.answer(request) if denied is None else _refused(*denied)

    async def _tell(self, said: bytes) -> bytes:
        return b"[]" if self._page is None else await self._page.tell(said)


def _keys(host: Host) -> Mapping[str, Any] | None:
    """The keys of the gateway's callers, {} where they need none; None: nobody knows what they need."""
    keys = getattr(host.plugins.get("gateway"), "keys", None)
    return keys if isinstance(keys, Mapping) else None


def _refused(status: int, text: str) -> RawReply:
    fields = {name: value for name, value in _HEADERS.items() if status == 401 or name != "www-authenticate"}
    return RawReply(status, Headers(fields), text.encode(), {})
