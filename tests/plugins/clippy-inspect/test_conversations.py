"""Which requests belong together, what each turn added, and one of them sent again."""

from __future__ import annotations

import gc
import json
from typing import Any

from attrs import evolve
from clippy_cache import CachePolicy
from clippy_cache_memory import MemoryCache
from clippy_hookspecs import Scope, Usage
from clippy_inspect.conversations import conversations
from clippy_recorder import Exchange, Message, Recorder
from hypothesis import given
from hypothesis import strategies as st
from inspect_world import Kept, Site, exchange

import clippy_core
from clippy_core.testing import FakeServer, Reply


def turn(
    number: int, messages: list[dict[str, Any]], session: str | None = None, user: str = "ada", **body: Any
) -> Exchange:
    """A request with *messages*, answered ``answer N``."""
    sent = json.dumps({"model": "m", "messages": messages, **body}).encode()
    made = exchange(number, said=f"answer {number}", scope=Scope("acme", user, session))
    attempts = tuple(evolve(one, sent=Message((), sent, len(sent))) for one in made.attempts)
    return evolve(made, came=Message((), sent, len(sent)), attempts=attempts)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


NAMES = (
    "messages", "input", "role", "type", "content", "text", "tool_calls", "function", "name", "arguments", "output",
    "system", "instructions", "previous_response_id", "id", "choices", "delta",
)  # fmt: skip
FIRST = [user("Hello")]
SECOND = [*FIRST, assistant("answer 1"), user("And then?")]
THIRD = [*SECOND, assistant("answer 2"), user("And in the end?")]


def test_requests_that_go_on_from_each_other_are_one_conversation() -> None:
    """Whatever else was asked in between."""
    found = conversations([turn(1, FIRST), turn(2, SECOND), turn(3, [user("Something else")]), turn(4, THIRD)])
    assert [[one.exchange.id for one in each.turns] for each in found] == [
        ["req-0001", "req-0002", "req-0004"], ["req-0003"]
    ]  # fmt: skip
    added = [[said.text for said in each.added] for each in found[0].turns]
    assert added == [["Hello"], ["answer 1", "And then?"], ["answer 2", "And in the end?"]]
    assert [each.answer for each in found[0].turns] == ["answer 1", "answer 2", "answer 4"]
    assert [each.tokens_in for each in found[0].turns] == [1200, 2400, 3600]


def test_an_answer_that_is_sent_again_is_named_and_not_shown_twice() -> None:
    """Each step would begin with what the one before ended with."""
    asked = [turn(1, FIRST), turn(2, SECOND), turn(4, [*SECOND, assistant("as a plugin wrote it"), user("And?")])]
    (found,) = conversations(asked)
    assert [(said.role, said.repeats) for each in found.turns for said in each.added] == [
        ("user", False), ("assistant", True), ("user", False), ("assistant", False), ("user", False)
    ]  # fmt: skip
    with Site(Kept(asked)) as site:
        page = site.get(f"/conversations/{found.id}").text
    assert (page.count("answer 1"), page.count("assistant: the answer of step 1")) == (1, 1)
    assert "as a plugin wrote it" in page


def test_a_list_of_models_is_no_conversation() -> None:
    assert conversations([exchange(1, method="GET", url="https://x.test/v1/models", came=Message())]) == []


def test_two_callers_never_share_a_conversation() -> None:
    """Though both begin with the same words."""
    assert len(conversations([turn(1, FIRST), turn(2, SECOND, user="bob")])) == 2


def test_the_same_first_words_hold_nothing_together() -> None:
    """Strangers say hello; no answer is common to them, whether they failed, were answered, or a cache did that."""
    failed = [evolve(turn(number, FIRST), state="failed", answered=None, attempts=()) for number in (1, 2, 3)]
    cached = [evolve(turn(number, FIRST), state="cached") for number in (4, 5)]
    assert [len(one.turns) for one in conversations([*failed, *cached, turn(6, FIRST)])] == [1] * 6


def test_what_another_was_answered_is_not_gone_on_from() -> None:
    """It begins with the same question, and with an answer that nobody here got."""
    other = [*FIRST, assistant("an answer of elsewhere"), user("And then?")]
    assert len(conversations([turn(1, FIRST), turn(2, other)])) == 2
    asked = [turn(1, FIRST), turn(2, FIRST), turn(3, [*FIRST, assistant(" answer 1\n"), user("And then?")])]
    assert [[one.exchange.id for one in each.turns] for each in conversations(asked)] == [
        ["req-0001", "req-0003"], ["req-0002"]
    ]  # fmt: skip


