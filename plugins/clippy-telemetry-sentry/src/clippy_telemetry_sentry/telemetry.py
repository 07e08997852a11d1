"""The plugin: an event in Sentry for a failed request, and breadcrumbs on the way."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from attrs import define, field
from attrs.validators import deep_iterable, ge, gt, in_
from clippy_audit import follow_forks
from clippy_hookspecs import AuditRecord, Host, Outcome, RequestContext, StashKey, hookimpl

from .event import event_of, failed_crumb, kind_of, switch_crumb
from .limiter import Limiter

Ending = Literal["failed", "refused", "cancelled", "abandoned"]
ENDINGS: tuple[Ending, ...] = ("failed", "refused", "cancelled", "abandoned")
Kind = Literal["transient", "rate_limit", "auth", "validation", "permanent", "plugin", "unknown"]
KINDS: tuple[Kind, ...] = ("transient", "rate_limit", "auth", "validation", "permanent", "plugin", "unknown")
CLOSING = 2.0
"""Seconds in which a closing host sends what is queued."""

_ROUTE = StashKey[str]("telemetry-sentry.route")


def _options() -> dict[str, Any]:
    """Of a client of our own: it sends what it is given, looks at nothing else and patches nothing."""
    return {
        "default_integrations": False,
        "auto_enabling_integrations": False,
        "auto_session_tracking": False,
        "enable_backpressure_handling": False,
        "spotlight": False,
        "shutdown_timeout": CLOSING,
    }


@define(eq=False)
class SentryTelemetry:
    """Reports failed requests to Sentry, without content, and as few of them as tell the story."""

    observes_only: ClassVar[bool] = True

    dsn: str = field(
        default="",
        repr=False,
        metadata={"doc": 'where to report, best as {env = "NAME"}; by default through the client of sentry_sdk.init'},
    )
    environment: str | None = field(default=None, metadata={"doc": "Sentry's environment; only with dsn"})
    release: str | None = field(default=None, metadata={"doc": "Sentry's release; only with dsn"})
    categories: tuple[Kind, ...] = field(
        default=("transient", "permanent", "plugin", "unknown"),
        converter=tuple,
        validator=deep_iterable(in_(KINDS)),
        metadata={"doc": "failures that are reported, by their category"},
    )
    outcomes: tuple[Ending, ...] = field(
        default=("failed",),
        converter=tuple,
        validator=deep_iterable(in_(ENDINGS)),
        metadata={"doc": "ends that are reported: failed, refused, cancelled, abandoned"},
    )
    burst: int = field(
        default=5, validator=ge(1), metadata={"doc": "events of one kind that are sent at once; others are counted"}
    )
    per_minute: float = field(
        default=1.0, validator=gt(0), metadata={"doc": "events of one kind that are sent in a minute after that"}
    )
    most_per_minute: int = field(
        default=60, validator=ge(1), metadata={"doc": "events of all kinds that are sent at once, and in a minute"}
    )
    breadcrumbs: bool = field(
        default=True, metadata={"doc": "leave a breadcrumb for each failed attempt and each switch of the route"}
    )

    sent: int = field(init=False, default=0)
    """Events that were handed to Sentry's client."""
    suppressed: int = field(init=False, default=0)
    """Events that were one too many."""
    raised: int = field(init=False, default=0)
    """Events and breadcrumbs at which Sentry's client, or a callback that the program gave it, raised."""
    _limiter: Limiter = field(init=False, repr=False)
    _open: int = field(init=False, default=0, repr=False)
    _own: Any = field(init=False, default=None, repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    @dsn.validator
    def _well_formed(self, _: object, value: str) -> None:
        if value and not _is_dsn(value):
            raise ValueError("expected https://KEY@HOST/NUMBER, as Sentry shows it under Client Keys")

    def __attrs_post_init__(self) -> None:
        self._limiter = Limiter(self.burst, self.per_minute, self.most_per_minute)
        follow_forks(self)

    @property
    def idle(self) -> str | None:
        """Why it has nothing to do: nobody said where to report."""
        if self.dsn or _program() is not None:
            return None
        return "no dsn is set, and sentry_sdk.init was not called before the host was made"

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        with self._lock:
            self._open += 1
            if self.dsn and self._own is None:
                from sentry_sdk import Client  # a fifth of a second, for those who report

                settings = {"environment": self.environment, "release": self.release, **_options()}
                # Sentry leaves context variables behind; in a copy of the context they are not the program's.
                self._own = copy_context().run(Client, self.dsn, **settings)
        try:
            yield
        finally:
            self._close()

    @hookimpl
    def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        """Leave a breadcrumb in the program's scope: it is told with whatever the program reports next."""
        if outcome.state != "error" and _ROUTE not in ctx.stash:
            return
        if not self.breadcrumbs or (client := _program()) is None:
            return
        crumbs = []
        before = ctx.stash.get(_ROUTE)
        if before is not None and before != ctx.route.name:
            crumbs.append(switch_crumb(before, ctx))
        if outcome.state == "error":
            crumbs.append(failed_crumb(outcome, ctx))
        ctx.stash[_ROUTE] = ctx.route.name
        try:
            for crumb in crumbs:
                client.add_breadcrumb(crumb)
        except Exception:
            self._count(raised=1)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """Report a request that failed."""
        if record.outcome not in self.outcomes:
            return
        category = record.error.category if record.error is not None else "unknown"
        if record.outcome == "failed" and category not in self.categories:
            return
        own = self._own
        # What has a dsn of its own does not turn to the program's client while its host is closed.
        if own is None and (self.dsn or (program := _program()) is None):
            return
        allowed = self._limiter.take(kind_of(record), ctx.clock.now())
        if allowed is None:
            self._count(suppressed=1)
            return
        event = event_of(record, *allowed)
        try:
            if own is not None:
                copy_context().run(own.capture_event, event)
            else:
                program.capture_event(event)
        except Exception:  # of a callback that the program gave to its client: nothing that the request has to do with
            self._count(raised=1)
        else:
            self._count(sent=1)

    def _count(self, sent: int = 0, suppressed: int = 0, raised: int = 0) -> None:
        with self._lock:
            self.sent, self.suppressed = self.sent + sent, self.suppressed + suppressed
            self.raised += raised

    def _close(self) -> None:
        with self._lock:
            self._open = max(0, self._open - 1)
            if self._open:
                return
            own, self._own = self._own, None
        if own is not None:
            copy_context().run(own.close, timeout=CLOSING)
        elif self.sent and (program := _program()) is not None:
            program.flush(timeout=CLOSING)

    def after_fork(self) -> None:
        """In a forked child: the client's queue and thread are the parent's, and so is the lock."""
        self._lock = threading.Lock()
        self._limiter = Limiter(self.burst, self.per_minute, self.most_per_minute)
        self._open, self._own, self.sent, self.suppressed, self.raised = 0, None, 0, 0, 0


def _is_dsn(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    whole = parts.scheme in ("http", "https") and parts.username and parts.hostname
    return bool(whole) and parts.path.rpartition("/")[2].isdigit()


def _program() -> Any:
    """The ``sentry_sdk`` that the program has initialised; None if it has not.

    It is not imported for that: who has initialised it has imported it.
    """
    sdk = sys.modules.get("sentry_sdk")
    return sdk if sdk is not None and sdk.get_client().is_active() else None
