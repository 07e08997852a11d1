"""A filter over answers, written once for streamed and whole ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from attrs import evolve

from .blocks import Block, Message, Reasoning, RefusalText, Text, ToolCall
from .context import RequestContext, StashKey
from .errors import PluginError
from .policy import hookimpl
from .types import Choice, Chunk, Response

Place = tuple[int, int, str]
_HELD = StashKey[dict[tuple[int, Place], str]]("clippy.text-filter")


class TextFilter:
    """Rewrites an answer's text: subclass it and write :meth:`filter`; on_chunk and on_response come from it.

    The filter sees what it held back before in front of the new piece, and returns what may go out now and what must
    wait: hold what a later piece could still turn into a match.  When a block ends ``final`` is True and everything
    goes out.  Whole answers are filtered by the same method in one step.
    """

    kinds: tuple[str, ...] = ("text",)
    """Which pieces of the answer are filtered: any of text, reasoning, refusal and tool_call (its arguments)."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        """``(out, held)``: *out* goes on, *held* comes back in front of the next piece.

        When *final* nothing may be held, since nothing follows: text that is held then is a PluginError.
        """
        raise TypeError(f"{type(self).__name__} is a TextFilter and needs a filter(text, final, ctx) method")

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> Chunk | list[Chunk] | None:
        """Filter the pieces as they come, and give up what is held when their block ends."""
        if chunk.kind in self.kinds:
            return self._piece(chunk, ctx)
        if chunk.kind == "restart":
            held = ctx.stash.setdefault(_HELD, dict)
            for place in [place for place in held if place[0] == id(self)]:
                del held[place]
            return None
        if chunk.kind == "stop" or chunk.kind == "end":
            released = list(self._release(chunk, ctx))
            return [*released, chunk] if released else None
        return None

    @hookimpl
    def on_response(self, response: Response, ctx: RequestContext) -> Response | None:
        """Filter a whole answer; a stream's was filtered piece by piece."""
        if ctx.stream:
            return None
        message = self._message(response.message, ctx)
        more = tuple(self._choice(choice, ctx) for choice in response.more)
        same = message is response.message and all(new is old for new, old in zip(more, response.more, strict=True))
        return None if same else evolve(response, message=message, more=more)

    def _filtered(self, text: str, final: bool, ctx: RequestContext, hook: str = "on_chunk") -> tuple[str, str]:
        result, name = self.filter(text, final, ctx), f"{type(self).__name__}.filter"
        if not (isinstance(result, tuple) and len(result) == 2 and all(isinstance(part, str) for part in result)):
            what = f"{name} returned {type(result).__name__}; return (text to send, text to hold back)"
            raise PluginError(what, hook=hook)
        if final and result[1]:
            what = f"{name} held {len(result[1])} characters back at the end, where nothing follows that could release"
            raise PluginError(f"{what} them; return (all of the text, '') when final is True", hook=hook)
        return result

    def _piece(self, chunk: Chunk, ctx: RequestContext) -> Chunk | list[Chunk] | None:
        held = ctx.stash.setdefault(_HELD, dict)
        place = (id(self), (chunk.choice, chunk.block, chunk.kind))
        before = held.get(place, "")
        out, held[place] = self._filtered(before + chunk.delta, False, ctx)
        if out == chunk.delta:
            return None
        if out or chunk.name or chunk.id:
            return evolve(chunk, delta=out)
        return []

    def _release(self, chunk: Chunk, ctx: RequestContext) -> Iterable[Chunk]:
        held = ctx.stash.get(_HELD) or {}
        for key in list(held):
            owner, (choice, block, kind) = key
            if owner != id(self) or (chunk.kind == "stop" and (choice, block) != (chunk.choice, chunk.block)):
                continue
            text = held.pop(key)
            out = self._filtered(text, True, ctx)[0] if text else ""
            if out:
                yield Chunk(kind, out, block, choice)  # type: ignore[arg-type]

    def _choice(self, choice: Choice, ctx: RequestContext) -> Choice:
        message = self._message(choice.message, ctx)
        return choice if message is choice.message else evolve(choice, message=message)

    def _message(self, message: Message, ctx: RequestContext) -> Message:
        blocks = tuple(self._block(block, ctx) for block in message.blocks)
        same = all(new is old for new, old in zip(blocks, message.blocks, strict=True))
        return message if same else evolve(message, blocks=blocks)

    def _block(self, block: Block, ctx: RequestContext) -> Block:
        if isinstance(block, ToolCall):
            return self._changed(block, "tool_call", "arguments", ctx)
        kind = {Text: "text", Reasoning: "reasoning", RefusalText: "refusal"}.get(type(block))
        return self._changed(block, kind, "text", ctx) if kind else block

    def _changed(self, block: Block, kind: str, name: str, ctx: RequestContext) -> Block:
        text = getattr(block, name)
        if kind not in self.kinds or not text:
            return block
        out, _ = self._filtered(text, True, ctx, "on_response")
        changed: Block = block if out == text else evolve(cast("Any", block), **{name: out})
        return changed
