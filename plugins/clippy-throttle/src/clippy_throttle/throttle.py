"""The plugin: says how long each piece of an answer takes up, and gathers pieces that are too small."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Literal
from weakref import WeakValueDictionary

from attrs import define, evolve, field
from attrs.validators import gt, in_, optional
from clippy_hookspecs import Chunk, Flow, Request, RequestContext, StashKey, StatusTable, TokenCounter, hookimpl

from .cutting import last_boundary, last_line, last_word

Coalesce = Literal["none", "word", "line", "time"]
Place = tuple[int, int, str]

_CUTS: Mapping[str, Callable[[str], int]] = {"word": last_word, "line": last_line, "time": last_boundary}
_LONGEST: Mapping[str, int] = {"word": 256, "line": 4096, "time": 256}
"""Characters that wait for the end of a word or line at the most.  A single character as a reader sees it has seldom
more than five, and Unicode's stream-safe format (UAX #15) allows it thirty marks."""
_WINDOW = 128
"""Characters over which tokens are counted, so that a token that is cut in two is not counted twice.  Each piece is
counted with what is in the window before it: a longer one costs more, a shorter one rounds up more often."""


_COLUMNS = (
    "id", "state", "model", "for, s", "pieces", "pieces a second", "pieces a second allowed",
    "tokens", "tokens a second", "tokens a second allowed",
)  # fmt: skip
_MOST_ROWS = 200
_ENDED = frozenset({"completed", "failed", "cancelled"})


@define(eq=False)
class _Stream:
    """What is known of one stream: the text that waits, by its place, and the text that was counted last.

    ``pieces`` and ``given`` are how many pieces and tokens were slowed down so far, ``process`` whose stream it is.
    """

    model: str
    counter: TokenCounter
    ctx_id: str
    flow: Flow
    now: Callable[[], float]
    began: float
    as_it_comes: bool = False
    held: dict[Place, str] = field(factory=dict)
    given_at: float = float("-inf")
    counted: str = ""
    tokens: int = 0
    owed: int = 0
    pieces: int = 0
    given: int = 0
    process: int = field(factory=os.getpid)

    def count(self, text: str) -> int:
        """How many tokens more there are with *text*."""
        self.counted += text
        now = self.counter.count(self.counted, self.model)
        self.owed += now - self.tokens
        self.tokens = now
        if len(self.counted) > _WINDOW:
            self.counted = self.counted[last_word(self.counted) or len(self.counted) :]
            self.tokens = self.counter.count(self.counted, self.model)
        new, self.owed = max(0, self.owed), min(0, self.owed)
        return new


_STREAM = StashKey[_Stream]("throttle.stream")


