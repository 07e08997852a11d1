"""The plugin: keeps a tape of each of the newest calls, and develops one when somebody looks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field
from attrs.validators import ge, in_, optional
from clippy_audit import follow_forks
from clippy_hookspecs import AuditRecord, Event, Flow, Host, Prices, RequestContext, StatusTable, hookimpl

from .apart import Writer, possible
from .developing import develop
from .exchange import Exchange, Level
from .files import Appender
from .keeping import Keeper
from .shelf import Shelf
from .tape import STREAMED, TAPE, Tape

logger = logging.getLogger("clippy.recorder")

OFTEN = 100_000_000
"""Nanoseconds between two words about one call that goes on."""


def _absolute(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path).expanduser().absolute()


_SUFFIXES = (".jsonl", ".sqlite")


def _is_recording(_: object, __: Any, path: Path) -> None:
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"must end in {' or '.join(_SUFFIXES)}, got {str(path)!r}")


@define(eq=False)
class Recorder:
    """Keeps what happened to each call, without secrets, to be looked at, exported and replayed."""

    enabled: bool = field(default=False, metadata={"doc": "record; in memory, and in the file if there is one"})
    level: Level = field(
        default="detailed",
        validator=in_(("minimal", "standard", "detailed")),
        metadata={"doc": "minimal (no headers), standard (no content) or detailed (what was said, without secrets)"},
    )
    keep: int = field(default=500, validator=ge(1), metadata={"doc": "calls kept in memory, the newest"})
    max_bytes: int = field(
        default=64 * 1024 * 1024,
        validator=ge(65536),
        metadata={"doc": "bytes kept in memory, of one call a quarter; 65536 or more"},
    )
    path: Path | None = field(
        default=None,
        converter=_absolute,
        validator=optional(_is_recording),
        metadata={"doc": "file to append to, .jsonl or .sqlite; None: memory alone", "suffixes": _SUFFIXES},
    )
    file_max_bytes: int = field(
        default=64 * 1024 * 1024,
        validator=ge(65536),
        metadata={
            "doc": "bytes at which a .jsonl file is set aside and a .sqlite file lets its oldest calls go; "
            "65536 or more"
        },
    )
    file_keep: int = field(default=5, validator=ge(1), metadata={"doc": "files set aside that are kept"})
    secrets: tuple[str, ...] = field(
        default=(), converter=tuple, repr=False, metadata={"doc": "exact texts to take out, beside the keys of a call"}
    )

    observes_only = True  # it changes no request and no answer
    observes_passed = False  # the trace tells of hooks that did nothing
    _shelf: Shelf = field(init=False, repr=False)
    _told: tuple[Callable[[str], None], ...] = field(init=False, default=(), repr=False)
    _lock: Any = field(init=False, factory=threading.Lock, repr=False)
    _developing: Any = field(init=False, factory=threading.Lock, repr=False)
    _keeper: Keeper | None = field(init=False, default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        self._shelf = Shelf(self.keep, self.max_bytes)
        follow_forks(self)

    @property
    def idle(self) -> str | None:
        """Why it has nothing to do, None if it has."""
        return None if self.enabled else "enabled is not set"

    @property
    def reads_content(self) -> bool:
        """Whether the host must hand it what was said."""
        return self.level == "detailed"

    # --- for those who look -------------------------------------------------------------------------------------------

    def latest(self, limit: int = 200, before: str | None = None) -> tuple[Exchange, ...]:
        """At most *limit* of the newest calls, the newest last; those before the one of id *before*, if it is given.

        A stream that runs is told in brief: chunks that follow each other are one piece, and ``lost`` counts the rest.
        """
        tapes = self._shelf.tapes()
        if before is not None:
            ids = [tape.id for tape in tapes]
            tapes = tapes[: ids.index(before)] if before in ids else []
        return tuple(self._developed(tape, brief=True) for tape in tapes[-limit:])

    def find(self, request_id: str) -> Exchange | None:
        """The call of this id, as far as it is; None if it is not kept."""
        tape = self._shelf.find(request_id)
        return None if tape is None else self._developed(tape)

    def flow(self, request_id: str) -> Flow | None:
        """The handle of a call that goes on: pause, resume, cancel; None if it is over or not kept."""
        tape = self._shelf.find(request_id)
        ctx = None if tape is None else tape.ctx
        return None if ctx is None else ctx.flow

    def subscribe(self, told: Callable[[str], None]) -> Callable[[], None]:
        """Have *told* called with the id of a call that began, went on or ended; returns what ends that.

        From whatever thread the call runs in, so it must not wait; of one call at most ten times a second.
        """
        with self._lock:
            self._told = (*self._told, told)

        def end() -> None:
            with self._lock:
                self._told = tuple(one for one in self._told if one is not told)

        return end

    async def status_tables(self) -> tuple[StatusTable, ...]:
        """That calls are not written into the file, or were not, for people."""
        keeper = self._keeper
        table = None if keeper is None else keeper.status()
        return () if table is None else (table,)

    def _developed(self, tape: Tape, brief: bool = False) -> Exchange:
        """What is known of a call; of one that is over it is worked out once."""
        if tape.developed is not None:
            return tape.developed
        if tape.record is None:
            return develop(tape, self.level, self.secrets, brief)
        with self._developing:
            if tape.developed is None:
                tape.developed = develop(tape, self.level, self.secrets)
                tape.events, tape.trace = [], ()
            return tape.developed

    # --- the hooks ----------------------------------------------------------------------------------------------------

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        """Keep what happens."""
        tape = ctx.stash.get(TAPE)
        if tape is None:
            tape = self._begin(event, ctx)
        if event.kind in STREAMED:
            tape.piece(event)
        else:
            tape.note(event)
        if self._told and event.at - tape.told >= OFTEN:
            tape.told = event.at
            self._tell(tape.id)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """The call is over: keep what became of it, and write it down."""
        tape = ctx.stash.get(TAPE)
        if tape is None:  # plugins were changed while it ran, or nothing but this was left of a request
            tape = self._begin(None, ctx)
        prices = ctx.services.get(Prices, None)
        model = record.answering_model or record.model
        if prices is not None and record.usage is not None and model and record.outcome == "answered":
            tape.cost = prices.cost(model, record.usage)
        tape.close(record)
        self._shelf.over(tape)
        if self._keeper is not None:
            self._keeper.keep(tape)
        self._tell(tape.id)

    def unopened(self) -> list[str]:
        """Why its file cannot be written, tried out."""
        why = None if self.path is None or not self.enabled else Appender(self.path).trial()
        return [] if why is None else [f"path in [plugins.recorder] is {str(self.path)!r}, where calls are lost: {why}"]

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        """Write on a thread of its own while the host is open."""
        if self.enabled and self.path is not None:
            limits = self.file_max_bytes, self.file_keep
            apart = partial(Writer, self.path, self.level, self.secrets, *limits) if possible() else None
            self._keeper = Keeper(self.path, self._developed, *limits, apart)
        try:
            yield
        finally:
            keeper, self._keeper = self._keeper, None
            if keeper is not None:
                keeper.close()

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        """``clippy recordings`` and ``clippy replay``."""
        from .commands import recordings_group, replay_command

        cli.add_command(recordings_group())
        cli.add_command(replay_command(cli))

    def _begin(self, event: Event | None, ctx: RequestContext) -> Tape:
        at = event.at if event is not None else int(ctx.clock.now() * 1e9)
        tape = Tape(ctx.id, ctx.parent, at, ctx.clock.time(), self.max_bytes // 4, ctx, trace=ctx.trace)
        ctx.stash[TAPE] = tape
        self._shelf.add(tape)
        return tape

    def _tell(self, request_id: str) -> None:
        for told in self._told:
            try:
                told(request_id)
            except Exception:
                logger.exception("somebody who wanted to be told of calls failed")

    def after_fork(self) -> None:
        """In a forked child: the calls under way are the parent's."""
        if self._keeper is not None:
            self._keeper.abandon()
        self._lock, self._developing = threading.Lock(), threading.Lock()
        self._shelf, self._told, self._keeper = Shelf(self.keep, self.max_bytes), (), None
