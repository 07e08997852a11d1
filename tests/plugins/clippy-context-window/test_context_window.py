"""Which messages stay within a token budget, on examples."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, cast

import pytest
from clippy_context_window import PINNED, ContextWindow
from clippy_hookspecs import (
    ContextBudgetError,
    Headers,
    Json,
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
    Tool,
    ToolCall,
    ToolResult,
    evolve,
)

from clippy_core.portal import Portal
from clippy_core.registry import Registry, ServicesView
from clippy_core.testing import VirtualClock
from clippy_core.tokens import HeuristicTokenCounter
from clippy_core.wire import APIS, decode_request

COUNTER = HeuristicTokenCounter()
WORDS = "the quick brown fox jumps over the lazy dog and runs away "  # 12 tokens


def context() -> RequestContext:
    registry = Registry()
    registry.offer(TokenCounter, COUNTER)
    services = ServicesView(registry, Portal(), sync=True)
    return RequestContext("1", Scope(), VirtualClock(), services, RouteInfo("r"), flow=cast("Any", None))


def cut(
    messages: list[Message],
    budget: int | None = None,
    ctx: RequestContext | None = None,
    request: Request | None = None,
    **settings: Any,
) -> list[Message]:
    """What the plugin leaves of *messages*."""
    before = evolve(request or Request(api="openai.chat", model="gpt-4o"), messages=tuple(messages))
    after = ContextWindow(**settings).compress_context(before, budget, ctx or context())
    return list(messages if after is None else after.messages)


def tokens(messages: list[Message]) -> int:
    return 3 + sum(COUNTER.count_message(message) for message in messages)


def said(role: str, label: str, words: int = 1) -> Message:
    return Message(role, (Text(f"{label}: {WORDS * words}"),))


def call(*ids: str, text: str = "") -> Message:
    words = (Text(text),) if text else ()
    return Message("assistant", (*words, *(ToolCall(name, "look", '{"at": "this"}') for name in ids)))


def tool(name: str, words: int = 1) -> Message:
    return Message("tool", (ToolResult(name, (Text(WORDS * words),)),))


SYSTEM = said("system", "rules")
CHAT = [SYSTEM, *[said(role, f"{role} {turn}") for turn in range(20) for role in ("user", "assistant")][:-1]]
AGENT = [SYSTEM, said("user", "task")]
for step in range(20):
    AGENT += [call("call_0", "call_1", text=f"step {step}"), tool("call_0"), tool("call_1")]


# --- whether ----------------------------------------------------------------------------------------------------------


def test_without_a_limit_nothing_happens() -> None:
    """Installed means active, but limits wait for their settings."""
    request = Request(api="openai.chat", messages=tuple(CHAT))
    assert ContextWindow().compress_context(request, None, context()) is None


def test_what_fits_is_left_alone() -> None:
    """Exactly as much as allowed is not too much; one token more is."""
    assert cut(CHAT, tokens(CHAT)) == CHAT
    assert cut(CHAT, tokens(CHAT) - 1) != CHAT


def test_the_smaller_of_route_and_setting_counts() -> None:
    """Both are limits."""
    assert tokens(cut(CHAT, 10_000, max_tokens=200)) <= 200
    assert tokens(cut(CHAT, 200, max_tokens=10_000)) <= 200


def test_a_small_body_from_the_wire_is_not_counted() -> None:
    """A body of so few bytes cannot have so many tokens: no service is asked."""
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()
    request = decode_request("POST", "http://x/v1/chat/completions", "", Headers(), body)
    ctx = context()
    ctx.services = ServicesView(Registry(), Portal(), sync=True)
    assert ContextWindow().compress_context(request, 4000, ctx) is None


def test_an_image_is_counted_however_small_the_body_is() -> None:
    """An address of forty bytes may stand for a thousand tokens."""
    parts = [{"type": "image_url", "image_url": {"url": "http://x/a.png"}}]
    chat = [{"role": "user", "content": parts}, {"role": "assistant", "content": "A cat."}]
    body = json.dumps({"model": "gpt-4o", "messages": [*chat, *chat, {"role": "user", "content": "And?"}]}).encode()
    request = decode_request("POST", "http://x/v1/chat/completions", "", Headers(), body)
    after = ContextWindow().compress_context(request, 1500, context())
    assert after is not None
    assert list(after.messages) == list(request.messages[2:])


# --- the reserve ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_room_for_the_answer_is_what_the_request_asks_for(name: str) -> None:
    """The window holds input and answer."""
    limit = tokens(CHAT) + 100
    small, large = (Request(model="gpt-4o", params={name: value}) for value in (100, 101))
    assert cut(CHAT, request=small, max_tokens=limit) == CHAT
    assert cut(CHAT, request=large, max_tokens=limit) != CHAT


def test_a_set_reserve_counts_instead_of_the_requests() -> None:
    """The setting wins."""
    request = Request(model="gpt-4o", params={"max_tokens": 100_000})
    assert cut(CHAT, request=request, max_tokens=tokens(CHAT) + 5, reserve=5) == CHAT
    assert cut(CHAT, request=request, max_tokens=tokens(CHAT) + 5, reserve=6) != CHAT


def test_a_request_may_reserve_half_of_the_window_at_most() -> None:
    """Callers ask for more than fits; that must not empty the conversation."""
    request = Request(model="gpt-4o", params={"max_tokens": 100_000})
    assert cut(CHAT, request=request, max_tokens=2 * tokens(CHAT)) == CHAT


def test_nothing_is_reserved_from_the_budget_of_the_route() -> None:
    """It is of input tokens."""
    assert cut(CHAT, tokens(CHAT), request=Request(model="gpt-4o", params={"max_tokens": 500})) == CHAT


def test_tools_and_instructions_outside_the_messages_count() -> None:
    """Their schemas are a part of the prompt."""
    tool_schema = Tool("look", WORDS * 10, {"type": "object", "properties": {"at": {"type": "string"}}})
    with_tools = Request(model="gpt-4o", tools=(tool_schema,))
    with_instructions = Request(api="openai.responses", model="gpt-4o", params={"instructions": WORDS * 10})
    for request in (with_tools, with_instructions):
        assert cut(CHAT, tokens(CHAT) + 60, request=request) != CHAT
        assert cut(CHAT, tokens(CHAT) + 300, request=request) == CHAT


def test_a_reserve_that_leaves_nothing_is_a_wrong_setting() -> None:
    """It stops at start-up with both numbers."""
    with pytest.raises(ValueError, match=r"reserve \(100\) must be less than max_tokens \(100\)"):
        ContextWindow(max_tokens=100, reserve=100)


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 0}, {"target": 0}, {"target": 1.1}, {"pin_text": ("",)}, {"on_overflow": "x"}]
)
def test_wrong_settings_are_errors(wrong: dict[str, Any]) -> None:
    """An empty pin text would pin everything."""
    with pytest.raises(ValueError):
        ContextWindow(**wrong)


# --- what stays -------------------------------------------------------------------------------------------------------


def test_instructions_and_the_newest_turns_stay_in_order() -> None:
    """The oldest turns go."""
    kept = cut(CHAT, 300)
    assert kept[0] is SYSTEM
    assert kept[1].role == "user"
    assert kept[1:] == CHAT[len(CHAT) - len(kept) + 1 :]
    assert len(kept) > 3


def test_instructions_stay_wherever_they_stand() -> None:
    """Reminders in the middle and developer messages are instructions as well."""
    reminder, developer = said("system", "reminder"), said("developer", "style")
    messages = [developer, *CHAT[:9], reminder, *CHAT[9:]]
    kept = cut(messages, 250)
    assert kept[0] is developer
    assert kept[1] is SYSTEM
    assert kept[2] is reminder
    assert len(kept) < len(messages)


def test_a_summary_made_by_the_provider_stays() -> None:
    """Without its compaction item a Responses conversation would lose all that came before."""
    summary = Message("assistant", (Opaque("compaction", {"type": "compaction", "encrypted_content": "x" * 40}),))
    assert cut([summary, *CHAT[1:]], 250)[0] is summary


def test_a_cut_conversation_begins_with_the_user() -> None:
    """Anthropic and others refuse an assistant message first; a greeting goes with the first turn."""
    greeting = said("assistant", "greeting")
    kept = cut([SYSTEM, greeting, *CHAT[1:]], 300)
    assert greeting not in kept
    assert kept[1].role == "user"


def test_the_last_user_message_stays_however_many_rounds_follow() -> None:
    """An agent's task is the one message that it cannot do without; the oldest rounds go."""
    kept = cut(AGENT, 600)
    assert kept[:2] == AGENT[:2]
    assert kept[2:] == AGENT[len(AGENT) - len(kept) + 2 :]
    assert kept[2].tool_calls
    assert 2 < len(kept) < len(AGENT)


