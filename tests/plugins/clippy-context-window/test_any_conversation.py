"""What holds for every conversation and every budget, healthy or broken."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import pytest
from clippy_context_window import ContextWindow
from clippy_hookspecs import (
    Message,
    Opaque,
    Reasoning,
    Refusal,
    Request,
    RequestContext,
    RouteInfo,
    Scope,
    Text,
    TokenCounter,
    ToolCall,
    ToolResult,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clippy_core.pairing import pairing_fault
from clippy_core.portal import Portal
from clippy_core.registry import Registry, ServicesView
from clippy_core.testing import VirtualClock
from clippy_core.tokens import HeuristicTokenCounter

COUNTER = HeuristicTokenCounter()
FRAME = 3

ids = st.sampled_from(["call_0", "call_1", "call_2", "x"])
words = st.integers(0, 30).map(lambda count: " ".join(["word"] * count))
texts = words.map(Text)


@st.composite
def rounds(draw: st.DrawFn, shape: str) -> list[Message]:
    """One round of the model: calls, perhaps parallel and of one id, and their results in any order."""
    names = draw(st.lists(ids, min_size=1, max_size=3))
    results = [ToolResult(name, (draw(texts),)) for name in draw(st.permutations(names))]
    said = (draw(texts),) if draw(st.booleans()) else ()
    calls = [ToolCall(name, "look", draw(words)) for name in names]
    if shape == "chat":
        return [Message("assistant", (*said, *calls)), *(Message("tool", (result,)) for result in results)]
    if shape == "anthropic":
        late = (Text("and"),) if draw(st.integers(0, 4)) == 0 else ()
        thought = (Reasoning("hm", "signature"),) if draw(st.booleans()) else ()
        return [Message("assistant", (*thought, *said, *calls)), Message("user", (*results, *late))]
    items = [Message("assistant", (Reasoning("hm"),))] if draw(st.booleans()) else []
    if draw(st.booleans()):
        items += [Message("assistant", (call,)) for call in calls] + [Message("tool", (result,)) for result in results]
    else:
        for call in calls:
            items += [Message("assistant", (call,)), Message("tool", (ToolResult(call.id, (draw(texts),)),))]
    if draw(st.integers(0, 5)) == 0:
        items.insert(draw(st.integers(0, len(items))), Message("user", (Text("meanwhile"),)))
    return items


@st.composite
def healthy(draw: st.DrawFn) -> list[Message]:
    """A conversation as an SDK sends it in one of the three shapes; it may end anywhere a request is sent."""
    shape = draw(st.sampled_from(["chat", "anthropic", "responses"]))
    messages = [Message("system", (draw(texts),))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 6))):
        messages.append(Message("user", (draw(texts),)))
        for _ in range(draw(st.integers(0, 4))):
            messages += draw(rounds(shape))
        if draw(st.booleans()):
            messages.append(Message("assistant", (draw(texts),)))
        if draw(st.integers(0, 6)) == 0:
            messages.append(Message("developer", (draw(texts),)))
    if draw(st.booleans()):
        messages.append(Message("user", (draw(texts),)))
    elif draw(st.booleans()):
        messages.append(Message("assistant", (ToolCall(draw(ids), "look"),)))
    return messages


outputs = ids.map(lambda name: Opaque("computer_call_output", {"type": "computer_call_output", "call_id": name}))
calls = ids.map(lambda name: Opaque("computer_call", {"type": "computer_call", "call_id": name}))
any_block = st.one_of(
    texts,
    st.builds(ToolCall, ids, st.just("look")),
    st.builds(ToolResult, ids),
    st.builds(Reasoning, words),
    calls,
    outputs,
)
any_message = st.builds(
    Message,
    st.sampled_from(["user", "assistant", "tool", "system", "developer", "function", ""]),
    st.lists(any_block, max_size=3).map(tuple),
)
anything = st.lists(any_message, max_size=16)
conversations = st.one_of(healthy(), anything)
budgets = st.integers(0, 700)


def context() -> RequestContext:
    registry = Registry()
    registry.offer(TokenCounter, COUNTER)
    services = ServicesView(registry, Portal(), sync=True)
    return RequestContext("1", Scope(), VirtualClock(), services, RouteInfo("r"), flow=cast("Any", None))


def cut(messages: list[Message], budget: int, **settings: Any) -> list[Message]:
    request = Request(model="gpt-4o", messages=tuple(messages))
    after = ContextWindow(**settings).compress_context(request, budget, context())
    return messages if after is None else list(after.messages)


def tokens(messages: list[Message]) -> int:
    return FRAME + sum(COUNTER.count_message(message) for message in messages)


def is_user(message: Message) -> bool:
    """Whether it is from the user alone; a result of a tool may have no block of ours."""
    results = any(isinstance(block, Opaque) and block.kind.endswith("_output") for block in message.blocks)
    return message.role == "user" and not message.tool_results and not results


def instructs(message: Message) -> bool:
    linked = any(isinstance(block, ToolCall | ToolResult | Opaque) for block in message.blocks)
    return message.role in ("system", "developer") and not linked


def same(left: list[Message], right: list[Message]) -> bool:
    """The same objects in the same order."""
    return [id(message) for message in left] == [id(message) for message in right]


@settings(max_examples=100)
@given(conversations, budgets, st.sampled_from([0.3, 0.6, 1.0]), st.integers(0, 3))
def test_no_cut_orphans_a_tool_result(messages: list[Message], budget: int, target: float, pins: int) -> None:
    """Parallel, interleaved, repeated ids, already broken: the host's check never finds a new fault."""
    assert pairing_fault(messages, cut(messages, budget, target=target, pin_first=pins)) is None


