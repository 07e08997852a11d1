"""Where a request gets breakpoints or a key, and where it stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cache_talk import requests_of
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import Json
from clippy_prompt_cache import PromptCache
from clippy_prompt_cache.minimums import minimum
from clippy_retry import RetryPolicy
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.testing import Bench, Fault, Reply
from clippy_core.testing.contracts.bench import PATHS

MARK = {"type": "ephemeral"}


def sent(api: str, *bodies: Mapping[str, Any], script: Any = None, **settings: Any) -> list[dict[str, Any]]:
    """The bodies that the provider got for *bodies*."""
    settings = {"plan": "auto", "min_tokens": 0, "key_hosts": ("fake.test",), **settings}
    bench = Bench({"prompt-cache": PromptCache(**settings)}, script or Reply("Yes."))
    for body in bodies:
        assert bench.post(PATHS[api], body).status == 200
    bench.close()
    assert not bench.blamed
    return [dict(seen.fields) for seen in bench.provider.requests]


def marks(value: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every mark in a body, in its order."""
    if isinstance(value, dict):
        for name, one in value.items():
            if name == "cache_control":
                yield path, one
            else:
                yield from marks(one, f"{path}.{name}" if path else name)
    if isinstance(value, list):
        for at, one in enumerate(value):
            yield from marks(one, f"{path}[{at}]")


def in_order(body: Mapping[str, Any]) -> list[tuple[str, Json]]:
    """The marks in the order in which the provider reads."""
    return [mark for name in ("tools", "system", "messages") for mark in marks(body.get(name), name)]


def places(body: Mapping[str, Any]) -> list[str]:
    return [path for path, _ in in_order(body)]


def bare(value: Json) -> Json:
    """*value* without marks, and with strings for a content of one text: what the model reads."""
    if isinstance(value, dict):
        return {name: bare(one) for name, one in value.items() if name != "cache_control"}
    if isinstance(value, list):
        one = [bare(item) for item in value]
        plain = len(one) == 1 and isinstance(one[0], dict) and one[0].keys() == {"type", "text"}
        return one[0]["text"] if plain else one
    return value


TALK = list(requests_of("anthropic.messages", 6, "planner", calls=2))