def test_an_answer_id_of_another_caller_is_not_gone_on_from() -> None:
    """Whoever names it."""
    said = json.dumps({"id": "resp_1", "output": []}).encode()
    first = turn(1, FIRST)
    first = evolve(
        first, api="openai.responses", attempts=(evolve(first.attempts[0], answer=Message((), said, 9, 200)),)
    )
    second = evolve(turn(2, [user("And?")], user="bob", previous_response_id="resp_1"), api="openai.responses")
    assert len(conversations([first, second])) == 2


def test_a_step_that_is_tried_again_is_the_same_step() -> None:
    """After a failure, or to be answered by a cache: it is no next one."""
    failed = evolve(turn(2, SECOND), state="failed", answered=None)
    [one] = conversations(
        [turn(1, FIRST), failed, turn(3, SECOND), turn(4, [*SECOND, assistant("answer 3"), user("!")])]
    )
    assert [(each.number, each.again) for each in one.turns] == [(1, False), (2, False), (2, True), (3, False)]
    with Site(Kept([each.exchange for each in one.turns])) as site:
        page = site.get(f"/conversations/{one.id}").text
        told = site.get(f"/api/conversations/{one.id}").json()["turns"]
    assert (page.count(">Step 2<"), page.count(">Step 2, tried again<"), page.count(">Step 3<")) == (1, 1, 1)
    assert [each["step"] for each in told] == [1, 2, 2, 3]


def test_tool_calls_are_an_answer_that_is_gone_on_from() -> None:
    """By their names: clients write the arguments anew."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]}
    made = json.dumps(
        {"choices": [{"message": {**call, "tool_calls": [{"function": {"name": "look", "arguments": "{ }"}}]}}]}
    )
    first = turn(1, FIRST)
    first = evolve(first, answered=Message((), made.encode(), 9, 200), pieces=())
    result = {"role": "tool", "content": "found", "tool_call_id": "1"}
    assert [len(one.turns) for one in conversations([first, turn(2, [*FIRST, call, result])])] == [2]


def test_a_cached_repeat_is_a_step_of_the_conversation_that_it_repeats() -> None:
    """And not one of its own, of no tokens; asked of the provider again, the same words begin another one."""
    repeat = evolve(turn(3, SECOND), state="cached")
    [one] = conversations([turn(1, FIRST), turn(2, SECOND), repeat, turn(4, THIRD)])
    assert [each.exchange.id for each in one.turns] == ["req-0001", "req-0002", "req-0003", "req-0004"]
    assert ([each.tokens_in for each in one.turns], one.cached) == ([1200, 2400, 2400, 3600], 1)
    assert len(conversations([turn(1, FIRST), turn(2, FIRST)])) == 2


def test_a_cached_repeat_of_what_is_no_longer_kept_says_where_it_came_from() -> None:
    with Site(Kept([evolve(turn(1, FIRST), state="cached")])) as site:
        assert "1 from a cache" in site.get("/conversations").text


def test_tokens_that_were_counted_here_are_marked_as_a_guess() -> None:
    """In conversations and on the dashboard, where one of them makes a guess of the sum."""
    guess = evolve(turn(1, FIRST), usage=Usage(1200, 40, estimated=True))
    with Site(Kept([guess, turn(2, SECOND)])) as site:
        assert "about 2\u2009400" in site.get("/conversations").text
        assert "about 2\u2009400" in site.get("/dashboard").text
        assert site.get("/api/conversations").json()["conversations"][0]["estimated"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(anything, anything)
def test_a_request_of_any_shape_is_shown_and_hides_no_other(body: Any, answer: Any) -> None:
    """A caller sends what it likes, and the list is of all of them."""
    sent = Message((), json.dumps(body).encode(), 9)
    odd = evolve(exchange(2), came=sent, answered=Message((), json.dumps(answer).encode(), 9), attempts=())
    found = [conversation.title for conversation in conversations([turn(1, FIRST), odd])]
    assert "Hello" in found
    assert len(found) == 2


def test_a_session_holds_together_what_was_said_in_it() -> None:
    """Also where the messages do not go on from each other."""
    (one,) = conversations([turn(1, FIRST, "s1"), turn(2, [user("Another matter")], "s1")])
    assert (one.why, len(one.turns)) == ("one session", 2)


def test_messages_that_plugins_left_out_are_counted() -> None:
    """What came in against what went out."""
    whole = turn(1, THIRD)
    short = json.dumps({"model": "m", "messages": THIRD[-1:]}).encode()
    cut = evolve(whole, attempts=(evolve(whole.attempts[0], sent=Message((), short, len(short))),))
    (one,) = conversations([cut])
    assert one.turns[0].cut == 4


def test_answers_of_the_responses_api_are_gone_on_from_by_their_id() -> None:
    """The messages are the provider's affair there."""
    said = json.dumps({"id": "resp_1", "output": []}).encode()
    first = turn(1, [user("Hello")])
    first = evolve(
        first, api="openai.responses", attempts=(evolve(first.attempts[0], answer=Message((), said, 9, 200)),)
    )
    second = evolve(turn(2, [user("And?")], previous_response_id="resp_1"), api="openai.responses")
    assert len(conversations([first, second])) == 1