@given(healthy(), budgets)
def test_every_kept_result_has_the_call_it_had(messages: list[Message], budget: int) -> None:
    """Told by identity and not by the ids, which repeat."""
    kept = {id(message) for message in cut(messages, budget)}
    open_calls: list[tuple[str, int]] = []
    for message in messages:
        open_calls += [(call.id, id(message)) for call in message.tool_calls]
        for result in message.tool_results:
            place = max(place for place, (name, _) in enumerate(open_calls) if name == result.call_id)
            assert (open_calls.pop(place)[1] in kept) == (id(message) in kept)


@given(conversations, budgets, st.sampled_from([0.3, 0.6, 1.0]), st.integers(0, 3))
def test_the_result_fits_or_is_what_must_stay(messages: list[Message], budget: int, target: float, pins: int) -> None:
    """Whenever the essentials fit, the result does; otherwise nothing but them is sent, or it is refused."""
    kept = cut(messages, budget, target=target, pin_first=pins)
    essentials = cut(messages, 0, target=target, pin_first=pins)
    if tokens(essentials) <= budget:
        assert tokens(kept) <= budget
        assert same(kept, cut(messages, budget, target=target, pin_first=pins, on_overflow="refuse"))
    else:
        assert same(kept, essentials)
        if messages:
            with pytest.raises(Refusal):
                cut(messages, budget, target=target, pin_first=pins, on_overflow="refuse")


@given(conversations, budgets, st.integers(0, 3))
def test_what_is_kept_are_the_same_objects_in_the_same_order(messages: list[Message], budget: int, pins: int) -> None:
    """So their wire form is the very bytes that came."""
    rest = iter(messages)
    assert all(any(message is other for other in rest) for message in cut(messages, budget, pin_first=pins))


@given(conversations, budgets, st.sampled_from([0.3, 0.6, 1.0]), st.integers(0, 3))
def test_a_cut_conversation_is_not_cut_again(messages: list[Message], budget: int, target: float, pins: int) -> None:
    """f(f(x)) == f(x), also when the essentials do not fit."""
    once = cut(messages, budget, target=target, pin_first=pins)
    assert same(cut(once, budget, target=target, pin_first=pins), once)


@given(conversations, budgets)
@example(
    [
        Message("user", (Opaque("computer_call_output", {"type": "computer_call_output", "call_id": "x"}),)),
        Message("assistant", ()),
        Message("user", (Text("and"), ToolResult("x", ()))),
    ],
    0,
)
def test_instructions_the_last_user_message_and_the_newest_message_stay(messages: list[Message], budget: int) -> None:
    """At every budget."""
    kept = {id(message) for message in cut(messages, budget)}
    assert all(id(message) in kept for message in messages if instructs(message))
    assert all(id(message) in kept for message in [m for m in messages if is_user(m)][-1:] + messages[-1:])


@given(conversations, budgets, st.integers(0, 3))
def test_pinned_messages_stay(messages: list[Message], budget: int, pins: int) -> None:
    """The first ones after the instructions."""
    kept = {id(message) for message in cut(messages, budget, pin_first=pins)}
    assert all(id(message) in kept for message in [m for m in messages if not instructs(m)][:pins])


@given(healthy(), budgets, st.integers(0, 3))
def test_a_cut_begins_with_a_user_message(messages: list[Message], budget: int, pins: int) -> None:
    """Every healthy conversation does, and stays so."""
    kept = [message for message in cut(messages, budget, pin_first=pins) if not instructs(message)]
    assert is_user(kept[0])


@given(conversations, budgets, st.integers(1, 400))
def test_a_larger_budget_never_keeps_less_than_what_must_stay(messages: list[Message], budget: int, more: int) -> None:
    """The essentials are kept at every budget."""
    essentials = {id(message) for message in cut(messages, 0)}
    assert essentials <= {id(message) for message in cut(messages, budget + more)}


@settings(max_examples=50)
@given(st.lists(st.tuples(words, words), min_size=2, max_size=30), st.integers(80, 500))
def test_the_prefix_only_changes_when_the_room_is_full(turns: list[tuple[str, str]], budget: int) -> None:
    """Of two requests in a row the second continues the first wherever that fits."""
    chat: list[Message] = [Message("system", (Text("Be brief."),))]
    sent: list[list[Message]] = []
    for question, answer in turns:
        chat.append(Message("user", (Text(question),)))
        sent.append(cut(list(chat), budget))
        chat.append(Message("assistant", (Text(answer),)))
    for turn, (old, new) in enumerate(pairwise(sent)):
        continued = [*old, *chat[2 * turn + 2 : 2 * turn + 4]]
        assert same(new, continued) or tokens(continued) > budget