def ask(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": list(messages), **more}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def model(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def test_by_default_no_byte_is_changed() -> None:
    bench = Bench({"prompt-cache": PromptCache()}, Reply("Yes."))
    body = json.dumps(TALK[3], indent=1).encode()
    bench.post(PATHS["anthropic.messages"], body)
    bench.close()
    assert bench.provider.requests[0].body == body


def test_breakpoints_stand_behind_tools_system_and_the_two_newest_questions() -> None:
    (got,) = sent("anthropic.messages", ask(user("a"), model("b"), user("c"), system="s", tools=TALK[0]["tools"]))
    assert places(got) == ["tools[5]", "system[0]", "messages[0].content[0]", "messages[2].content[0]"]
    assert all(mark == MARK for _, mark in marks(got))


def test_nothing_but_the_marks_is_added() -> None:
    for body, got in zip(TALK, sent("anthropic.messages", *TALK), strict=True):
        assert bare(got) == bare(body)


def test_a_first_question_is_not_marked_because_nobody_may_ever_read_it() -> None:
    (got,) = sent("anthropic.messages", ask(user("a"), system="s"))
    assert places(got) == ["system[0]"]


def test_each_request_can_read_what_the_one_before_it_wrote() -> None:
    """The provider keeps an entry for each mark, and finds it again at a mark or within twenty blocks before one."""
    many = [{"type": "tool_use", "id": f"c{one}", "name": "search_orders", "input": {}} for one in range(14)]
    back = [{"type": "tool_result", "tool_use_id": f"c{one}", "content": "found"} for one in range(14)]
    start = [user("a"), model("b"), user("c")]
    first, second = sent("anthropic.messages", ask(*start), ask(*start, model(many), user(back)))
    assert places(first)[-1] in places(second)


@pytest.mark.parametrize("own", range(5))
def test_the_callers_own_breakpoints_count_and_stay(own: int) -> None:
    body = ask(*[user([text(f"part {at}", **({"cache_control": MARK} if at < own else {}))]) for at in range(5)])
    body["messages"][1:1] = [model("b")]
    body |= {"system": "s", "tools": TALK[0]["tools"]}
    (got,) = sent("anthropic.messages", body)
    assert len(places(got)) == 4
    assert set(places(body)) <= set(places(got))


def test_a_request_with_four_of_its_own_goes_as_it_came() -> None:
    body = ask(*[user([text(str(at), cache_control=MARK)]) for at in range(4)], model("b"), user("c"), system="s")
    assert sent("anthropic.messages", body) == [body]


def test_automatic_caching_takes_one_of_the_four_and_has_the_tail() -> None:
    body = ask(user("a"), model("b"), user("c"), system="s", tools=TALK[0]["tools"], cache_control=MARK)
    (got,) = sent("anthropic.messages", body)
    assert places(got) == ["tools[5]", "system[0]"]
    assert got["cache_control"] == MARK


def test_breakpoints_in_tool_results_count_too() -> None:
    nested = [text(str(at), cache_control=MARK) for at in range(3)]
    call = {"type": "tool_use", "id": "c", "name": "n", "input": {}}
    body = ask(user("a"), model([call]), user([{"type": "tool_result", "tool_use_id": "c", "content": nested}]))
    (got,) = sent("anthropic.messages", {**body, "system": "s"})
    assert len(list(marks(got))) == 4


def test_blocks_that_may_not_carry_one_are_passed_over() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    body = ask(
        user([text("a"), text(" ")]),
        model([thought, text("b")]),
        user([text("c"), {"type": "container_upload", "file_id": "f"}]),
        system=[text("s"), text("")],
        tools=[*TALK[0]["tools"], {**TALK[0]["tools"][0], "name": "later", "defer_loading": True}],
    )
    (got,) = sent("anthropic.messages", body)
    assert places(got) == ["tools[5]", "system[0]", "messages[0].content[0]", "messages[2].content[0]"]


@pytest.mark.parametrize(("words", "expected"), [(10, []), (3000, ["system[0]"])])
def test_a_prefix_below_the_models_minimum_is_not_marked(words: int, expected: list[str]) -> None:
    (got,) = sent("anthropic.messages", ask(user("a"), system="word " * words), min_tokens=None)
    assert places(got) == expected


def test_only_what_reaches_the_minimum_is_marked() -> None:
    body = ask(user("word " * 3000), model("b"), user("c"), system="short", tools=TALK[0]["tools"][:1])
    (got,) = sent("anthropic.messages", body, min_tokens=1500)
    assert places(got) == ["messages[0].content[0]", "messages[2].content[0]"]


@pytest.mark.parametrize(
    ("model_name", "tokens"),
    [
        ("claude-opus-4-1-20250805", 1024),
        ("claude-opus-4-20250514", 1024),
        ("claude-opus-4-5", 4096),
        ("anthropic.claude-opus-4-6-v1:0", 4096),
        ("claude-opus-4-7", 2048),
        ("claude-opus-4-8", 1024),
        ("claude-opus-5", 512),
        ("claude-sonnet-4-5-20250929", 1024),
        ("claude-sonnet-5", 1024),
        ("claude-3-7-sonnet-latest", 1024),
        ("claude-3-haiku-20240307", 2048),
        ("claude-3-5-haiku@20241022", 2048),
        ("claude-haiku-4-5", 4096),
        ("claude-mythos-preview", 2048),
        ("claude-mythos-5-1", 512),
        ("claude-fable-5-1", 512),
        ("claude-opus-6-2", 512),
        ("something-else", 1024),
    ],
)
def test_the_minimum_is_the_models(model_name: str, tokens: int) -> None:
    assert minimum("anthropic.messages", model_name) == tokens


@pytest.mark.parametrize("ttl", ["5m", "1h"])
@given(own=st.lists(st.sampled_from([None, MARK, {**MARK, "ttl": "1h"}]), min_size=4, max_size=4), auto=st.booleans())
def test_never_a_fifth_and_never_an_hour_behind_five_minutes(ttl: str, own: list[Any], auto: bool) -> None:
    kept = sorted((mark for mark in own if mark), key=lambda mark: "ttl" not in mark)
    order = iter(kept)
    own = [next(order) if mark else None for mark in own]

    def marked(words: str, at: int) -> dict[str, Any]:
        return text(words, **({"cache_control": own[at]} if own[at] else {}))

    body = ask(user([marked("a", 1), text("a2")]), model([marked("b", 2)]), user([marked("c", 3), text("c2")]))
    body |= {"system": [marked("s", 0), text("s2")], "tools": TALK[0]["tools"][:1]}
    if auto and sum(mark is not None for mark in own) < 4:
        body["cache_control"] = MARK
    (got,) = sent("anthropic.messages", body, ttl=ttl)
    lives = [mark.get("ttl", "5m") for _, mark in in_order(got)]
    lives += [got["cache_control"].get("ttl", "5m")] if "cache_control" in got else []
    assert len(lives) <= 4
    assert lives == sorted(lives)  # "1h" before "5m"
    assert [mark for mark in in_order(body) if mark not in in_order(got)] == []
    assert bare(got) == bare(body)


@pytest.mark.parametrize("api", list(PATHS))
def test_every_attempt_is_the_same_bytes(api: str) -> None:
    plugin = PromptCache(plan="auto", min_tokens=0, key_hosts=("fake.test",))
    script = [Fault.status(503), Fault.status(503), Reply("Yes.")]
    bench = Bench({"prompt-cache": plugin, "retry": RetryPolicy(), "errors": ErrorClassifier()}, script)
    assert bench.post(PATHS[api], list(requests_of(api, 3, "again"))[-1]).status == 200
    bench.close()
    assert len({seen.body for seen in bench.provider.requests}) == 1
    assert len(bench.provider.requests) == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "AWS4-HMAC-SHA256 Credential=k, SignedHeaders=host, Signature=s"},
        {"content-digest": "sha-256=:x:"},
        {"signature-input": "sig=()"},
    ],
)
def test_a_signed_request_goes_as_it_was_signed(headers: dict[str, str]) -> None:
    plugin = PromptCache(plan="auto", min_tokens=0, sort_tools=True)
    bench = Bench({"prompt-cache": plugin}, Reply("Yes."))
    body = json.dumps(TALK[3]).encode()
    assert bench.post(PATHS["anthropic.messages"], body, **headers).status == 200
    bench.close()
    assert bench.provider.requests[0].body == body


