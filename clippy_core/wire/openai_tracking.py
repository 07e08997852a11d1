"""What must be remembered of an OpenAI chat stream between its events: open blocks, tool calls, finished choices."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field
from clippy_hookspecs import Chunk, Json
from clippy_hookspecs.types import ChunkKind

from ..jsonio import loads


@define(eq=False)
class CallState:
    """A tool call that is being streamed."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(factory=list)
    block: int | None = None

    def whole(self) -> bool:
        """Whether the arguments so far are a whole JSON object."""
        try:
            return isinstance(loads("".join(self.arguments)), dict)
        except ValueError:
            return False

    def is_another(self, call_id: str, name: str, arguments: str) -> bool:
        """Whether a piece in this call's place begins another: some providers number all calls alike, or none.

        A call begins with its name.  Several providers repeat id and name on each piece of one call.
        """
        if not name or not self.name:
            return False
        if call_id and self.id:
            return call_id != self.id
        return name != self.name or (arguments.lstrip().startswith("{") and self.whole())


@define(eq=False)
class ChoiceState:
    """What must be remembered of one choice between its events."""

    number: int
    finished: bool = False
    blocks: int = 0
    open: tuple[ChunkKind, CallState | None, int] | None = None
    calls: dict[int | str, CallState] = field(factory=dict)
    last: CallState | None = None

    def apart(self) -> ChoiceState:
        """A copy, for words that were not sent; what it knows of calls it shares."""
        return ChoiceState(self.number, self.finished, self.blocks, self.open, self.calls, self.last)

    def enter(self, kind: ChunkKind, call: CallState | None) -> Iterator[Chunk]:
        """Open the block for content of this kind, if another or none is open; ends what was open."""
        if self.open is not None and self.open[:2] == (kind, call):
            return
        yield from self.close()
        # Pieces of two calls may take turns: each call keeps its number.
        if call is None or call.block is None:
            number, self.blocks = self.blocks, self.blocks + 1
        else:
            number = call.block
        if call is not None:
            call.block = number
        self.open = kind, call, number

    def close(self) -> Iterator[Chunk]:
        """End the open block, if there is one."""
        if self.open is not None:
            yield Chunk("stop", block=self.open[2], choice=self.number)
            self.open = None

    @property
    def block(self) -> int:
        """The number of the open block, else of the last one."""
        return self.open[2] if self.open is not None else max(0, self.blocks - 1)

    def call(self, index: Json, call_id: str, name: str, arguments: str) -> CallState:
        """The call that a piece belongs to, a new one if it begins one."""
        place: int | str | None = index if isinstance(index, int) else call_id or None
        call = self.last if place is None else self.calls.get(place)
        if call is None or call.is_another(call_id, name, arguments):
            call = CallState()
        if place is not None:
            self.calls[place] = call
        if call_id:
            self.calls.setdefault(call_id, call)
        self.last = call
        return call