def test_parallel_calls_go_with_all_their_results() -> None:
    """Three messages of each round, or none."""
    for budget in range(0, tokens(AGENT), 17):
        assert (len(cut(AGENT, budget)) - 2) % 3 == 0


def test_the_newest_round_stays() -> None:
    """Without the newest results the model would ask for them again, for ever."""
    messages = [*AGENT, call("last"), tool("last", words=30)]
    assert cut(messages, 100)[-2:] == messages[-2:]


def test_reasoning_items_stay_with_their_calls() -> None:
    """The Responses API refuses a call without its reasoning item, and the reverse."""
    thought = [Message("assistant", (Reasoning(f"thought {step}", f"sig{step}"),)) for step in range(10)]
    messages = [said("user", "task")]
    for step in range(10):
        messages += [thought[step], call(f"a{step}"), tool(f"a{step}"), call(f"b{step}"), tool(f"b{step}")]
    sizes = set()
    for budget in range(50, tokens(messages), 23):
        kept = cut(messages, budget)
        sizes.add(len(kept))
        assert (len(kept) - 1) % 5 == 0
        assert kept[1] in thought
    assert len(sizes) > 3


def test_results_that_come_after_other_words_hold_everything_between() -> None:
    """A slow tool answers when the user has long asked something else."""
    slow = [call("slow"), said("user", "meanwhile"), said("assistant", "of course"), tool("slow")]
    messages = [SYSTEM, said("user", "begin"), *slow, *CHAT[1:]]
    for budget in range(0, tokens(messages), 19):
        assert sum(message in slow for message in cut(messages, budget)) in (0, 4)


