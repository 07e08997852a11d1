"""What is kept of a call while it runs: the host's own events, unread.

Nothing here looks into a value: a tape costs a call an append for each event, and what they say is worked out when
somebody looks (:mod:`clippy_recorder.developing`).  Hooks that did nothing are read from the request's trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns

from attrs import define, field
from clippy_hookspecs import AuditRecord, Chunk, Event, HookCall, Request, RequestContext, StashKey

from .changed import Change
from .exchange import Exchange

_ENTRY = 200
"""Bytes that an event counts for beside its content: itself, its chunk and their places."""
_LEAP = 1_000_000
"""Nanoseconds by which the host's clock may run away from the processor's before that is noted."""
STREAMED = frozenset({"bytes", "chunk_in", "chunk_out"})
"""The events that are pieces of an answer."""


@define(eq=False)
class Tape:
    """The events of one call.  ``began`` is nanoseconds of the host's clock, ``time`` unix seconds.

    ``room`` is the bytes it may hold: of an answer beyond it the oldest pieces go first, and are counted as ``lost``.
    ``ctx`` is there while the call runs, and ``record`` afterwards.
    """

    id: str
    parent: str | None
    began: int
    time: float
    room: int
    ctx: RequestContext | None = field(repr=False)
    events: list[Event] = field(factory=list, repr=False)
    trace: Sequence[HookCall] = field(default=(), repr=False)
    """The request's own, which still grows while the others that audit it are called."""
    marks: list[tuple[int, int]] = field(factory=list, repr=False)
    """The time of the trace, and of the host's clock, at each event that may follow a wait."""
    record: AuditRecord | None = field(default=None, repr=False)
    developed: Exchange | None = field(default=None, repr=False)
    """What was worked out when somebody first looked after the call was over; the events are let go then."""
    cost: float | None = None
    changes: Sequence[Change] | None = None
    """What plugins changed, where the values themselves stayed behind."""
    size: int = 0
    came: bytes | None = field(default=None, repr=False)
    """The last bytes of an answer, while its call runs."""
    weight: int | None = None
    """The bytes of it that are counted where it is kept; None while its call runs."""
    lost: int = 0
    told: int = 0
    """When somebody was last told that it changed, nanoseconds of the host's clock."""
    withheld: bool = False
    """Whether its content may never be shown: it was refused, and may be what it was refused for."""

    def note(self, event: Event) -> None:
        """Keep *event*, which is no piece of the answer, unless the trace says all of it."""
        kind = event.kind
        if kind == "hook" and event.data.action == "passed":  # told since another plugin wants to hear of it
            return
        if kind == "request" or kind == "attempt":
            self.size += len(event.data.raw or b"")
        if kind != "head":
            self.marks.append((perf_counter_ns(), event.at))
        self.events.append(event)

    def piece(self, event: Event) -> None:
        """Keep a piece of the answer; a stream has hundreds."""
        data = event.data
        if event.kind == "bytes":
            self.came = data
            self.size += _ENTRY + len(data)
        else:
            self.size += _ENTRY + len(data.delta)
        self.events.append(event)
        if self.size > self.room:
            self._make_room()

    @property
    def leaps(self) -> list[tuple[int, int]]:
        """From when on, in the time of the trace, the host's clock was how far ahead of that: at the first event, at
        each attempt, and where it leapt, as a clock for tests does when somebody waits."""
        known: list[tuple[int, int]] = []
        attempts = {event.at for event in self.events if event.kind == "attempt"}
        for now, at in self.marks:
            if not known or at in attempts or abs(at - now - known[-1][1]) > _LEAP:
                known.append((now, at - now))
        return known

    def close(self, record: AuditRecord) -> None:
        """The call is over.

        What goes on after it, as the line of the recorder's own audit, belongs to no call: whoever writes the tape
        would have it or not, as it is quick or slow.
        """
        self.trace = [*self.trace]
        self.size += _ENTRY * (len(self.trace) + len(self.marks))
        answer = record.response
        if answer is not None and answer.raw is not None and answer.raw is not self.came:  # a stored one, or changed
            self.size += len(answer.raw)
        self.came, self.withheld = None, record.outcome == "refused"
        self.record, self.ctx = record, None

    def _make_room(self) -> None:
        """Let the older half of the answer's pieces go: one by one would cost a search for each."""
        streamed = [index for index, event in enumerate(self.events) if event.kind in STREAMED]
        gone = set(streamed[: len(streamed) // 2 + 1])
        self.lost += len(gone)
        self.events = [event for index, event in enumerate(self.events) if index not in gone]
        self.size = sum(_size(event) for event in self.events)


def _size(event: Event) -> int:
    data = event.data
    if isinstance(data, Chunk):
        return _ENTRY + len(data.delta)
    if isinstance(data, bytes):
        return _ENTRY + len(data)
    return _ENTRY + (len(data.raw or b"") if isinstance(data, Request) else 0)


TAPE = StashKey[Tape]("recorder.tape")
