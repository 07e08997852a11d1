"""What can go wrong with one answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import field, frozen
from attrs.validators import ge, optional

Pairs = tuple[tuple[str, str], ...]


def pairs(source: Mapping[str, str] | Sequence[tuple[str, str]]) -> Pairs:
    """Headers in any form as pairs, in order."""
    return tuple(source.items()) if isinstance(source, Mapping) else tuple(source)


FaultKind = Literal[
    "status", "reset", "hangup", "stall", "truncated_json", "error_event", "split_utf8", "content_type", "no_terminal",
    "connect_error", "connect_timeout", "read_timeout", "gzip", "slow",
]  # fmt: skip


@frozen
class Fault:
    """Something that goes wrong with one answer; made by the methods below.

    Positions: ``at_event=N`` lets N events through, ``at_delta=N`` lets events through until N of them carried content,
    ``at_byte=N`` lets N bytes of the body through.  A position beyond the end means just before the last event or byte,
    so that the fault always happens.  A plain answer has no events: 0 is before its body, the rest is amid it.
    """

    kind: FaultKind
    at_event: int | None = field(default=None, validator=optional(ge(0)))
    at_delta: int | None = field(default=None, validator=optional(ge(0)))
    at_byte: int | None = field(default=None, validator=optional(ge(0)))
    before_head: bool = False
    seconds: float = field(default=0.0, validator=ge(0))
    code: int = 200
    error: str | None = None
    headers: Pairs = field(default=(), converter=pairs)
    body: bytes | None = None
    media_type: str = ""
    keep_finish: bool = False

    @staticmethod
    def status(
        code: int,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        body: bytes | str | None = None,
        *,
        kind: str | None = None,
        retry_after: float | None = None,
    ) -> Fault:
        """An HTTP error.  Without a body, the API's own error shape; *kind* chooses it (``quota``, ``overloaded`` ...).

        *retry_after* is seconds for a ``retry-after`` header.
        """
        all_headers = pairs(headers)
        if retry_after is not None:
            all_headers = (*all_headers, ("retry-after", f"{retry_after:g}"))
        raw = body.encode() if isinstance(body, str) else body
        return Fault("status", code=code, headers=all_headers, body=raw, error=kind)

    @staticmethod
    def reset(
        *,
        at_byte: int | None = None,
        at_event: int | None = None,
        at_delta: int | None = None,
        before_head: bool = False,
    ) -> Fault:
        """The connection is reset (TCP RST); before the head unless a position is given."""
        return _placed("reset", at_byte, at_event, at_delta, before_head)

    @staticmethod
    def hangup(
        *,
        at_byte: int | None = None,
        at_event: int | None = None,
        at_delta: int | None = None,
        before_head: bool = False,
    ) -> Fault:
        """The server closes the connection in good order but too early; before the head unless a position is given."""
        return _placed("hangup", at_byte, at_event, at_delta, before_head)

    @staticmethod
    def stall(seconds: float = math.inf, *, at_event: int | None = None, at_delta: int | None = None) -> Fault:
        """Nothing comes for *seconds*, then it goes on; before the head unless a position is given."""
        return Fault(
            "stall",
            seconds=seconds,
            at_event=at_event,
            at_delta=at_delta,
            before_head=at_event is None and at_delta is None,
        )

    @staticmethod
    def truncated_json(*, at_event: int | None = None, at_delta: int | None = None) -> Fault:
        """The JSON of a plain answer, or of one event of a stream (its first content by default), ends amid it.

        HTTP is in order: what is announced is what comes, and a stream goes on after the broken event.
        """
        return Fault("truncated_json", at_event=at_event, at_delta=0 if at_event is at_delta is None else at_delta)

    @staticmethod
    def error_event(kind: str = "overloaded", *, at_event: int | None = None, at_delta: int | None = None) -> Fault:
        """An error event inside a 200 stream, which then ends.  A plain answer becomes the HTTP error of that kind."""
        return Fault(
            "error_event", error=kind, at_event=at_event, at_delta=0 if at_event is at_delta is None else at_delta
        )

    @staticmethod
    def split_utf8() -> Fault:
        """Pieces that end inside code points.  Every client must survive it."""
        return Fault("split_utf8")

    @staticmethod
    def content_type(media_type: str = "text/html", body: bytes | None = None) -> Fault:
        """The right body under a wrong content type, or *body* under that type with status 200."""
        return Fault("content_type", media_type=media_type, body=body)

    @staticmethod
    def no_terminal(*, keep_finish: bool = False) -> Fault:
        """A stream that ends in good HTTP order without its terminal event.  A plain answer stays whole.

        With *keep_finish* the finish reason still comes (OpenAI chat without ``[DONE]``), without it neither does.
        """
        return Fault("no_terminal", keep_finish=keep_finish)

    @staticmethod
    def connect_error() -> Fault:
        """The connection is refused.  A loopback server cannot do that after accepting: there it is a reset."""
        return Fault("connect_error", before_head=True)

    @staticmethod
    def connect_timeout() -> Fault:
        """Connecting takes longer than the client waits.  Over loopback: an answer that never comes."""
        return Fault("connect_timeout", before_head=True)

    @staticmethod
    def read_timeout() -> Fault:
        """The request is read and never answered: it ends when the client's read timeout does."""
        return Fault("read_timeout", before_head=True, seconds=math.inf)

    @staticmethod
    def gzip() -> Fault:
        """The answer comes compressed, each piece of a stream flushed."""
        return Fault("gzip")

    @staticmethod
    def slow(chunk_delay: float) -> Fault:
        """*chunk_delay* seconds before each event but the first."""
        return Fault("slow", seconds=chunk_delay)


def _placed(
    kind: Literal["reset", "hangup"], at_byte: int | None, at_event: int | None, at_delta: int | None, before_head: bool
) -> Fault:
    given = [name for name in (at_byte, at_event, at_delta, before_head or None) if name is not None]
    if len(given) > 1:
        raise ValueError(f"Fault.{kind} takes one position: at_byte, at_event, at_delta or before_head")
    return Fault(kind, at_byte=at_byte, at_event=at_event, at_delta=at_delta, before_head=not given or before_head)
