"""What compress_context may do to tool calls and their results, in the three wire shapes."""

from __future__ import annotations

import pytest
from attrs import evolve
from clippy_hookspecs import Message, Opaque, Reasoning, Text, ToolCall, ToolResult
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.pairing import pairing_fault

SYSTEM = Message("system", (Text("Be brief."),))
USER = Message("user", (Text("What is the weather?"),))
DONE = Message("assistant", (Text("Sunny."),))


def call(*ids: str) -> Message:
    return Message("assistant", tuple(ToolCall(name, "weather") for name in ids))


def tool(name: str) -> Message:
    """A result as OpenAI Chat and Responses have it: a message of its own."""
    return Message("tool", (ToolResult(name, (Text("sunny"),)),))


def user_results(*ids: str) -> Message:
    """Results as Anthropic has them: blocks of the next user message."""
    return Message("user", tuple(ToolResult(name, (Text("sunny"),)) for name in ids))


def item(kind: str, **data: str) -> Message:
    """A Responses item that the contract does not model."""
    return Message("tool" if kind.endswith("output") else "assistant", (Opaque(kind, {"type": kind, **data}),))


CHAT = [SYSTEM, USER, call("a", "b"), tool("a"), tool("b"), DONE]
ANTHROPIC = [SYSTEM, USER, call("a", "b"), user_results("a", "b"), DONE]
RESPONSES = [USER, Message("assistant", (Reasoning("hm"),)), call("a"), call("b"), tool("b"), tool("a"), DONE]
COMPUTER = [USER, item("computer_call", call_id="a"), item("computer_call_output", call_id="a"), DONE]
APPROVAL = [
    USER,
    item("mcp_approval_request", id="a"),
    Message("tool", (Opaque("mcp_approval_response", {"approval_request_id": "a"}),)),
]
SHAPES = {"chat": CHAT, "anthropic": ANTHROPIC, "responses": RESPONSES, "computer": COMPUTER, "approval": APPROVAL}

shapes = pytest.mark.parametrize("messages", SHAPES.values(), ids=SHAPES)


@shapes
def test_an_untouched_conversation_has_no_fault(messages: list[Message]) -> None:
    """Nothing changed, nothing broken."""
    assert pairing_fault(messages, list(messages)) is None


@shapes
def test_a_result_without_its_call_is_a_fault(messages: list[Message]) -> None:
    """Dropping only the calls leaves results that no provider accepts."""
    after = [m for m in messages if not (m.tool_calls or _kind(m).endswith(("_call", "_request")))]
    assert "no call before it" in (pairing_fault(messages, after) or "")


@shapes
def test_a_call_that_lost_its_result_is_a_fault(messages: list[Message]) -> None:
    """Dropping only the results leaves calls that nobody answers."""
    after = [m for m in messages if not (m.tool_results or _kind(m).endswith(("_output", "_response")))]
    assert "lost its result" in (pairing_fault(messages, after) or "")


@shapes
def test_calls_and_results_may_go_together(messages: list[Message]) -> None:
    """Without the whole exchange the conversation is right again."""
    assert pairing_fault(messages, [m for m in messages if m in (SYSTEM, USER, DONE)]) is None


def _kind(message: Message) -> str:
    return next((block.kind for block in message.blocks if isinstance(block, Opaque)), "")


def test_one_of_two_parallel_results_may_not_go() -> None:
    """Providers want an answer to every parallel call."""
    assert "'b'" in (pairing_fault(CHAT, [m for m in CHAT if m is not CHAT[4]]) or "")


def test_a_result_before_its_call_is_a_fault() -> None:
    """Both are there, but the order is broken."""
    after = [SYSTEM, USER, CHAT[3], CHAT[2], CHAT[4], DONE]
    assert "no call before it" in (pairing_fault(CHAT, after) or "")


def test_the_last_call_may_wait_for_its_result() -> None:
    """A caller may send the open call back to the model."""
    before = [USER, DONE, USER, call("a")]
    assert pairing_fault(before, before[2:]) is None


def test_a_new_call_at_the_end_may_wait_and_a_new_one_in_the_middle_may_not() -> None:
    """What a plugin adds is held to the same rule."""
    assert pairing_fault([USER], [USER, call("new")]) is None
    assert "lost its result" in (pairing_fault([USER, USER], [USER, call("new"), USER]) or "")


def test_the_newest_result_may_not_be_dropped_from_its_call() -> None:
    """A call at the end that had its result is not one that waits."""
    before = [USER, call("a"), tool("a")]
    assert "lost its result" in (pairing_fault(before, before[:2]) or "")


def test_a_duplicated_result_is_a_fault() -> None:
    """The second answer to one call has no call."""
    before = [USER, call("a"), tool("a"), DONE]
    assert "no call before it" in (pairing_fault(before, [*before[:3], tool("a"), DONE]) or "")


def test_two_calls_and_two_results_of_one_id_are_a_pair_each() -> None:
    """Ids are counted, not collected in a set."""
    before = [USER, call("x", "x"), tool("x"), tool("x"), DONE]
    assert pairing_fault(before, before) is None
    assert "lost its result" in (pairing_fault(before, [*before[:3], DONE]) or "")


