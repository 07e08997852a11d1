"""Going on with a stream that broke after a part of it was delivered: anew, or from where it stopped.

What is asked for again is a second answer.  Anew (``Restart``) the reader is told to discard what he has, so that he
must read our values.  From where it stopped (``Continue``) the two are joined into one stream, in the words of the
caller's wire API: what the model repeats is left out, and both are paid for.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, evolve, field
from clippy_hookspecs import (
    CONTENT_KINDS,
    Chunk,
    Continue,
    Json,
    Message,
    PluginError,
    Request,
    Restart,
    Text,
    Usage,
)

from .faults import Faults
from .joint import Joint
from .passage import Passage
from .sources import Broken, EndedEarly, Source
from .wire.base import StreamEvent
from .wire.openai_chat import wants_usage
from .wire.translate import TranslatedSource

log = logging.getLogger("clippy")

METHODS = ("prefill", "prompt")
GO_ON = (
    "Your answer above was cut off. Begin by repeating its last words exactly, and go on from there as if nothing had "
    "happened: no preamble, no apology, nothing else twice."
)
"""Asked of a model whose API takes no beginning of an answer.  The words that it repeats say how the parts join."""


def wanted(decision: Any, step: Any, faults: Faults, left: float | None) -> bool:
    """Whether a plugin, and the time that is left, want a broken stream to go on."""
    if not isinstance(decision, (Restart, Continue)):
        why = f"answered {type(decision).__name__} to a stream that had begun; Restart and Continue are for these"
        if decision is not None:
            faults.note(step, PluginError(step.blame(why)))
        return False
    return left is None or decision.after < left


def asked_again(
    decision: Restart | Continue, sent: Request, passage: Passage, wants_values: bool, plugin: str
) -> Request | None:
    """What to send so that a stream goes on that came in answer to *sent*; None if that cannot be.

    ``wants_values``: its reader reads our values and not an HTTP body.
    """
    said = passage.said()
    reason = why_not(decision, sent, said, wants_values)
    if isinstance(decision, Continue) and not passage.exact:
        reason = "it is longer than what is kept of a stream"
    if reason is not None:
        log.debug("%s: a broken stream is not gone on with: %s", plugin, reason)
        return None
    return sent if isinstance(decision, Restart) else continuation(sent, _text(said)[0], decision.method)


def resumed(decision: Restart | Continue, source: Source, passage: Passage, spent: Usage, asked: Request) -> Resumed:
    """The rest of a stream in the words of *asked*, whose caller has what passed so far."""
    if isinstance(decision, Restart):
        passage.begin_anew()
        return Resumed(source, spent)
    text, block = _text(passage.said())
    if not isinstance(source, TranslatedSource):
        source = TranslatedSource(source, asked.api, 0.0, wants_usage(asked))  # its beginning was told already
    passage.go_on()
    return Resumed(source, spent, Joint(text, decision.method == "prefill"), block)


def why_not(decision: Restart | Continue, request: Request, said: Sequence[Chunk], wants_values: bool) -> str | None:
    """Why a stream of which *said* has come cannot be gone on with so; None if it can."""
    if isinstance(decision, Restart):
        return None if wants_values else "its caller reads an HTTP body, which cannot take back what was said"
    if (request.params.get("n") or 1) != 1 or any(chunk.choice for chunk in said):
        return "it is several answers beside each other"
    if not any(chunk.kind == "text" and chunk.content for chunk in said):
        return "it had said no text yet, and a second answer to something else cannot be joined to it"
    for chunk in said:
        if chunk.content and chunk.kind not in ("text", "reasoning"):
            return f"it was in a {chunk.kind.replace('_', ' ')}"
        if chunk.extra and (chunk.extra.get("signature") or "opaque" in chunk.extra):
            return "it has parts that only their provider can read"
    if any(chunk.finish_reason is not None for chunk in said):
        return "all of it had been said"
    if _asks_json(request.params):
        return "a JSON text cannot be joined from two answers"
    return "it had to end in a tool call" if _must_call(request.params) else None


def _asks_json(params: Mapping[str, Json]) -> bool:
    """Whether an answer has a form that a word too many breaks: by OpenAI's ``response_format`` or ``text.format``,
    Anthropic's ``output_config.format`` or its former name ``output_format``."""
    forms = [params.get("response_format"), params.get("output_format")]
    forms += [part.get("format") for name in ("text", "output_config") if isinstance(part := params.get(name), Mapping)]
    return any(isinstance(form, Mapping) and form.get("type") not in (None, "text") for form in forms)