def test_user_messages_that_bring_results_are_no_turns() -> None:
    """Anthropic has results in user messages: a conversation may not begin with them."""
    messages = [SYSTEM, said("user", "task")]
    for step in range(10):
        result = ToolResult(f"t{step}", (Text(WORDS),))
        messages += [call(f"t{step}"), Message("user", (result,))]
    for budget in range(0, tokens(messages), 13):
        kept = cut(messages, budget)
        assert kept[1] is messages[1]
        assert len(kept) % 2 == 0


def test_words_of_the_user_beside_results_count_as_his_last_words() -> None:
    """They are kept with their round, and with a user message to begin with."""
    messages = [said("user", "task")]
    for step in range(10):
        words = (Text("Now look at the other file."),) if step == 4 else ()
        messages += [call(f"t{step}"), Message("user", (ToolResult(f"t{step}", (Text(WORDS),)), *words))]
    kept = cut(messages, 100)
    assert kept[0] is messages[0]
    assert messages[10] in kept


# --- pins -------------------------------------------------------------------------------------------------------------


def test_the_first_messages_can_be_pinned() -> None:
    """The task of a long chat is often its first message."""
    kept = cut(CHAT, 300, pin_first=2)
    assert kept[1:3] == CHAT[1:3]
    assert tokens(kept) <= 300


def test_messages_with_a_text_can_be_pinned() -> None:
    """What is pinned stays with its turn's user message, so that nothing begins with an answer."""
    kept = cut(CHAT, 300, pin_text=("assistant 5",))
    assert CHAT[11] in kept
    assert CHAT[12] in kept
    assert kept[1] is CHAT[11]


def test_a_pinned_call_keeps_its_results() -> None:
    """Pinning half of a pair pins the pair."""
    kept = cut(AGENT, 400, pin_text=("step 3",))
    place = kept.index(AGENT[11])
    assert kept[place : place + 3] == AGENT[11:14]


def test_another_plugin_can_pin() -> None:
    """By a predicate in the stash; messages themselves have no place for it that providers accept."""
    ctx = context()
    ctx.stash.setdefault(PINNED, list).append(lambda message: "user 7" in message.text)
    assert CHAT[15] in cut(CHAT, 300, ctx)


# --- when it does not fit ---------------------------------------------------------------------------------------------


def test_what_must_stay_is_sent_alone_when_it_is_too_large() -> None:
    """The count is an estimate: the provider has the last word."""
    messages = [*CHAT, said("assistant", "a"), said("user", "long", words=50)]
    assert cut(messages, 100) == [SYSTEM, messages[-1]]


def test_it_can_be_refused() -> None:
    """The refusal says how much is needed and what to do, the cause has the numbers."""
    messages = [*CHAT, said("assistant", "a"), said("user", "long", words=50)]
    with pytest.raises(Refusal, match="100 are allowed: shorten them, pin less") as caught:
        cut(messages, 100, on_overflow="refuse")
    assert (caught.value.status, caught.value.code) == (400, "context_budget")
    assert isinstance(caught.value.__cause__, ContextBudgetError)
    assert caught.value.__cause__.needed == tokens([SYSTEM, messages[-1]])
    assert caught.value.__cause__.budget == 100


def test_instructions_alone_can_be_too_large() -> None:
    """There is nothing to drop, and it is refused or sent as it is."""
    assert cut([SYSTEM], 5) == [SYSTEM]
    with pytest.raises(Refusal):
        cut([SYSTEM], 5, on_overflow="refuse")