@define(eq=False)
class Throttle:
    """Slows streams down to a rate, in whole words, lines or moments.

    What is slowed down is the reading: while a piece takes up its time nothing is read, and the provider waits.
    """

    tokens_per_second: float | None = field(
        default=None, validator=optional(gt(0)), metadata={"doc": "tokens of the answer, as the host counts them"}
    )
    chunks_per_second: float | None = field(
        default=None, validator=optional(gt(0)), metadata={"doc": "pieces of the answer, after they were gathered"}
    )
    coalesce: Coalesce = field(
        default="none",
        validator=in_(("none", "word", "line", "time")),
        metadata={"doc": "gather pieces to whole words or lines, or (time) to one for each interval"},
    )
    interval: float = field(
        default=0.1, validator=gt(0), metadata={"doc": "seconds between two pieces where coalesce is time"}
    )

    _slowed: WeakValueDictionary[str, _Stream] = field(init=False, factory=WeakValueDictionary, repr=False)

    observes_only = True  # it delays and gathers, and changes no request: cached answers do not depend on it

    @property
    def idle(self) -> str | None:
        """Why it has nothing to do, None if it has."""
        if self.tokens_per_second is None and self.chunks_per_second is None and self.coalesce == "none":
            return "no rate is set, and nothing to coalesce"
        return None

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        """A stream is asked for."""
        if ctx.stream and self.idle is None:
            asked = any(request.params.get(name) for name in ("logprobs", "top_logprobs"))
            counter, clock = ctx.services.get(TokenCounter), ctx.clock
            stream = _Stream(request.model, counter, ctx.id, ctx.flow, clock.now, clock.now(), asked)
            ctx.stash[_STREAM] = stream
            if self.tokens_per_second is not None or self.chunks_per_second is not None:
                self._slowed[ctx.id] = stream

    @hookimpl(tryfirst=True)
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> Chunk | list[Chunk] | None:
        """Let out what is whole, and say how long it takes up; after all other plugins."""
        stream = ctx.stash.get(_STREAM)
        if stream is None:
            return None
        if chunk.kind == "restart":
            stream.held.clear()  # it is void with all that went out
            return None
        if chunk.kind == "stop" or chunk.kind == "end":
            given_up = list(self._given_up(chunk, stream, ctx))
            return [*given_up, chunk] if given_up else None
        if not chunk.delta:
            return None
        # Pieces of a call's JSON are the provider's own, and logprobs are those of one piece's tokens.
        if self.coalesce == "none" or chunk.kind == "tool_call" or stream.as_it_comes:
            self._pace(chunk.delta, stream, ctx)
            return None
        place = (chunk.choice, chunk.block, chunk.kind)
        text = stream.held.get(place, "") + chunk.delta
        out = self._whole(text, stream, ctx)
        stream.held[place] = text[len(out) :]
        if out:
            self._pace(out, stream, ctx)
        if out == chunk.delta:
            return None
        if out or chunk.id or chunk.name or chunk.usage or chunk.finish_reason:
            return evolve(chunk, delta=out)
        return []

    async def status_tables(self) -> tuple[StatusTable]:
        """The streams that are slowed down now, the oldest first, with how fast they go and may go."""
        known = [ref() for ref in self._slowed.valuerefs()]
        process = os.getpid()
        live = [one for one in known if one is not None and one.process == process and one.flow.state not in _ENDED]
        live.sort(key=lambda one: one.began)
        return (StatusTable("slowed streams", _COLUMNS, tuple(map(self._line, live[:_MOST_ROWS]))),)

    def _line(self, one: _Stream) -> tuple[str | int | float | None, ...]:
        seconds = one.now() - one.began
        tokens = None if self.tokens_per_second is None else one.given
        return (
            one.ctx_id, one.flow.state, one.model, round(seconds, 3),
            one.pieces, _rate(one.pieces, seconds), self.chunks_per_second,
            tokens, _rate(tokens, seconds), self.tokens_per_second,
        )  # fmt: skip

    def _whole(self, text: str, stream: _Stream, ctx: RequestContext) -> str:
        """As much of *text* as may go out now."""
        if self.coalesce == "time":
            now = ctx.clock.now()
            if now - stream.given_at < self.interval and len(text) < _LONGEST["line"]:
                return ""
            stream.given_at = now
        at = _CUTS[self.coalesce](text)
        if at == 0 and len(text) > _LONGEST[self.coalesce]:
            at = last_boundary(text) or len(text)
        return text[:at]

    def _given_up(self, chunk: Chunk, stream: _Stream, ctx: RequestContext) -> Iterator[Chunk]:
        """What waited, now that its block ends."""
        for place in list(stream.held):
            choice, block, kind = place
            if chunk.kind == "stop" and (choice, block) != (chunk.choice, chunk.block):
                continue
            text = stream.held.pop(place)
            if text:
                self._pace(text, stream, ctx)
                yield Chunk(kind, text, block, choice)  # type: ignore[arg-type]

    def _pace(self, text: str, stream: _Stream, ctx: RequestContext) -> None:
        """Each rate has its own time for a piece, and the slower one counts."""
        seconds = 0.0
        stream.pieces += 1
        if self.tokens_per_second is not None:
            tokens = stream.count(text)
            stream.given += tokens
            seconds = tokens / self.tokens_per_second
        if self.chunks_per_second is not None:
            seconds = max(seconds, 1.0 / self.chunks_per_second)
        if seconds:
            ctx.flow.pace(seconds)


def _rate(number: int | None, seconds: float) -> float | None:
    return round(number / seconds, 1) if number is not None and seconds > 0 else None
