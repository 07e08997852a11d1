"""The plugin: one line for each request."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from attrs import define, field
from attrs.validators import ge, in_
from clippy_hookspecs import AuditRecord, Headers, Host, Request, RequestContext, StashKey, StatusTable, hookimpl
from clippy_lines import AppendFile, Fsync, follow_forks
from platformdirs import user_state_path

from .cleaner import Cleaner
from .fields import keeps
from .frames import framed, headed
from .lines import BEGINS, SMALLEST, encode
from .literals import SHORTEST
from .names import Trust, trust
from .record import LEVELS, Level, describe, timestamp
from .redaction import SECRET_HEADERS

logger = logging.getLogger("clippy.audit")

SCHEMA = 1
"""``v`` of every record."""

_HEAD = 256
"""Bytes that the head of a record needs at most."""
HEADS = 64
"""Headers whose cleaner is known without a look at them; then it begins anew."""
_SENT = StashKey[list[Headers]]("audit.sent")


def _anchored(path: str | Path) -> Path:
    """*path* with ``~`` expanded; a relative one lies in the user's state folder for clippy, never where we run."""
    return user_state_path("clippy", appauthor=False) / Path(path).expanduser()


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@define(eq=False)
class AuditLog:
    """Writes one line for each request, without secrets."""

    path: Path = field(
        default=Path("audit.jsonl"),
        converter=_anchored,
        metadata=_doc("file to write; relative paths lie in the user's state folder for clippy"),
    )
    level: Level = field(
        default="standard",
        validator=in_(LEVELS),
        metadata=_doc("minimal (no texts), standard (redacted texts, no content) or detailed (redacted content)"),
    )
    secrets: tuple[str, ...] = field(
        default=(),
        converter=tuple,
        repr=False,
        metadata=_doc("exact texts to take out, your own keys for instance; at least four characters each"),
    )
    environment: bool = field(
        default=True, metadata=_doc("also take out the values of environment variables with names of secrets")
    )
    personal: bool = field(
        default=True, metadata=_doc("also take out mail addresses, phone, card and account numbers, IP addresses")
    )
    max_text: int = field(default=8192, validator=ge(64), metadata=_doc("characters of a text that are kept"))
    max_line: int = field(default=262144, validator=ge(SMALLEST), metadata=_doc("bytes of a record"))
    max_bytes: int = field(
        default=64 * 1024 * 1024, validator=ge(SMALLEST), metadata=_doc("bytes at which a file is set aside")
    )
    keep: int = field(default=5, validator=ge(1), metadata=_doc("files set aside that are kept"))
    fsync: Fsync = field(
        default="none",
        validator=in_(("none", "each")),
        metadata=_doc("none (survives a killed process) or each (survives a power cut, a disk's wait per request)"),
    )
    required: bool = field(default=False, metadata=_doc("fail a request whose record cannot be written"))

    lost: int = field(init=False, default=0)
    """Records that could not be written since the last one that was."""
    _lost_in_all: int = field(init=False, default=0, repr=False)
    _trouble: tuple[str, float] | None = field(init=False, default=None, repr=False)
    _file: AppendFile = field(init=False, repr=False)
    _literals: tuple[str, ...] = field(init=False, default=(), repr=False)
    _boot: str = field(init=False, factory=lambda: uuid4().hex[:16], repr=False)
    _cleaners: dict[int, tuple[Headers, Cleaner]] = field(init=False, factory=dict, repr=False)
    _numbers: Iterator[int] = field(init=False, factory=lambda: count(1), repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    @secrets.validator
    def _long_enough(self, _: object, value: tuple[str, ...]) -> None:
        if any(len(secret) < SHORTEST for secret in value):
            raise ValueError(
                f"secrets: each needs at least {SHORTEST} characters, or it takes ordinary words out of every text"
            )

    def __attrs_post_init__(self) -> None:
        self._file = AppendFile(self.path, self.max_bytes, self.keep, self.fsync, (BEGINS,))
        follow_forks(self)
        self._literals = tuple(dict.fromkeys((*self.secrets, *(_from_environment() if self.environment else ()))))

    @property
    def observes_only(self) -> bool:
        """It looks at requests and changes none: cached answers do not depend on it."""
        return True

    @property
    def reads_content(self) -> bool:
        """Whether the host hands us what was said: only the detailed level writes it."""
        return self.level == "detailed"

    @property
    def on_failure(self) -> Literal["raise"] | None:
        """ "raise" where a request may not go on without its record; None leaves it to the hook's own policy."""
        return "raise" if self.required else None

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        if self.required:
            self._file.open()
        try:
            yield
        finally:
            self._file.close()

    def unopened(self) -> list[str]:
        """Why its file cannot be written, tried out."""
        error = self._file.trial()
        if error is None:
            return []
        why = error.strerror or type(error).__name__
        return [f"path in [plugins.audit] is {str(self.path)!r}, where no record can be written: {why}"]

    @hookimpl(tryfirst=True)
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        """Remember the caller's credentials: an error text may repeat them without saying what they are.

        They stay in the headers, in the request's own notes, from where they go with it, until the record is made.
        """
        ctx.stash.setdefault(_SENT, list).append(request.headers)

    @hookimpl(trylast=True)
    def pre_attempt(self, request: Request, ctx: RequestContext) -> None:
        """Remember the route's credentials as well."""
        sent = ctx.stash.setdefault(_SENT, list)
        if not sent or sent[-1] is not request.headers:
            sent.append(request.headers)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        clean = self._cleaner_of(ctx.stash.setdefault(_SENT, list))
        rest = framed(record, clean) if self.level == "standard" else None
        body = describe(record, self.level, clean) if rest is None or len(rest) > self.max_line - _HEAD else {}
        began = timestamp(record.time)
        with self._lock:
            head = {"v": SCHEMA, "time": began, "boot": self._boot, "seq": next(self._numbers)}
            if self.lost:
                head["lost"] = self.lost
            try:
                line = encode(head, body, self.max_line) if body or rest is None else headed(head, rest)
                self._file.append(line)
            except OSError as error:
                self._count_loss(error)
                if self.required:
                    raise
            else:
                self._report_recovery()

    def _cleaner_of(self, sent: list[Headers]) -> Cleaner:
        """What takes out also the credentials that were *sent*.

        A gateway hands on the very same headers with every request of a caller, and a program equal ones.
        """
        if len(sent) == 1:
            known = self._cleaners.get(id(sent[0]))
            if known is not None and known[0] is sent[0]:
                return known[1]
        clean = _cleaner((*self._literals, *sorted(_credentials(sent))), self.personal, self.max_text)
        if len(sent) == 1:
            if len(self._cleaners) >= HEADS:
                self._cleaners.clear()
            self._cleaners[id(sent[0])] = sent[0], clean
        return clean

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        from .commands import audit_group

        cli.add_command(audit_group(self.path, self.keep))

    def after_fork(self) -> None:
        """A child counts its own records: two lives under one number would look like lost ones."""
        self._lock = threading.Lock()
        self._boot, self._numbers = uuid4().hex[:16], count(1)
        self.lost, self._lost_in_all, self._trouble = 0, 0, None

    def _count_loss(self, error: OSError) -> None:
        self.lost += 1
        self._lost_in_all += 1
        if self.lost == 1:
            self._trouble = (error.strerror or type(error).__name__, time.monotonic())
            logger.error(
                "audit: cannot write %s (%s); records are lost and counted until it works again: "
                "free space, fix the permissions or set path in [plugins.audit]",
                self.path, error.strerror or type(error).__name__,
            )  # fmt: skip

    def _report_recovery(self) -> None:
        if self.lost:
            logger.error("audit: %s can be written again; %d records were lost", self.path, self.lost)
            self.lost, self._trouble = 0, None

    async def status_tables(self) -> tuple[StatusTable, ...]:
        """That records are not written, or were not, for people."""
        trouble, lost = self._trouble, self._lost_in_all
        if not lost:
            return ()
        why, since = ("written again", None) if trouble is None else (trouble[0], int(time.monotonic() - trouble[1]))
        row = (str(self.path), why, since, lost)
        return (StatusTable("not written", ("file", "why", "for, s", "records lost"), (row,)),)

    @_file.default
    def _closed(self) -> AppendFile:
        return AppendFile(self.path)


_cleaner = lru_cache(maxsize=256)(Cleaner)  # one for each set of credentials in use


def _credentials(sent: list[Headers]) -> set[str]:
    """The secret words in all headers that were *sent*."""
    found: set[str] = set()
    for headers in sent:
        for name, value in headers.pairs:
            if _may_carry(name):
                found |= _secret_words(value)
    return found


@lru_cache(maxsize=1024)
def _may_carry(name: str) -> bool:
    return name.lower() in SECRET_HEADERS or trust(name) >= Trust.WEAK


@lru_cache(maxsize=256)
def _secret_words(value: str) -> frozenset[str]:
    words = {word.strip(";,") for word in value.split()}
    return frozenset(word for word in words if len(word) >= 8 and not keeps(word, Trust.KEY))


_WHERE = frozenset({"PWD", "OLDPWD"})
"""Variables in which a shell says where it is and was: no passwords, for all their names."""


def _from_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        sure = trust(name)
        if (
            len(value) >= 8
            and name not in _WHERE
            and sure in (Trust.WEAK, Trust.KEY, Trust.SECRET)
            and not keeps(value, sure)
        ):
            yield value


__all__ = ["SCHEMA", "AuditLog"]