# --- the prompt cache -------------------------------------------------------------------------------------------------


def test_the_cut_stays_where_it_is_for_many_turns() -> None:
    """The prefix of the requests changes every few turns only, not with each of them (features.md P8)."""
    chat = [SYSTEM, *(said(role, f"{role} {turn}") for turn in range(80) for role in ("user", "assistant"))]
    requests = [cut(chat[:end], 600) for end in range(2, len(chat), 2)]
    assert all(tokens(request) <= 600 for request in requests)
    moved = sum(new[: len(old)] != old for old, new in pairwise(requests))
    sliding = [cut(chat[:end], 600, target=1.0) for end in range(2, len(chat), 2)]
    slid = sum(new[: len(old)] != old for old, new in pairwise(sliding))
    assert slid > 50
    assert moved <= 12


def test_a_cut_leaves_the_share_of_the_room_that_was_asked_for() -> None:
    """Room is what instructions and the newest turn leave."""
    for target in (0.3, 0.6, 0.9):
        kept = cut(CHAT, tokens(CHAT) - 1, target=target)
        assert tokens(kept) <= 45 + 34 + target * tokens(CHAT)
        assert tokens(kept) >= target * tokens(CHAT) - 40


# --- on the wire ------------------------------------------------------------------------------------------------------


def _bodies() -> dict[str, tuple[str, dict[str, Json], str]]:
    chat: list[Json] = [{"role": "system", "content": WORDS}]
    claude: list[Json] = []
    items: list[Json] = []
    for turn in range(12):
        ask, call_id, result = f"{turn} {WORDS}", f"call_{turn % 2}", f"found {WORDS}"
        function = {"name": "look", "arguments": '{"at": 1}'}
        use = {"type": "tool_use", "id": call_id, "name": "look", "input": {"at": 1}, "cache_control": None}
        chat += [{"role": "user", "content": ask, "name": "ana"}]
        chat += [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": call_id, "type": "function", "function": function}],
            }
        ]
        chat += [
            {"role": "tool", "tool_call_id": call_id, "content": result},
            {"role": "assistant", "content": "Done."},
        ]
        claude += [{"role": "user", "content": ask}, {"role": "assistant", "content": [use]}]
        claude += [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": result}]}]
        claude += [{"role": "assistant", "content": "Done."}]
        items += [{"role": "user", "content": ask}, {"type": "reasoning", "id": f"rs_{turn}", "summary": []}]
        items += [{"type": "function_call", "id": f"fc_{turn}", "call_id": call_id, **function}]
        items += [{"type": "function_call_output", "call_id": call_id, "output": result}]
        items += [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}]
    model = {"model": "gpt-4o", "temperature": 0.0}
    return {
        "openai.chat": ("chat/completions", {**model, "messages": chat}, "messages"),
        "anthropic.messages": ("messages", {**model, "system": WORDS, "max_tokens": 9, "messages": claude}, "messages"),
        "openai.responses": ("responses", {**model, "instructions": WORDS, "input": items}, "input"),
    }


@pytest.mark.parametrize("api", ["openai.chat", "anthropic.messages", "openai.responses"])
def test_what_is_kept_leaves_as_the_json_that_came(api: str) -> None:
    """Only messages are missing; all else in the body is as it was, in the three APIs."""
    path, body, key = _bodies()[api]
    request = decode_request("POST", f"https://x.test/v1/{path}", "", Headers(), json.dumps(body).encode())
    after = ContextWindow().compress_context(request, 400, context())
    assert after is not None
    sent = APIS[api].request_body(after)
    kept = sent.pop(key)
    whole = body.pop(key)
    assert sent == body
    system = [message for message in whole if message.get("role") == "system"]
    rest = iter(whole)
    assert all(message in rest for message in kept)
    assert kept[: len(system)] == system
    assert kept[len(system)]["role"] == "user"
    assert len(system) < len(kept) < len(whole)


def test_the_provider_gets_what_was_kept(sync_caller: Any) -> None:
    """Through a whole host, with the limit of its route."""
    chat = [{"role": message.role, "content": message.text} for message in CHAT]
    sync_caller.start([ContextWindow()], routes={"main": {"base_url": "http://fake.test/v1", "context_tokens": 300}})
    sync_caller.chat(chat, model="gpt-4o")
    sent = json.loads(sync_caller.provider.requests[-1].body)["messages"]
    assert sent == [{"role": message.role, "content": message.text} for message in cut(CHAT, 300)]
    assert [(call.plugin, call.action) for call in sync_caller.records.last.trace] == [("context-window", "changed")]
