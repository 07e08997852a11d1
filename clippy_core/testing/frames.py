"""The parts that rendered answers are made of: events, ids, pieces of text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import field, frozen
from clippy_hookspecs import Json, Usage

from .faults import Pairs
from .script import Reply
from .seen import SeenRequest

CREATED = 1_763_800_000
"""The creation time of every answer, unix seconds: the same request gives the same bytes in every run."""

_LOREM = (
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore "
    "magna aliqua ut enim ad minim veniam quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo"
)

EventKind = Literal["start", "delta", "finish", "usage", "done", "other"]


@frozen
class WireEvent:
    """One event of a stream as bytes, or the whole body of a plain answer (``other``).

    A ``delta`` carries content that is not empty; ``finish`` says why the answer ended; ``done`` is the terminal event.
    """

    data: bytes
    kind: EventKind = "other"


@frozen
class Draft:
    """A rendered answer, before anything has gone wrong with it."""

    status: int
    headers: Pairs
    events: tuple[WireEvent, ...]
    streamed: bool = False


@frozen
class Ids:
    """Ids that look like the real ones and depend on the seed and the request's number only."""

    seed: int
    number: int

    def hex(self, label: str, length: int) -> str:
        """*length* hexadecimal digits."""
        return self._digest(label, length).hex()[:length]

    def word(self, label: str, length: int) -> str:
        """*length* letters and digits."""
        alphabet = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
        return "".join(alphabet[byte % len(alphabet)] for byte in self._digest(label, length)[:length])

    def _digest(self, label: str, length: int) -> bytes:
        return hashlib.shake_256(f"{self.seed}:{self.number}:{label}".encode()).digest(length)


def dumps(value: Json) -> bytes:
    """JSON as providers send it: compact, characters beyond ASCII as they are, lone surrogates escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def data_event(value: Json, kind: EventKind) -> WireEvent:
    """A server-sent event of data alone (OpenAI chat)."""
    return WireEvent(b"data: " + dumps(value) + b"\n\n", kind)


def named_event(value: Mapping[str, Json], kind: EventKind) -> WireEvent:
    """A server-sent event named like its ``type`` (Anthropic, OpenAI Responses)."""
    name = str(value["type"]).encode()
    return WireEvent(b"event: " + name + b"\ndata: " + dumps(value) + b"\n\n", kind)


def text_of(reply: Reply, seen: SeenRequest, seed: int) -> str:
    """The text of *reply* to *seen*, ``""`` when it says nothing beside tool calls or a refusal."""
    if reply.text is not None:
        return reply.text
    if isinstance(reply.chunks, tuple):
        return "".join(reply.chunks)
    if reply.tool_calls or reply.refusal is not None:
        return ""
    if reply.echo and seen.last_user_text:
        return seen.last_user_text
    asked = {name: seen.fields.get(name) for name in ("model", "system", "instructions", "messages", "input", "tools")}
    start = hashlib.sha256(f"{seed}:".encode() + dumps(asked)).digest()
    known = _LOREM.split()
    words = [known[(start[i % 32] + i) % len(known)] for i in range(reply.words)]
    return " ".join(words).capitalize() + "."


def pieces(text: str, cut: int | Sequence[str] | None = None) -> list[str]:
    """*text* in the pieces of a stream: at words, in *cut* pieces, or the very pieces given."""
    if isinstance(cut, int):
        size = max(1, -(-len(text) // max(1, cut)))
        return [text[i : i + size] for i in range(0, len(text), size)]
    if cut is not None:
        return [piece for piece in cut if piece]
    words = text.split(" ")
    return [piece for piece in [*(word + " " for word in words[:-1]), words[-1]] if piece]


def usage_of(reply: Reply, seen: SeenRequest, text: str) -> Usage:
    """The usage of *reply*, counted as four bytes or one word a token when the reply does not say."""
    if reply.usage is not None:
        return reply.usage
    thought = len((reply.reasoning or "").split())
    said = len((text + " " + (reply.refusal or "")).split()) + 8 * len(reply.tool_calls)
    return Usage(input=max(1, len(seen.body) // 4), output=thought + max(1, said), reasoning=thought)


@frozen
class Telling:
    """One reply told to one request: what the three wire APIs have in common."""

    seen: SeenRequest
    reply: Reply
    ids: Ids
    text: str
    usage: Usage
    model: str = field(default="")

    @classmethod
    def of(cls, seen: SeenRequest, reply: Reply, ids: Ids) -> Telling:
        """Settle the text, the usage and the model."""
        text = text_of(reply, seen, ids.seed)
        return cls(seen, reply, ids, text, usage_of(reply, seen, text), reply.model or seen.model)

    @property
    def text_pieces(self) -> list[str]:
        """The text as the stream cuts it.  Raises ValueError when the reply's pieces are not its text."""
        cut = pieces(self.text, self.reply.chunks)
        if "".join(cut) != self.text:
            raise ValueError("Reply.chunks must join to Reply.text; give one of them alone, or pieces of the same text")
        return cut
