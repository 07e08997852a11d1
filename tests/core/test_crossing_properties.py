"""Any conversation, sent to a route of any wire API: nothing of it is lost, and the provider can take it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from clippy_hookspecs import Headers, Message, Request
from conversations import PATHS, Asked, Shown, body_of, conversations, told, words
from hypothesis import given, settings
from hypothesis import strategies as st

from clippy_core.config import RouteConfig
from clippy_core.config_values import Secret
from clippy_core.routes import obstacle, redirect
from clippy_core.wire import decode_request, encode_request

PAIRS = [(a, b) for a in PATHS for b in PATHS]
IDS = st.lists(st.sampled_from(["call_", "toolu_01", "functions.look:", "x" * 60, "a b/"]), min_size=1, max_size=3)


def sent(api: str, body: dict[str, Any]) -> Request:
    raw = json.dumps(body).encode()
    headers = Headers([("authorization", "Bearer sk-caller"), ("content-type", "application/json")])
    return decode_request("POST", f"https://a.test/v1{PATHS[api]}", "", headers, raw)


def elsewhere(api: str) -> RouteConfig:
    return RouteConfig(api=api, base_url="https://b.test/v1", key=Secret("sk-other"), model="other")


@pytest.mark.parametrize(("api", "other"), PAIRS)
@settings(max_examples=40)
@given(conversations(), words, IDS)
def test_texts_calls_results_and_images_cross_and_nothing_that_is_bound(
    api: str, other: str, turns: list[Any], system: str, ids: list[str]
) -> None:
    if api == "anthropic.messages":  # as it demands of its own callers
        ids = ["toolu_"]
    body = body_of(api, turns, system, [one[:30] for one in ids] if api == "openai.chat" else ids)
    request = sent(api, body)
    before = encode_request(request)
    assert obstacle(request, elsewhere(other)) is None

    moved = json.loads(encode_request(redirect(request, elsewhere(other))))

    assert encode_request(request) == before
    was, got = told(api, body), told(other, moved)
    assert got.faults == []
    assert got.system == was.system
    assert got.model == was.model or "".join(got.model) == "".join(was.model)
    kept = [(name, given_, [one for one in found if isinstance(one, str)]) for name, given_, found in was.pairs()]
    assert [(n, g, [o for o in f if isinstance(o, str) and o]) for n, g, f in got.pairs()] == [
        (n, g, [o for o in f if o]) for n, g, f in kept
    ]
    said = [one for turn in turns if isinstance(turn, Asked) for one in turn.parts]
    assert [one for one in got.user if not _is_label(one)][-len(turns[-1].parts) :] == turns[-1].parts
    assert [one for one in got.user if isinstance(one, str) and not _is_label(one)] == [
        one for one in said if isinstance(one, str)
    ]
    assert _images(got) == _images(was)


def _is_label(one: Any) -> bool:
    return isinstance(one, str) and one.startswith("What the tool call ") and one.endswith(" showed:")


def _images(found: Any) -> int:
    inside = [one for result in found.results.values() for one in result]
    return sum(isinstance(one, Shown) for one in (*found.user, *inside))


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["type", "role", "content", "id", "call_id", "tool_calls", "text", "name", "source", "x"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(("api", "other"), PAIRS)
@given(
    st.lists(json_values, max_size=4),
    st.lists(json_values, max_size=2),
    st.dictionaries(
        st.sampled_from(
            ["n", "stop", "tool_choice", "response_format", "text", "output_config", "temperature", "thinking", "audio",
             "container", "functions", "parallel_tool_calls", "modalities", "stop_sequences", "max_tokens", "prompt",
             "top_p"]
        ),
        json_values,
    ),
)  # fmt: skip
def test_whatever_a_body_says_nothing_raises_and_it_stays_as_it_is(
    api: str, other: str, messages: list[Any], tools: list[Any], params: dict[str, Any]
) -> None:
    field = "input" if api == "openai.responses" else "messages"
    request = sent(api, {**params, "model": "m", field: messages, "tools": tools})
    before = encode_request(request)
    why = obstacle(request, elsewhere(other))
    assert why is None or isinstance(why, str)
    moved = redirect(request, elsewhere(other))
    json.loads(encode_request(moved))
    assert encode_request(request) == before


def test_a_conversation_of_ones_own_values_crosses_as_well() -> None:
    assert redirect(Request("openai.chat", messages=(Message("user"),)), elsewhere("anthropic.messages")).messages == ()
