"""What is counted of one stream while it passes, and what can be said of it at any moment."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

from attrs import define, evolve, field, frozen
from clippy_hookspecs import Chunk, Flow, RequestContext, StashKey, TokenCounter, Usage

from .gaps import SHORTEST, Gaps

ENDED = frozenset({"completed", "cancelled", "failed"})
_PIECES = 256
"""Pieces of text that are kept before they are joined, unless one is large."""
_LARGE = 1024
_CHARACTERS = 16 * 1024
"""Characters of text that are kept before they are counted: what a stream holds of memory, however long it is."""
_SAMPLED = 16
"""Of the parts of a long answer the first four are counted, and then one in sixteen for the others as well."""
_PAUSE = 0.001
"""Seconds.  Only in a gap that is longer is it asked for how long the stream was paused."""


@frozen
class Metrics:
    """What can be said of one stream now, or at its end.

    Seconds of the host's clock, without the pauses: ``seconds`` since it was asked for, ``first_token`` since the
    beginning of the attempt that answered.
    Rates are tokens a second after the first piece: ``average`` of all, ``current`` of the last second, ``peak`` the
    highest of any second.  None is what is not known: a rate or a gap before the second piece.  ``bytes`` are those of
    the events that brought one piece each, ``pieces`` those of the answer.  ``usage.estimated``: counted by the host's
    TokenCounter, because the provider has not said it (yet); its ``input`` is then 0, unless the provider said that.
    """

    id: str
    state: str
    model: str
    pieces: int
    bytes: int
    usage: Usage
    seconds: float
    paused: float
    first_token: float | None = None
    gap_p50: float | None = None
    gap_p95: float | None = None
    gap_max: float | None = None
    current: float | None = None
    average: float | None = None
    peak: float | None = None

    @property
    def tokens(self) -> int:
        """Tokens of the answer so far."""
        return self.usage.output


@define(eq=False)
class Meter:
    """Counts one stream.  Its chunks come from one reader at a time; anybody may ask, from any thread.

    It keeps numbers, and at most 16 Ki characters of the answer until they are counted.  *fed* says whether anybody
    counts: without that, nothing is known.  *expected* is how many tokens the caller says that the answer will have.
    """

    id: str
    flow: Flow
    model: str
    began_at: float
    counter: TokenCounter | None = field(repr=False)
    _now: Callable[[], float] = field(repr=False)
    fed: bool = False
    expected: int | None = None
    pieces: int = 0
    bytes: int = 0
    _asked: float = 0.0
    _began: float = 0.0
    _paused: float = 0.0
    _first: float | None = None
    _waited: float | None = None
    _last: float = -math.inf
    _begun_with: int = 0
    _gaps: Gaps = field(factory=Gaps, repr=False)
    _usage: Usage | None = None
    _usage_at: int = -1
    _texts: list[str] = field(factory=list, repr=False)
    _text: str = field(default="", repr=False)
    _counted: int = 0
    _counted_of: int = 0
    _parts: int = 0
    _kept_from: int = 0
    _characters: int = 0
    _second: int = 0
    _second_ends: float = 0.0
    _in_second: int = 0
    _in_last: int = 0
    _peak: int = 0
    _lock: threading.Lock = field(factory=threading.Lock, repr=False)
    _final: Metrics | None = None

    @classmethod
    def of(cls, ctx: RequestContext, model: str = "") -> Meter:
        """The meter of this request, made by whoever asks first."""
        meter = ctx.stash.get(METER)
        if meter is None:
            counter = ctx.services.get(TokenCounter, None)
            meter = cls(ctx.id, ctx.flow, model, ctx.clock.time(), counter, ctx.clock.now)
            meter.start()
            meter._asked = meter._began
            ctx.stash[METER] = meter
        return meter

    # --- while it passes ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """An attempt begins: the first token is waited for from now on."""
        self._paused = self.flow.paused_seconds
        self._began = self._now() - self._paused

    def saw(self, chunk: Chunk) -> None:
        """A chunk passes, as the provider sent it."""
        delta, raw = chunk.delta, chunk.raw
        if raw is not None:
            self.bytes += len(raw)
        if delta:
            now, size = self._now() - self._paused, len(delta)
            if now - self._last < SHORTEST:
                self._gaps.at_once += 1
            else:
                now = self._after_a_gap(now, size)
            if now >= self._second_ends:
                self._next_second(now)
            self._last = now
            self.pieces += 1
            self._in_second += size
            self._texts.append(delta)
            if size >= _LARGE or len(self._texts) >= _PIECES:
                self._join()
        elif chunk.name or chunk.kind == "end":
            self._saw_no_words(chunk)
        if chunk.usage is not None:
            self._usage, self._usage_at = _later(self._usage, chunk.usage), self.pieces

    def _saw_no_words(self, chunk: Chunk) -> None:
        """The name of a tool is a piece of the answer; the end is where everything is known."""
        if chunk.name:
            self._last = self._after_a_gap(self._now() - self._paused, 0)
            self.pieces += 1
        if chunk.kind == "end":
            self._end(chunk.reason or "")

    def _after_a_gap(self, now: float, size: int) -> float:
        """The first piece, or one that did not come with the piece before it; the time without the pauses."""
        if now - self._last > _PAUSE:
            paused = self.flow.paused_seconds
            now, self._paused = now + self._paused - paused, paused
        if self._first is None:
            self._first, self._waited = now, max(0.0, now - self._began)
            self._second_ends, self._begun_with = now + 1.0, size
        else:
            self._gaps.add(now - self._last)
        return now

    def _next_second(self, now: float) -> None:
        """Seconds are counted from the first piece on."""
        assert self._first is not None
        second = max(int(now - self._first), self._second + 1)  # which rounding may put a hair before its beginning
        self._peak = max(self._peak, self._in_second)
        self._characters += self._in_second
        self._in_last = self._in_second if second == self._second + 1 else 0
        self._in_second, self._second, self._second_ends = 0, second, self._first + second + 1.0

    def _join(self) -> None:
        with self._lock:
            self._text += "".join(self._texts)
            self._texts.clear()
            if len(self._text) >= _CHARACTERS and self.counter is not None:
                if self._parts < 4 or self._parts % _SAMPLED == 0:
                    part = self._text[:_CHARACTERS]
                    self._counted += self.counter.count(part, self.model)
                    self._counted_of += len(part)
                self._parts += 1
                self._kept_from += len(self._text)
                self._text = ""

    def _end(self, reason: str) -> None:
        """Say it once and for all, and forget the text."""
        self._final = self.metrics(_STATES.get(reason, "failed"))
        with self._lock:
            self._texts.clear()
            self._text = ""
        self.counter = None

    # --- for whoever asks ---------------------------------------------------------------------------------------------

    def metrics(self, state: str = "") -> Metrics:
        """What can be said now."""
        final, said = self._final, state or self.flow.state
        if final is not None:
            return final if final.state == said or said not in ENDED else evolve(final, state=said)
        paused = self.flow.paused_seconds
        now = self._now() - paused
        usage, characters = self._used(), self._characters + self._in_second
        seconds = max(0.0, now - self._asked)
        some = Metrics(self.id, said, self.model, self.pieces, self.bytes, usage, seconds, paused)
        first = self._first
        if first is None:
            return some
        until = self._last if said in ENDED else now
        rate = usage.output / characters if characters else 0.0
        known = self.pieces > 1 and until > first
        average = rate * (characters - self._begun_with) / (until - first) if known else None
        peak = rate * max(self._peak, self._in_second) if until - first >= 1.0 else average
        return evolve(
            some,
            first_token=self._waited,
            gap_p50=self._gaps.percentile(0.5),
            gap_p95=self._gaps.percentile(0.95),
            gap_max=self._gaps.longest if self.pieces > 1 else None,
            current=average if until - first < 1.0 else rate * self._lately(until - first),
            average=average,
            peak=peak,
        )

    def _lately(self, since_first: float) -> float:
        """Characters of the last second, as far as whole seconds tell: the last whole one counts by what is left."""
        behind = int(since_first) - self._second
        if behind > 1:
            return 0.0
        before, present = (self._in_second, 0) if behind == 1 else (self._in_last, self._in_second)
        return present + before * (1.0 - since_first % 1.0)

    def _used(self) -> Usage:
        """What the provider said, if that was after the last piece; else the tokens that we count."""
        said = self._usage
        if said is not None and self._usage_at == self.pieces and (said.output or not self.pieces):
            return said
        with self._lock:
            text = self._text + "".join(self._texts)
            counted, of, before = self._counted, self._counted_of, self._kept_from
        tokens = counted * before / of if of else 0.0
        if text and self.counter is not None:
            tokens += self.counter.count(text, self.model)
        return Usage(said.input if said else 0, round(tokens), estimated=True)


METER = StashKey[Meter]("stream-monitor.meter")
"""Where the meter of a request is found."""

_STATES = {"complete": "completed", "cancelled": "cancelled", "interrupted": "failed"}


def _later(old: Usage | None, new: Usage) -> Usage:
    """Reports are cumulative: the last one wins, except where it is silent about what an earlier one said."""
    if old is None:
        return new
    more: dict[str, Any] = {name: getattr(new, name) or getattr(old, name) for name in _COUNTS}
    return evolve(new, **more)


_COUNTS = ("input", "output", "cache_read", "cache_write", "reasoning")