def test_tool_calls_and_results_are_shown_as_what_they_are() -> None:
    """With the name and the arguments."""
    call = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "look", "arguments": '{"at": "x"}'}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "found"}]}
    (one,) = conversations([turn(1, [user("Look"), call, result])])
    assert [(said.kind, said.name, said.text) for said in one.turns[0].added] == [
        ("text", "", "Look"), ("tool call", "look", '{"at": "x"}'), ("tool_result", "", "found")
    ]  # fmt: skip


def test_whatever_a_body_is_there_is_a_page() -> None:
    """Nothing that a caller sends breaks it, and nothing in it is markup."""
    bodies = [b"", b"{", b"[]", b"null", b'{"messages": 3}', b'{"messages": [null, 1, {"content": [1, {"text": 5}]}]}']
    strange = [evolve(exchange(n), came=Message((), body, 3), attempts=()) for n, body in enumerate(bodies)]
    evil = turn(99, [user("<img src=x onerror=alert(1)>")])
    with Site(Kept([*strange, evil])) as site:
        text = site.get("/conversations").text + site.get("/conversations/req-0099").text
        assert site.get("/conversations/nothing").status_code == 404
        assert len(site.get("/api/conversations").json()["conversations"]) == 7
    assert "<img" not in text


def test_a_recorded_request_is_sent_again_and_compared() -> None:
    """On the route that answered then, with that route's key; what differs is told.  No connection is left behind."""
    told, missing = _sent_again()
    gc.collect()
    assert (told["same"], told["now"]["text"]) == (False, "It rains.\nStill.")
    assert "+Still." in told["difference"]
    assert missing == 404


def _sent_again() -> tuple[Any, int]:
    with FakeServer(Reply("It rains.\nStill.")) as server:
        config = {"routes": {"primary": {"base_url": server.base_url, "key": "sk-of-the-route"}}}
        host = clippy_core.Host([Recorder(enabled=True)], config=config)
        with host, Site(Kept([exchange(1)]), host=host) as site:
            told = site.post("/api/replay", json={"id": "req-0001"}).json()
            missing = site.post("/api/replay", json={"id": "another"})
        assert server.requests[0].headers["authorization"] == "Bearer sk-of-the-route"
    return told, missing.status_code


def test_what_is_sent_again_is_answered_by_the_provider_and_by_no_cache() -> None:
    """Whatever is kept of the answer before, nobody would learn whether the provider says another thing now."""
    with FakeServer([Reply("It rains."), Reply("It snows.")]) as server:
        config = {"routes": {"primary": {"base_url": server.base_url, "key": "sk-of-the-route"}}}
        host = clippy_core.Host([Recorder(enabled=True), CachePolicy(), MemoryCache()], config=config)
        with host, Site(Kept([exchange(1)]), host=host) as site:
            said = [site.post("/api/replay", json={"id": "req-0001"}).json()["now"]["text"] for _ in range(2)]
    assert said == ["It rains.", "It snows."]


def test_without_a_host_nothing_is_sent() -> None:
    """These are the pages of a recording."""
    with Site(Kept([exchange(1)])) as site:
        assert site.post("/api/replay", json={"id": "req-0001"}).status_code == 409


def test_a_step_that_failed_says_why_and_one_that_asks_the_same_says_so() -> None:
    broken = evolve(
        turn(2, SECOND), state="failed", answered=None, attempts=(), error={"kind": "quota", "message": "spent"}
    )
    with Site(Kept([turn(1, FIRST), broken, turn(3, SECOND)])) as site:
        page = site.get("/conversations/req-0001").text
    assert "Step 2, tried again" in page
    assert '<p class="fault wrap">quota: spent</p>' in page
    assert '<span class="state bad">failed</span>' in page
