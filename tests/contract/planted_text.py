"""A sound text filter, one written by hand, and filters with one fault each.  All of them hide one word."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

from attrs import define, evolve, field
from clippy_hookspecs import Chunk, Message, RequestContext, Response, StashKey, Text, TextFilter, hookimpl

WORD, CLEAN = "bob@corp.com", "<EMAIL>"


def could_become(text: str, word: str) -> int:
    """How many letters at the end of *text* are a beginning of *word*."""
    return next((n for n in range(min(len(word) - 1, len(text)), 0, -1) if text.endswith(word[:n])), 0)


@define(eq=False)
class Hide(TextFilter):
    """Hides a word, and holds back what could still become it."""

    word: str = field(default=WORD, metadata={"doc": "What is hidden."})
    replacement: str = field(default=CLEAN, metadata={"doc": "What stands in its place."})

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        text = text.replace(self.word, self.replacement)
        held = 0 if final else could_become(text, self.word)
        return text[: len(text) - held], text[len(text) - held :]


# --- faults in the filter itself --------------------------------------------------------------------------------------


@define(eq=False)
class PieceByPiece(Hide):
    """Looks at each piece by itself: a word that is cut in two passes."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        return text.replace(self.word, self.replacement), ""


@define(eq=False)
class NeverFinal(Hide):
    """Drops what it would hold also when there is nothing to come: the last letters are lost."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        out, held = Hide.filter(self, text, False, ctx)
        return out, "" if final else held


@define(eq=False)
class HoldsAtTheEnd(Hide):
    """Does not look whether it is the end, and holds back what nobody will ask for any more."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        return Hide.filter(self, text, False, ctx)


# --- faults around it: what authors do who write on_chunk themselves --------------------------------------------------

_HELD = StashKey[dict[Any, str]]("hide-by-hand.held")


@define(eq=False)
class ByHand:
    """The sound filter with hooks of its own."""

    word: str = field(default=WORD, metadata={"doc": "What is hidden."})
    replacement: str = field(default=CLEAN, metadata={"doc": "What stands in its place."})

    def _clean(self, text: str) -> str:
        return text.replace(self.word, self.replacement)

    def _to_hold(self, text: str, delta: str) -> int:
        return could_become(text, self.word)

    def _held(self, ctx: RequestContext) -> MutableMapping[Any, str]:
        return ctx.stash.setdefault(_HELD, dict)

    def _place(self, chunk: Chunk) -> Any:
        return chunk.choice, chunk.block

    def _ends(self, chunk: Chunk, place: Any) -> bool:
        return chunk.kind == "end" or (chunk.kind == "stop" and place == (chunk.choice, chunk.block))

    def _give_up(self, held: MutableMapping[Any, str], place: Any) -> Chunk:
        choice, block = place
        return Chunk("text", held.pop(place), block, choice)

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> Chunk | list[Chunk] | None:
        held = self._held(ctx)
        if chunk.kind in ("stop", "end"):
            places = [place for place in held if self._ends(chunk, place)]
            released = [piece for piece in (self._give_up(held, place) for place in places) if piece.delta]
            return [*released, chunk] if released else None
        if chunk.kind != "text":
            return None
        text = self._clean(held.get(self._place(chunk), "") + chunk.delta)
        keep = self._to_hold(text, chunk.delta)
        held[self._place(chunk)] = text[len(text) - keep :]
        out = text[: len(text) - keep]
        if out == chunk.delta:
            return None
        return evolve(chunk, delta=out) if out else []

    @hookimpl
    def on_response(self, response: Response, ctx: RequestContext) -> Response | None:
        if ctx.stream:
            return None
        message = self._message(response.message)
        more = tuple(evolve(choice, message=self._message(choice.message)) for choice in response.more)
        changed = message != response.message or more != response.more
        return evolve(response, message=message, more=more) if changed else None

    def _message(self, message: Message) -> Message:
        return evolve(message, blocks=tuple(self._blocks(message.blocks)))

    def _blocks(self, blocks: Iterable[Any]) -> Iterable[Any]:
        for block in blocks:
            changed = isinstance(block, Text) and self.word in block.text
            yield evolve(block, text=self._clean(block.text)) if changed else block


@define(eq=False)
class TwoPiecesOnly(ByHand):
    """Holds back letters of the newest piece only: a word that is cut in three passes."""

    def _to_hold(self, text: str, delta: str) -> int:
        held = could_become(text, self.word)
        return min(held, len(delta))


@define(eq=False)
class SaysItTwice(ByHand):
    """Gives up what it held at ``stop``, and once more at ``end``."""

    def _give_up(self, held: MutableMapping[Any, str], place: Any) -> Chunk:
        choice, block = place
        return Chunk("text", held[place], block, choice)


@define(eq=False)
class OneBuffer(ByHand):
    """Has one buffer for all the answers of a request, so that one begins with the end of another."""

    def _place(self, chunk: Chunk) -> Any:
        return "held"

    def _ends(self, chunk: Chunk, place: Any) -> bool:
        return True

    def _give_up(self, held: MutableMapping[Any, str], place: Any) -> Chunk:
        return Chunk("text", held.pop(place))


@define(eq=False)
class FirstChoice(ByHand):
    """Gives up what it held without saying of which answer it is, and so adds it to the first."""

    def _give_up(self, held: MutableMapping[Any, str], place: Any) -> Chunk:
        return Chunk("text", held.pop(place))


@define(eq=False)
class BufferOnSelf(ByHand):
    """Keeps what it holds on itself: two streams at a time get each other's letters."""

    _letters: dict[Any, str] = field(init=False, factory=dict)

    def _held(self, ctx: RequestContext) -> MutableMapping[Any, str]:
        return self._letters


@define(eq=False)
class LosesWhatBroke(ByHand):
    """Gives up what it held when a block ends, and never when the stream breaks off inside one."""

    def _ends(self, chunk: Chunk, place: Any) -> bool:
        return chunk.kind == "stop" and place == (chunk.choice, chunk.block)


@define(eq=False)
class StreamsOnly(ByHand):
    """Forgets answers that come in one piece."""

    @hookimpl
    def on_response(self, response: Response, ctx: RequestContext) -> Response | None:
        return None


@define(eq=False)
class FirstOfSeveral(ByHand):
    """Filters the first answer of one call and lets the others pass."""

    @hookimpl
    def on_response(self, response: Response, ctx: RequestContext) -> Response | None:
        message = self._message(response.message)
        return None if ctx.stream or message == response.message else evolve(response, message=message)


@define(eq=False)
class FirstMatch(ByHand):
    """Hides every match in a stream, and only the first in an answer of one piece."""

    def _blocks(self, blocks: Iterable[Any]) -> Iterable[Any]:
        for block in blocks:
            changed = isinstance(block, Text) and self.word in block.text
            yield evolve(block, text=block.text.replace(self.word, self.replacement, 1)) if changed else block
