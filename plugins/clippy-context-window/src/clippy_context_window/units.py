"""What of a conversation can only be dropped together.

A unit is a user message, or one round of the model: its reasoning, its calls and all their results.  A turn is a user
message with the rounds that follow it.  Ids of calls are paired by nearness, since some providers begin with ``call_0``
anew in every turn; a pair that spans several messages holds everything between it together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from attrs import field, frozen
from clippy_hookspecs import Message, Opaque, Reasoning, Text, ToolResult, tool_link

_INSTRUCTING: Final = ("system", "developer")


@frozen
class Unit:
    """Places of messages that stay or go together.

    ``speaks``: the user says something in it.  ``opens``: it is a user message, so a conversation may begin with it.
    """

    places: tuple[int, ...]
    speaks: bool = False
    opens: bool = False


@frozen
class _Links:
    """The ids of the calls and results in one message, in order; True for calls."""

    pairs: tuple[tuple[str, bool], ...] = ()
    result: bool = field(init=False)

    @result.default
    def _brings_result(self) -> bool:
        return any(not call for _, call in self.pairs)


def instructs(message: Message) -> bool:
    """Whether *message* holds instructions or a summary by the provider, which are never dropped."""
    if _links(message).pairs:
        return False
    compacted = any(isinstance(block, Opaque) and "compaction" in block.kind for block in message.blocks)
    return compacted or message.role in _INSTRUCTING


def units_of(messages: Sequence[Message]) -> list[Unit]:
    """The units of *messages* in order; instructions belong to none."""
    places = [place for place, message in enumerate(messages) if not instructs(message)]
    links = [_links(messages[place]) for place in places]
    reach = _reach(links)
    units: list[list[int]] = []
    reasoned = opened = False
    last = -1
    for index, place in enumerate(places):
        message = messages[place]
        opens = _speaks(message) and not links[index].result
        bare = bool(links[index].pairs) and not any(isinstance(block, Text | Reasoning) for block in message.blocks)
        round_begins = index > 0 and links[index - 1].result and not links[index].result and not (bare and reasoned)
        if index > last and (not units or opens or opened or round_begins):
            units.append([])
            reasoned = False
        units[-1].append(place)
        opened = opens
        reasoned = reasoned or _only_reasons(message)
        last = max(last, reach[index])
    return [_unit(messages, unit) for unit in units]


def _unit(messages: Sequence[Message], places: list[int]) -> Unit:
    first = messages[places[0]]
    speaks = any(_speaks(messages[place]) for place in places)
    return Unit(tuple(places), speaks, _speaks(first) and not _links(first).result)


def _reach(links: Sequence[_Links]) -> list[int]:
    """For each message the index of the last result that answers one of its calls."""
    reach = list(range(len(links)))
    open_calls: defaultdict[str, list[int]] = defaultdict(list)
    for index, found in enumerate(links):
        for name, call in found.pairs:
            if call:
                open_calls[name].append(index)
            elif open_calls[name]:
                caller = open_calls[name].pop()
                reach[caller] = max(reach[caller], index)
    return reach


def _speaks(message: Message) -> bool:
    """Whether the user says something: not only tool results, which some APIs put into user messages."""
    if message.role != "user":
        return False
    return any(not isinstance(block, ToolResult) for block in message.blocks) or not message.blocks


def _only_reasons(message: Message) -> bool:
    """The Responses API has reasoning as an item of its own; the calls that follow may not come without it."""
    return bool(message.blocks) and all(
        isinstance(block, Reasoning) or (isinstance(block, Opaque) and block.kind == "reasoning")
        for block in message.blocks
    )


def _links(message: Message) -> _Links:
    return _Links(tuple(link for block in message.blocks if (link := tool_link(block)) is not None))
