"""What the fake provider does with each request: replies, faults, and their order."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Union

from attrs import field, frozen
from attrs.validators import ge
from clippy_hookspecs import Json, ToolCall, Usage

from .faults import Fault, Pairs, pairs
from .seen import SeenRequest


def call(name: str, arguments: Mapping[str, Json] | str | None = None, call_id: str = "") -> ToolCall:
    """A tool call for a :class:`Reply`; arguments as a mapping or as JSON text; without an id, the wire makes one."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return ToolCall(call_id, name, text)


def _cut(chunks: int | Sequence[str] | None) -> int | tuple[str, ...] | None:
    return chunks if chunks is None or isinstance(chunks, int) else tuple(chunks)


def _calls(source: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    return tuple(source)


def _replies(source: Iterable[Reply]) -> tuple[Reply, ...]:
    return tuple(source)


def _pieces(body: bytes | Sequence[bytes]) -> tuple[bytes, ...]:
    return (body,) if isinstance(body, bytes) else tuple(body)


@frozen
class Reply:
    """A whole and healthy answer, told once for all wire APIs and for plain and streamed calls alike.

    Without text, tool calls or a refusal the text is lorem ipsum of ``words`` words that depends on the conversation;
    with ``echo`` it is the newest user turn instead.  ``finish`` None is the natural one; ``length`` and
    ``content_filter`` become each API's own word; anything else is used as it is.  ``usage`` None is counted.
    ``chunks`` says how a stream cuts the text: None at words, a number into so many pieces, a sequence is the very
    pieces.  ``delay`` is seconds before the head, ``chunk_delay`` seconds before each event but the first.  ``more``
    are the other answers when a chat asks for ``n``, this one again by default.  ``extra`` are top-level fields of
    the answer that no SDK knows.
    """

    text: str | None = None
    tool_calls: tuple[ToolCall, ...] = field(default=(), converter=_calls)
    reasoning: str | None = None
    refusal: str | None = None
    usage: Usage | None = None
    finish: str | None = None
    chunks: int | tuple[str, ...] | None = field(default=None, converter=_cut)
    delay: float = field(default=0.0, validator=ge(0))
    chunk_delay: float = field(default=0.0, validator=ge(0))
    echo: bool = False
    words: int = field(default=24, validator=ge(1))
    model: str | None = None
    more: tuple[Reply, ...] = field(default=(), converter=_replies)
    headers: Pairs = field(default=(), converter=pairs)
    extra: Mapping[str, Json] = field(factory=dict)


@frozen
class Raw:
    """An answer given as bytes: for transcripts, foreign wire APIs and bodies that are not what they say.

    ``body`` is one piece or several; several are sent with chunked transfer coding, one each.
    """

    body: tuple[bytes, ...] = field(converter=_pieces)
    status: int = 200
    headers: Pairs = field(default=(("content-type", "application/json"),), converter=pairs)


Part = Union[Reply, Raw, Fault]
Step = Union[Part, Sequence[Part]]
"""One request's fate: a reply, a fault of the default reply, or several faults with at most one reply or raw answer."""


@frozen
class Mix:
    """A seeded share of faults: request number n has the same fate in every run, whatever else happens.

    ``rate`` is the share of requests with a fault, ``faults`` the weight of each; the others get ``reply``.
    """

    seed: int
    rate: float
    faults: Mapping[Fault, float]
    reply: Reply = Reply(echo=True)

    def pick(self, number: int) -> Step:
        """The fate of request *number*."""
        if not self.faults or _fraction(self.seed, number, "whether") >= self.rate:
            return self.reply
        marks = list(itertools.accumulate(self.faults.values()))
        mark = _fraction(self.seed, number, "which") * marks[-1]
        return (list(self.faults)[bisect.bisect_right(marks, mark)], self.reply)


def _fraction(seed: int, number: int, about: str) -> float:
    digest = hashlib.sha256(f"{seed}:{number}:{about}".encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56


Act = Union[Step, Callable[[SeenRequest], Step], Mix]
"""What decides about one request."""


@frozen(init=False)
class Script:
    """One act for each request in the order they arrive, and ``then`` for all after them.

    ``Script(Fault.status(503), [Fault.reset(at_delta=2), Reply("Hello")], then=Reply("Hi"))`` refuses the first
    request, breaks the answer to the second after two pieces, and greets from the third on.  By default ``then`` is an
    echo.
    """

    steps: tuple[Act, ...]
    then: Act

    def __init__(self, *steps: Act, then: Act = Reply(echo=True)) -> None:
        self.__attrs_init__(steps, then)

    def step(self, seen: SeenRequest) -> Step:
        """What happens to *seen*."""
        act = self.steps[seen.number - 1] if seen.number <= len(self.steps) else self.then
        if isinstance(act, Mix):
            return act.pick(seen.number)
        return act(seen) if callable(act) else act
