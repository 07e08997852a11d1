"""The way of a stream's events through on_chunk: what plugins make of them, as chunks and as bytes.

Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_

from attrs import define, field
from clippy_hookspecs import Chunk, RequestContext

from .chains import Chains, ChunkTimes
from .wire.base import StreamEvent, StreamWriter

_OWN = frozenset({"stop", "end"})
MOST_KEPT = 16 * 1024 * 1024
"""Bytes of a stream that are kept for caches, and for whoever wants to know what was said when it breaks."""


@define(eq=False)
class Passage:
    """One stream's chunks on their way.

    ``sent`` are the provider's chunks and ``seen`` what the plugins made of them, kept only where somebody will want
    the whole answer; ``raw`` are the provider's own bytes, kept for caches.  ``foreign``: the events came in another
    wire API than the caller's, and are written anew.  ``began`` is called at the first content of each attempt.

    Of an answer beyond all measure (``MOST_KEPT``) only ``seen`` stays whole, and that only for an on_response; else it
    is let go of, so that a stream without an end takes no memory.  Then ``exact`` is False, and ``left_out`` counts the
    characters.
    """

    chains: Chains
    ctx: RequestContext
    writer: StreamWriter
    began: Callable[[], None]
    keep_raw: bool = False
    keep_sent: bool = False
    keep_seen: bool = False
    foreign: bool = False
    times: ChunkTimes | None = None
    sent: list[Chunk] = field(factory=list, init=False)
    seen: list[Chunk] = field(factory=list, init=False)
    raw: list[bytes] = field(factory=list, init=False)
    terminal: Chunk | None = field(default=None, init=False)
    exact: bool = field(default=True, init=False)
    left_out: int = field(default=0, init=False)
    _changed: bool = field(default=False, init=False)
    _size: int = field(default=0, init=False)

    @property
    def all_seen(self) -> bool:
        """Whether ``seen`` is everything that the caller has."""
        return self.keep_seen and self.exact

    def take(self, event: StreamEvent) -> tuple[bytes, tuple[Chunk, ...]]:
        """What becomes of a whole event, as bytes and as chunks.  Raises Refusal and PluginError."""
        self.keep(event)
        watched = self.keep_sent or self.chains.observe
        out: tuple[Chunk, ...] = ()
        for chunk in event.chunks:
            if watched or not self.ctx.committed:
                self.note(chunk)
            out += self.through(chunk)
        return self.written(event, out), out

    def keep(self, event: StreamEvent) -> None:
        """Remember an event's bytes, where somebody will want them."""
        if self.keep_raw:
            self.raw.append(event.raw)
        self._size += len(event.raw) or len(event.chunks[0].delta if event.chunks else "")
        if self._size > MOST_KEPT:
            self._let_go()

    def note(self, chunk: Chunk) -> None:
        """Remember a chunk as the provider sent it, and show it to the observers; the first content commits."""
        if not self.ctx.committed and chunk.content:
            self.ctx.committed = True
            self.began()
        if self.chains.observe:
            self.chains.emit("chunk_in", chunk, self.ctx)
        if self.keep_sent:
            self.sent.append(chunk)

    def through(self, chunk: Chunk) -> tuple[Chunk, ...]:
        """What the plugins make of *chunk*.  Raises Refusal and PluginError."""
        out = self.chains.chunk(chunk, self.ctx, self.times) if self.chains.on_chunk else (chunk,)
        if self.keep_seen:
            self.seen.extend(out)
        if self.chains.observe:
            for piece in out:
                self.chains.emit("chunk_out", piece, self.ctx)
        return out

    def written(self, event: StreamEvent, out: tuple[Chunk, ...]) -> bytes:
        """The bytes of an event: those that came, while no plugin has changed anything in this stream."""
        if not self.chains.on_chunk and not self.foreign:
            return event.raw
        # The writer sees every chunk: it learns the envelope, and some APIs repeat a text that it must rewrite.
        came, write = event.chunks, self.writer.write
        if len(out) == len(came) == 1:
            written, same = write(out[0]), out[0] is came[0]
        else:
            written = b"".join([write(chunk) for chunk in out])
            same = len(out) == len(came) and all(map(is_, out, came))
        if same and not (self._changed or self.foreign):
            return event.raw
        self._changed = True
        return written

    def end(self, reason: str) -> tuple[bytes, tuple[Chunk, ...]]:
        """The host's one ``end`` chunk: a plugin that holds text gives it up here."""
        out = self.through(Chunk("end", reason=reason))
        self._changed = self._changed or len(out) > 1
        return b"".join([self.writer.write(chunk) for chunk in out]), out

    def _let_go(self) -> None:
        """Keep of what came so far only what the books need, which is little."""
        self._size, self.exact = 0, False
        self.keep_raw, self.raw, self.keep_sent, self.sent = False, [], False, []
        if not self.chains.on_response:
            self.left_out += sum(len(chunk.delta) for chunk in self.seen if chunk.content)
            self.seen = [chunk for chunk in self.seen if chunk.usage is not None or chunk.finish_reason is not None]

    def said(self) -> list[Chunk]:
        """What the provider has sent: the same as what was seen, where no plugin looks at chunks."""
        return self.sent if self.chains.on_chunk else self.seen

    def begin_anew(self) -> None:
        """What was said is void: what follows is a whole answer."""
        self.seen, self.sent, self.raw = [], [], []
        self.began()

    def go_on(self) -> None:
        """What follows was asked for anew: the host writes it, and the whole is no answer of the provider's own."""
        if not (self.chains.on_chunk or self.foreign):
            for chunk in self.seen:  # its bytes passed by, and now it must know what they said
                self.writer.write(chunk)
        self.foreign, self.keep_raw, self.raw = True, False, []
        self.began()

    def whole(self) -> list[Chunk]:
        """What the plugins made of it all, and the terminal event: some APIs tell usage and finish only there."""
        return self.seen if self.terminal is None else [*self.seen, self.terminal]

    def given_as_sent(self) -> bool:
        """Whether the plugins left every chunk as the provider sent it; the host's own do not count."""
        given, sent = ([one for one in part if one.kind not in _OWN] for part in (self.whole(), self.sent))
        return len(given) == len(sent) and all(map(is_, given, sent))
