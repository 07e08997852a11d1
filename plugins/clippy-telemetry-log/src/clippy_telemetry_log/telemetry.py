"""The plugin: a log record for each request."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

from attrs import define, field
from attrs.validators import and_, ge, in_, le
from clippy_hookspecs import AuditRecord, Host, Outcome, RequestContext, Scope, hookimpl
from clippy_lines import Delivery, follow_forks

from .fields import PREFIX, attempt_sentence, of_attempt, of_request, request_sentence
from .names import name

logger = logging.getLogger("clippy.requests")
# A program that has not set up logging would otherwise see warnings on stderr, through the handler of last resort.
logger.addHandler(logging.NullHandler())

Level = Literal["debug", "info", "warning", "error", "critical", "off"]
LEVELS: dict[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": 0,
}
CLOSING = 2.0
"""Seconds in which a closing host delivers what is queued."""


def _level(default: Level, doc: str) -> Any:
    return field(default=default, validator=in_(LEVELS), metadata={"doc": f"level of {doc}, or off"})


@define(eq=False)
class LogTelemetry:
    """Tells of each request through the logger ``clippy.requests``: a sentence and fields, without content."""

    observes_only: ClassVar[bool] = True

    answered: Level = _level("info", "a request that was answered")
    recovered: Level = _level("warning", "a request that was answered after an attempt had failed")
    cached: Level = _level("info", "a request that was answered from a cache")
    failed: Level = _level("error", "a request that failed")
    refused: Level = _level("warning", "a request that a plugin refused")
    cancelled: Level = _level("info", "a request that its caller cancelled")
    abandoned: Level = _level("warning", "a stream that nobody read to its end")
    attempt: Level = _level("debug", "each attempt that failed, whatever became of its request")
    sample: float = field(
        default=1.0,
        validator=and_(ge(0.0), le(1.0)),
        metadata={"doc": "share of the answered and cached requests that is told; all others always are"},
    )
    scope: Literal["omit", "hashed", "plain"] = field(
        default="omit",
        validator=in_(("omit", "hashed", "plain")),
        metadata={"doc": "tenant, user and session: omit, hashed (one name stays one value) or plain"},
    )
    hash_key: str = field(
        default="",
        repr=False,
        metadata={"doc": "secret behind hashed names; by default each process has its own, and values of two differ"},
    )
    queue: bool = field(
        default=False, metadata={"doc": "hand records to handlers on a thread, so that a slow handler delays nobody"}
    )
    queue_size: int = field(
        default=10000, validator=ge(1), metadata={"doc": "records that wait; more are lost, and counted"}
    )

    lost: int = field(init=False, default=0)
    """Records that the queue had no room for since the last one that it had."""
    raised: int = field(init=False, default=0)
    """Records at which a handler or a filter of the program raised."""
    _open: int = field(init=False, default=0, repr=False)
    _delivery: Delivery[logging.LogRecord] | None = field(init=False, default=None, repr=False)
    _key: bytes = field(init=False, repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    def __attrs_post_init__(self) -> None:
        self._key = self.hash_key.encode("utf-8", "surrogatepass") or secrets.token_bytes(16)
        follow_forks(self)

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        with self._lock:
            self._open += 1
            if self.queue and self._delivery is None:
                self._delivery = Delivery(self._deliver, self.queue_size, "clippy-telemetry-log")
        try:
            yield
        finally:
            self._close()

    @hookimpl
    def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        """Tell of an attempt that failed."""
        level = LEVELS[self.attempt]
        if outcome.state == "error" and level and logger.isEnabledFor(level):
            fields = of_attempt(outcome, ctx) | self._named(ctx.scope)
            self._tell(level, "attempt %s: %s", (str(ctx.attempt), attempt_sentence(fields)), fields)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """Tell what became of a request."""
        success = record.outcome in ("answered", "cached")
        recovered = success and any(attempt.error is not None for attempt in record.attempts)
        level = LEVELS[self.recovered if recovered else getattr(self, record.outcome)]
        if not level or not logger.isEnabledFor(level):
            return
        if success and not recovered and not self._sampled(record.id):
            return
        fields = of_request(record) | self._named(record.scope)
        if success and self.sample < 1.0:
            fields["sample"] = self.sample
        self._tell(level, "request %s: %s", (record.outcome, request_sentence(fields)), fields)

    def _sampled(self, id: str) -> bool:  # noqa: A002 - the field's name
        """By the id and not by chance: every process, and every reader, comes to the same end."""
        return self.sample >= 1.0 or zlib.crc32(id.encode("utf-8", "surrogatepass")) < self.sample * 2**32

    def _named(self, scope: Scope) -> dict[str, str]:
        if self.scope == "omit":
            return {}
        told = {"tenant": scope.tenant, "user": scope.user, "session": scope.session}
        show = self._digest if self.scope == "hashed" else _plain
        return {key: show(value) for key, value in told.items() if value}

    def _digest(self, value: str) -> str:
        return hmac.new(self._key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]

    def _tell(self, level: int, message: str, words: tuple[str, ...], fields: dict[str, Any]) -> None:
        delivery, lost = self._delivery, self.lost
        if lost:
            fields["lost"] = lost
        extra = {PREFIX + key: value for key, value in fields.items()}
        record = logger.makeRecord(logger.name, level, __file__, 0, message, words, None, None, extra)
        if delivery is None:
            self._deliver((record,))
        elif delivery.put(record):
            self._count(lost=-lost)
        else:
            self._count(lost=1)

    def _deliver(self, records: Sequence[logging.LogRecord]) -> None:
        for record in records:
            try:
                logger.handle(record)
            except Exception:  # of a handler or filter that is not ours; to log it would be to call it again
                self._count(raised=1)

    def _count(self, lost: int = 0, raised: int = 0) -> None:
        if lost or raised:
            with self._lock:
                self.lost, self.raised = max(0, self.lost + lost), self.raised + raised

    def _close(self) -> None:
        with self._lock:
            self._open = max(0, self._open - 1)
            delivery = None
            if not self._open:
                delivery, self._delivery = self._delivery, None
        if delivery is not None:
            self._count(lost=delivery.close(CLOSING))

    def after_fork(self) -> None:
        """In a forked child: the queue, its thread and what waits in it are the parent's."""
        self._lock = threading.Lock()
        self._open, self._delivery, self.lost, self.raised = 0, None, 0, 0


def _plain(value: str) -> str:
    return name(value, personal=False) or ""