OPENAI = ["openai.chat", "openai.responses"]


@pytest.mark.parametrize("api", OPENAI)
def test_a_key_is_the_same_for_a_conversation_and_another_for_another_caller(api: str) -> None:
    bodies = list(requests_of(api, 3, "key"))
    bench = Bench({"prompt-cache": PromptCache(plan="auto", key_hosts=("fake.test",))}, Reply("Yes."))
    for tenant in ("acme", "umbrella"):
        with bench.host.scope(tenant=tenant):
            for body in bodies:
                bench.post(PATHS[api], body)
    bench.close()
    keys = [seen.fields["prompt_cache_key"] for seen in bench.provider.requests]
    assert len(set(keys[:3])) == len(set(keys[3:])) == 1
    assert keys[0] != keys[3]
    assert not any(name in seen.body for seen in bench.provider.requests for name in (b"acme", b"umbrella"))
    assert "prompt_cache_retention" not in bench.provider.requests[0].fields


@pytest.mark.parametrize("api", OPENAI)
def test_the_callers_own_key_and_retention_stay(api: str) -> None:
    body = {**next(iter(requests_of(api, 1, "own"))), "prompt_cache_key": "mine", "prompt_cache_retention": "in_memory"}
    assert sent(api, body, retention="24h") == [body]
    (got,) = sent(api, {**body, "prompt_cache_options": {"ttl": "30m"}}, retention="24h")
    assert got["prompt_cache_key"] == "mine"
    (got,) = sent(api, next(iter(requests_of(api, 1, "own"))), retention="24h")
    assert got["prompt_cache_retention"] == "24h"


@pytest.mark.parametrize("api", OPENAI)
def test_other_hosts_and_short_prompts_get_no_key(api: str) -> None:
    body = next(iter(requests_of(api, 1, "other")))
    assert sent(api, body, key_hosts=("api.openai.com",)) == [body]
    short = {name: value for name, value in body.items() if name not in ("tools", "instructions")}
    short["input" if api == "openai.responses" else "messages"] = [user("Hello")]
    assert sent(api, short, min_tokens=None) == [short]


@pytest.mark.parametrize("api", list(PATHS))
def test_tools_are_sorted_only_where_that_is_asked_for(api: str) -> None:
    body = next(iter(requests_of(api, 1, "sorted")))
    body["tools"].reverse()
    assert sent(api, body, plan="off") == [body]
    (got,) = sent(api, body, plan="off", sort_tools=True)
    names = [(tool.get("function") or tool)["name"] for tool in got["tools"]]
    assert names == sorted(names)
    assert {**got, "tools": []} == {**body, "tools": []}


def test_behind_a_switch_the_other_routes_api_is_planned_for() -> None:
    route = {"base_url": "http://other.test", "api": "anthropic.messages", "key": "k", "model": "claude-sonnet-4-5"}
    config = {"routes": {"main": {"base_url": "http://fake.test/v1", "key": "k"}, "other": route}}
    plugin = PromptCache(plan="auto", key_hosts=("fake.test",))
    plugins = {"prompt-cache": plugin, "fallback": Fallback(routes=("other",)), "errors": ErrorClassifier()}
    bench = Bench(plugins, [Fault.status(500), Reply("Yes.")], **config)
    assert bench.post(PATHS["openai.chat"], list(requests_of("openai.chat", 3, "switch"))[-1]).status == 200
    bench.close()
    first, second = bench.provider.requests
    assert "prompt_cache_key" in first.fields
    assert b"cache_control" not in first.body
    assert "prompt_cache_key" not in second.fields
    assert len(list(marks(dict(second.fields)))) == 4
    assert [*plugin.statistics().lines] == [("other", "claude-sonnet-4-5")]
