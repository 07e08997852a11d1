"""One recorded call: what came in, what each plugin made of it, what went out and what came back, with its times.

Nothing in these values is a credential, at any level, and nothing is content below ``detailed``.  ``at`` and every
other offset is in microseconds after ``began``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen
from clippy_hookspecs import Scope, Usage
from clippy_hookspecs.blocks import maker

State = Literal["running", "answered", "cached", "refused", "failed", "cancelled", "abandoned"]
Level = Literal["minimal", "standard", "detailed"]


@frozen
class Message:
    """A request or an answer as it was on the wire; ``size`` is its bytes before anything was taken out."""

    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    size: int = 0
    status: int | None = None


@frozen
class Step:
    """One call of one hook.  ``before`` and ``after`` are the value as text, where the hook changed it.

    ``ns`` is how long all its ``calls`` took together, in nanoseconds: on_chunk is one step for each plugin.
    """

    at: int
    plugin: str
    hook: str
    action: str
    ns: int
    calls: int = 1
    before: str | None = field(default=None, repr=False)
    after: str | None = field(default=None, repr=False)


new_step = maker(Step)
"""A step in half the time; a call has thirty."""


@frozen
class Piece:
    """Something on the time line of an answer: bytes as they came, a chunk before or after the plugins."""

    at: int
    kind: Literal["bytes", "chunk_in", "chunk_out"]
    data: bytes = field(default=b"", repr=False)
    chunk: Mapping[str, Any] = field(factory=dict, repr=False)
    size: int = 0


new_piece = maker(Piece)
"""The same of a piece; a stream has hundreds."""


@frozen
class Attempt:
    """One upstream attempt.  ``waited`` is the microseconds of waiting before it, ``state`` ok, error or cancelled."""

    number: int
    route: str
    at: int
    url: str = ""
    sent: Message = Message()
    head_at: int | None = None
    answer: Message | None = None
    ended_at: int | None = None
    state: str = ""
    error: Mapping[str, Any] | None = None
    waited: int = 0


@frozen
class Asked:
    """What a caller wrote who speaks another wire API than the route: what came is what the host made of it."""

    api: str
    url: str
    message: Message


@frozen
class Exchange:
    """One call with everything that is known of it; of one that still runs, as much as there is.

    ``began`` is unix seconds; ``cost`` US dollars, None where no price is known; ``lost`` counts the pieces for which
    there was no room, and in a list those of a running stream that are told as one.  ``duration``, ``first_token`` and
    ``unread`` (of the duration: nobody read on, or the flow was paused or paced) are microseconds.
    """

    id: str
    began: float
    parent: str | None = None
    api: str = ""
    method: str = "POST"
    url: str = ""
    model: str | None = None
    stream: bool = False
    scope: Scope = Scope()
    route: str | None = None
    state: State = "running"
    status: int | None = None
    duration: int | None = None
    first_token: int | None = None
    usage: Usage | None = None
    cost: float | None = None
    finish_reason: str | None = None
    provenance: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    came: Message = Message()
    answered: Message | None = None
    attempts: tuple[Attempt, ...] = ()
    steps: tuple[Step, ...] = ()
    pieces: tuple[Piece, ...] = ()
    lost: int = 0
    unread: int = 0
    asked: Asked | None = None