def _must_call(params: Mapping[str, Json]) -> bool:
    choice = params.get("tool_choice")
    said = choice.get("type") if isinstance(choice, Mapping) else choice
    return said not in (None, "auto", "none")


def continuation(request: Request, text: str, method: str) -> Request:
    """*request*, with what its answer has said so far as *text*."""
    # Anthropic refuses a beginning that ends with white space; the joint knows what was there.
    begun = Message("assistant", (Text(text.rstrip()),))
    asked = (begun,) if method == "prefill" else (begun, Message("user", (Text(GO_ON),)))
    return evolve(request, messages=(*request.messages, *asked))


def both(one: Usage, other: Usage) -> Usage:
    """What two attempts used together."""
    return Usage(
        one.input + other.input,
        one.output + other.output,
        one.cache_read + other.cache_read,
        one.cache_write + other.cache_write,
        one.reasoning + other.reasoning,
        one.estimated or other.estimated,
    )


@define(eq=False)
class Resumed:
    """The events of a second answer, behind those of a first of which a part was delivered.

    ``spent`` is what the first has used.  With a ``joint`` the second goes on in the first's text block ``block``;
    without one the first is void, which its first event says.
    """

    source: Any
    spent: Usage
    joint: Joint | None = None
    block: int = 0
    usage: Usage | None = field(default=None, init=False)
    """What the second has told of its own use."""
    texts: list[str] = field(factory=list, init=False)
    queue: deque[StreamEvent] = field(factory=deque, init=False)
    _first: int | None = field(default=None, init=False)
    _marked: bool = field(default=False, init=False)
    _answered: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        if self.joint is None:
            self.queue.append(StreamEvent(b"", (Chunk("restart"),)))

    @property
    def complete(self) -> bool:
        return bool(self.source.complete)

    @property
    def deadlines(self) -> Any:
        return getattr(self.source, "deadlines", None)

    async def next(self) -> StreamEvent | None:
        if self.queue:
            return self.queue.popleft()
        event = await self.source.next()
        if event is None:
            return None
        for chunk in event.chunks:
            self.usage = chunk.usage or self.usage
            if chunk.content:
                self.texts.append(chunk.delta)
            self._answered = self._answered or chunk.content or chunk.finish_reason is not None
            if chunk.kind == "done" and not self._answered:
                raise Broken(EndedEarly("the second answer ended before it said anything"), "stream")
        if self.joint is None:
            return event  # type: ignore[no-any-return]
        return StreamEvent(b"", tuple(out for chunk in event.chunks for out in self._joined(self.joint, chunk)))

    def _joined(self, joint: Joint, chunk: Chunk) -> list[Chunk]:
        if chunk.kind in ("start", "reasoning") or (chunk.kind == "stop" and self._first is None) or chunk.choice:
            return []  # the envelope is the first's, what was thought came before it was said, and one answer is asked
        if chunk.kind == "ping":
            return [chunk]  # it says nothing, and so ends no text
        if chunk.kind == "text":
            if self._first is None:
                self._first = chunk.block
            return self._text(joint.feed(chunk.delta), chunk)
        rest = self._text(joint.finish(), chunk)
        told = chunk if chunk.usage is None else evolve(chunk, usage=both(self.spent, chunk.usage))
        placed = chunk.kind in CONTENT_KINDS
        if placed and self._first is None:
            # Nothing more is said where the first stopped, so that its text ends here and this comes behind it.
            self._first = chunk.block - 1
            rest.append(Chunk("stop", block=self.block))
        return [*rest, evolve(told, block=self._number(chunk)) if placed or chunk.kind == "stop" else told]

    def _text(self, words: str, chunk: Chunk) -> list[Chunk]:
        if not words:
            return []
        marked, self._marked = self._marked, True
        number = self._number(chunk) if chunk.kind == "text" else self.block
        return [Chunk("text", words, number, reason=None if marked else "resumed")]

    def _number(self, chunk: Chunk) -> int:
        """The block of the whole stream that a block of the second is."""
        return self.block if self._first is None else self.block + chunk.block - self._first

    def cut(self) -> None:
        self.source.cut()

    async def drain(self) -> None:
        await self.source.drain()

    async def aclose(self) -> None:
        await self.source.aclose()


def _text(said: Sequence[Chunk]) -> tuple[str, int]:
    """The text of the answer so far, and the number of its last text block."""
    texts = [chunk for chunk in said if chunk.kind == "text" and chunk.delta]
    return "".join([chunk.delta for chunk in texts]), texts[-1].block
