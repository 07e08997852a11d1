"""The access log: a line for each request, also for one that reaches no plugin, and nothing in it that is a secret.

What a line says was said to the caller: it is read off the answer as it goes out.  Only the model and the tokens come
from a plugin's hook.  A line is put together and written by a thread, some at a time, so a request never waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from errno import EEXIST
from typing import Any, ClassVar

from attrs import define, field
from clippy_hookspecs import AuditRecord, ConfigError, RequestContext, hookimpl
from clippy_lines import AppendFile, Delivery

from .access_lines import BEGINS, StandardError, as_json, as_text
from .settings import AccessLog

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

log = logging.getLogger("clippy.gateway")

_SOON = 0.1
"""Seconds in which lines wait for others: what a gateway that is killed loses of them at most."""
_TOGETHER, _WAITING = 500, 10_000
_CLOSING = 2.0
"""Seconds in which a gateway that ends writes what waits."""
_BETWEEN_WARNINGS = 10.0
_UNCLAIMED, _MODELS, _LONGEST_MODEL = 4096, 1000, 100
Used = tuple[str | None, str | None, int | None, int | None]
"""Of one request: the model asked for, the one that answered instead, tokens given and got."""


@define(eq=False)
class Access:
    """Writes the lines; as a plugin of the host it learns the model and the tokens of each request.

    A model is told once a request for it was not refused, or where the configuration names it (``models``): any other
    name may be a prompt or a key that went to the wrong place.
    """

    observes_only: ClassVar[bool] = True

    settings: AccessLog
    models: set[str] = field(factory=set)
    lost: dict[str, int] = field(factory=dict, init=False)
    """Lines that there was no room for, or that could not be written, since that was last told, by the reason."""
    _used: dict[str, Used] = field(factory=dict, init=False, repr=False)
    _delivery: Delivery[Line] | None = field(default=None, init=False, repr=False)
    _warned: float = field(default=-_BETWEEN_WARNINGS, init=False, repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)
    _sink: Any = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        told = self.settings
        self._sink = (
            StandardError() if told.is_stderr else AppendFile(told.path, told.max_bytes, told.keep, begins=BEGINS)
        )

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """Note what a request was about until its line is made."""
        if record.parent is not None:
            return
        used = record.usage
        refused = (record.status or 500) >= 400
        model, answering = self._told(record.model, refused), self._told(record.answering_model, refused)
        if len(self._used) >= _UNCLAIMED:  # those of callers that left before they heard of their request's id
            del self._used[next(iter(self._used))]
        given, got = (None, None) if used is None else (used.input, used.output)
        self._used[record.id] = (model, answering, given, got)

    def _told(self, model: str | None, refused: bool) -> str | None:
        if model is None or model in self.models:
            return model
        if refused or len(model) > _LONGEST_MODEL or not model.isprintable() or len(self.models) >= _MODELS:
            return None
        self.models.add(model)
        return model

    def faults(self) -> list[str]:
        """Why its file cannot be written, tried out: a file and folders that are made for that are removed again."""
        if self.settings.is_stderr:
            return []
        error = self._sink.trial()
        return [] if error is None else [_unwritable(self.settings.to, error)]

    def _open(self) -> None:
        try:
            self._sink.open()
        except OSError as error:
            raise ConfigError([_unwritable(self.settings.to, error)]) from error

    def open(self) -> None:
        """Begin.  Raises ConfigError for a file that cannot be written."""
        if not self.settings.is_stderr:
            self._open()
        if self._delivery is None:
            self._delivery = Delivery(self._write, _WAITING, "clippy-gateway-access", _SOON, _TOGETHER)

    def close(self) -> None:
        """Write what waits."""
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            self._lose(delivery.close(_CLOSING), "some waited when the gateway ended")
            self._sink.close()
            self._warn(at_once=True)

    def begin(self, scope: Any, receive: Receive, send: Send) -> Line:
        """The line of a request that has just come."""
        return Line(self, scope["method"], scope["path"], receive, send)

    def refused_unread(self, status: int, code: str) -> None:
        """A line of what the server refused before it was a request: neither method nor path is known of it."""

        async def nothing(*_: Any) -> None: ...

        line = Line(self, "*", "*", nothing, nothing)
        line.status, line.refused, line.whole = status, code, True
        line.end()

    def end(self, line: Line) -> None:
        """Have *line* written soon."""
        if line.again and line.status == 200:
            return
        line.used = self._used.pop(line.id, None)
        if self._delivery is not None and not self._delivery.put(line):
            self._lose(1, "what takes it is slower than the requests")

    def _write(self, lines: Sequence[Line]) -> None:
        form = as_json if self.settings.format == "json" else as_text
        try:
            self._sink.append(b"".join([form(line) for line in lines]))
        except Exception as error:  # of whatever kind: the thread that writes is the only one there is
            why = error.strerror if isinstance(error, OSError) else None
            self._lose(len(lines), f"cannot write {self.settings.to}: {why or type(error).__name__}")
        self._warn()

    def _lose(self, count: int, why: str) -> None:
        if count:
            with self._lock:
                self.lost[why] = self.lost.get(why, 0) + count

    def _warn(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self.lost and (at_once or now - self._warned >= _BETWEEN_WARNINGS):
            with self._lock:
                self._warned, lost, self.lost = now, self.lost, {}
            for why, count in lost.items():
                log.warning("the access log lost %d lines: %s", count, why)


def _unwritable(to: str, error: OSError) -> str:
    if error.errno == EEXIST:  # somebody else's, as what adds lines to files says
        return f"plugins.gateway.access_log.to is {to!r}, and is no access log: {error.strerror}; choose another file"
    return (
        f"plugins.gateway.access_log.to is {to!r}, which cannot be written: {error.strerror or type(error).__name__}; "
        "let this user write in its folder (systemd: LogsDirectory=clippy for /var/log/clippy), or choose another file"
    )


class Line:
    """What is noted of one request while it is answered; stands between the application and the server.

    ``again``: an open page keeps itself fresh, which is told only where it is not let in.
    """

    __slots__ = (
        "_access", "_receive", "_send", "again", "at", "began", "body", "caller", "ended", "first", "headers", "left",
        "method", "path", "refused", "sent", "status", "stranger", "used", "whole",
    )  # fmt: skip

    def __init__(self, access: Access, method: str, path: str, receive: Receive, send: Send) -> None:
        self._access, self._receive, self._send = access, receive, send
        self.method, self.path, self.at, self.began = method, path, time.time(), time.perf_counter()
        self.caller = self.refused = self.stranger = self.left = ""
        self.body = self.sent = self.status = 0
        self.first = self.ended = 0.0
        self.headers: Sequence[tuple[bytes, bytes]] = ()
        self.used: Used | None = None
        self.whole = self.again = False

    @property
    def id(self) -> str:
        """The request's id as its caller was told, "" for one that nothing was told."""
        for name, value in self.headers:
            if name == b"x-clippy-request-id":
                return value.decode("latin-1")
        return ""

    async def receive(self) -> Any:
        """As ASGI's; counts the request's body, and notes that the caller left."""
        message = await self._receive()
        self.body += len(message.get("body", b""))
        if message["type"] == "http.disconnect" and not self.whole:
            self.left = "left"
        return message

    async def send(self, message: Any) -> None:
        """As ASGI's; notes the answer's head and counts its body."""
        if message["type"] == "http.response.start":
            self.status, self.headers, self.first = message["status"], message["headers"], time.perf_counter()
            await self._send(message)
            return
        await self._send(message)
        self.sent += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)

    def end(self) -> None:
        """The request is over."""
        self.ended = time.perf_counter()
        self._access.end(self)
