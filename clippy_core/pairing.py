"""The check after ``compress_context``: no tool result may lose its call, no call its result.

Providers answer 400 to such a conversation, and to every later one that grows from it (features.md P9).  Calls and
results are found in all three wire shapes: blocks of one message, messages of their own, items of the Responses API,
and items that we carry as Opaque.  Ids are paired by nearness, because some providers begin with ``call_0`` anew in
every turn.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

from attrs import define, field, frozen
from clippy_hookspecs import Block, Message, tool_link

FaultKind = Literal["orphan", "unanswered", "separated"]


@frozen
class _Link:
    """A call or a result and where it stands."""

    id: str
    call: bool
    place: int
    block: Block


@frozen
class _Fault:
    kind: FaultKind
    link: _Link

    def __str__(self) -> str:
        at = f"message {self.link.place}"
        match self.kind:
            case "orphan":
                return f"the tool result for call {self.link.id!r} in {at} has no call before it"
            case "unanswered":
                return f"the tool call {self.link.id!r} in {at} lost its result"
            case "separated":
                return f"other messages stand between the tool call {self.link.id!r} in {at} and its result"


@define
class _Pairs:
    """The calls and results of a conversation; ``partners`` maps results to calls, by identity of the blocks."""

    links: list[_Link] = field(factory=list)
    partners: defaultdict[int, set[int]] = field(factory=lambda: defaultdict(set))
    faults: list[_Fault] = field(factory=list)


def pairing_fault(before: Sequence[Message], after: Sequence[Message]) -> str | None:
    """What is wrong with the tool calls of *after* that was right in *before*, as a sentence; None if nothing is.

    A fault that *before* had as well (a result whose call the provider keeps, a call that never got a result) is none,
    nor is a new call at the end that waits for its result.
    """
    old = _pairs(before)
    new = _pairs(after)
    kept = {id(link.block) for link in old.links}
    faulty = {(fault.kind, id(fault.link.block)) for fault in old.faults}
    tolerated = Counter((fault.kind, fault.link.id) for fault in old.faults)
    for fault in new.faults:
        block, key = id(fault.link.block), (fault.kind, fault.link.id)
        if tolerated[key] > 0 and ((fault.kind, block) in faulty or block not in kept):
            tolerated[key] -= 1
        elif fault.kind != "unanswered" or block in kept or not _awaits(after, fault.link):
            return str(fault)
    for result, calls in new.partners.items():
        if result in old.partners and (calls & kept) - old.partners[result]:
            return "a tool result was left to another call of the same id; keep or drop calls and results together"
    if _begins_with_result(after) and not _begins_with_result(before):
        return "the conversation begins with a tool result; keep the call before it or drop both"
    return None


def _pairs(messages: Sequence[Message]) -> _Pairs:
    """Every result with the nearest open call of its id before it, and what is wrong."""
    pairs = _Pairs()
    open_calls: defaultdict[str, list[_Link]] = defaultdict(list)
    strangers = [0]  # messages without calls and results, counted up to each place
    for place, message in enumerate(messages):
        found = [(block, link) for block in message.blocks if (link := tool_link(block)) is not None]
        strangers.append(strangers[-1] + (not found))
        for block, (name, call) in found:
            here = _Link(name, call, place, block)
            pairs.links.append(here)
            if call:
                open_calls[name].append(here)
            elif not open_calls[name]:
                pairs.faults.append(_Fault("orphan", here))
            else:
                partner = open_calls[name].pop()
                pairs.partners[id(block)].add(id(partner.block))
                if strangers[place] > strangers[partner.place]:
                    pairs.faults.append(_Fault("separated", partner))
    pairs.faults += [_Fault("unanswered", call) for calls in open_calls.values() for call in calls]
    return pairs


def _awaits(messages: Sequence[Message], call: _Link) -> bool:
    """Whether *call* belongs to the last assistant turn, whose results have yet to come."""
    return all(
        message.role in ("assistant", "tool", "function") or message.tool_results
        for message in messages[call.place + 1 :]
    )


def _begins_with_result(messages: Sequence[Message]) -> bool:
    for message in messages:
        links = [link for block in message.blocks if (link := tool_link(block)) is not None]
        if links or message.role not in ("system", "developer"):
            return bool(links) and not any(call for _, call in links)
    return False