def test_ids_that_begin_anew_in_every_turn_are_paired_by_nearness() -> None:
    """Either turn may go as a whole."""
    before = [USER, call("call_0"), tool("call_0"), DONE, USER, call("call_0"), tool("call_0"), DONE]
    assert pairing_fault(before, before[4:]) is None
    assert pairing_fault(before, before[:4]) is None


def test_a_result_may_not_be_left_to_another_call_of_its_id() -> None:
    """The ids match, the answer is that to another question."""
    before = [USER, call("call_0"), tool("call_0"), USER, call("call_0"), tool("call_0")]
    assert "another call" in (pairing_fault(before, [before[0], before[1], before[5]]) or "")


def test_a_message_put_between_call_and_result_is_a_fault() -> None:
    """Chat and Anthropic want the results right after the call."""
    after = [SYSTEM, USER, CHAT[2], Message("user", (Text("Summary: ..."),)), *CHAT[3:]]
    assert "stand between" in (pairing_fault(CHAT, after) or "")


def test_what_stood_between_before_may_stay() -> None:
    """The Responses API allows it; a cut elsewhere is not to blame."""
    before = [DONE, USER, call("a"), USER, tool("a")]
    assert pairing_fault(before, before[1:]) is None


def test_a_conversation_may_not_begin_with_a_result() -> None:
    """Also when the call was in no message before."""
    before = [SYSTEM, USER, tool("a"), DONE]
    assert "begins with a tool result" in (pairing_fault(before, [SYSTEM, *before[2:]]) or "")


def test_results_whose_calls_the_provider_keeps_are_none_of_our_faults() -> None:
    """With previous_response_id a Responses request begins with the results."""
    before = [tool("a"), tool("b"), USER]
    assert pairing_fault(before, before) is None
    assert pairing_fault(before, before[1:]) is None


def test_a_broken_conversation_may_not_become_worse() -> None:
    """One orphan before does not excuse another one after, even of the same id."""
    before = [tool("call_0"), USER, call("call_0"), tool("call_0"), DONE]
    assert pairing_fault(before, before) is None
    assert pairing_fault(before, [before[1], before[3], DONE]) is not None


def test_a_call_that_never_got_its_result_may_stay_without() -> None:
    """It was so before."""
    before = [USER, call("a"), DONE, USER, call("b"), tool("b"), DONE]
    assert pairing_fault(before, before[:3] + before[3:4]) is None
    assert pairing_fault(before, before[1:]) is None


def test_a_rewritten_result_still_answers_its_call() -> None:
    """Clearing the content of an old result is what compression plugins do."""
    cleared = evolve(CHAT[3], blocks=(ToolResult("a", (Text("[cleared]"),)),))
    assert pairing_fault(CHAT, [*CHAT[:3], cleared, *CHAT[4:]]) is None


def test_a_rewritten_orphan_is_still_the_old_orphan() -> None:
    """A changed block is known by its id."""
    before = [USER, tool("a"), DONE]
    assert pairing_fault(before, [USER, Message("tool", (ToolResult("a"),)), DONE]) is None


def test_server_tools_of_anthropic_are_paired_inside_their_message() -> None:
    """Use and result are blocks of one assistant message, and it may be the first one."""
    use = Opaque("server_tool_use", {"type": "server_tool_use", "id": "srv"})
    found = Opaque("web_search_tool_result", {"type": "web_search_tool_result", "tool_use_id": "srv"})
    searched = Message("assistant", (use, found, Text("Found.")))
    assert pairing_fault([USER, searched, USER], [searched, USER]) is None
    assert "no call before it" in (pairing_fault([USER, searched], [USER, evolve(searched, blocks=(found,))]) or "")


def test_calls_that_need_no_result_are_left_alone() -> None:
    """A web search item has neither call_id nor output item."""
    before = [USER, item("web_search_call", id="ws_1"), DONE]
    assert pairing_fault(before, before) is None


# --- any conversation -------------------------------------------------------------------------------------------------

ids = st.sampled_from(["call_0", "call_1", "x"])
blocks = st.one_of(
    st.builds(Text, st.sampled_from(["hi", "ok"])), st.builds(ToolCall, ids, st.just("f")), st.builds(ToolResult, ids)
)
any_messages = st.lists(
    st.builds(
        Message, st.sampled_from(["user", "assistant", "tool", "system"]), st.lists(blocks, max_size=3).map(tuple)
    ),
    max_size=12,
)


@given(any_messages)
def test_nothing_done_is_never_a_fault(messages: list[Message]) -> None:
    """However broken a conversation is, leaving it alone breaks nothing."""
    assert pairing_fault(messages, list(messages)) is None


@given(st.lists(st.lists(ids, min_size=1, max_size=3), min_size=1, max_size=4), st.data())
def test_dropping_one_half_of_any_pair_is_always_a_fault(turns: list[list[str]], data: st.DataObject) -> None:
    """In a healthy conversation each call and each result is missed."""
    messages = [USER]
    for names in turns:
        messages += [call(*names), *(tool(name) for name in names), DONE, USER]
    halves = [place for place, message in enumerate(messages) if message.tool_results or message.tool_calls]
    gone = data.draw(st.sampled_from(halves))
    assert pairing_fault(messages, messages) is None
    assert pairing_fault(messages, messages[:gone] + messages[gone + 1 :]) is not None
