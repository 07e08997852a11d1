"""What calls of our own client are given wrongly is said in words: what, where, and what to give instead."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest
from clippy_hookspecs import Message, Text

import clippy_core
from clippy_core.testing import FakeProvider, Reply


def client_of(api: str) -> tuple[clippy_core.Client, FakeProvider]:
    provider = FakeProvider(Reply("hi"))
    route = {"api": api, "base_url": "http://provider.test/v1", "key": "sk-x", "model": "m"}
    return clippy_core.Client(
        clippy_core.Host([], config={"routes": {"main": route}}), provider.client(httpx)
    ), provider


@pytest.fixture(params=["openai.chat", "anthropic.messages", "openai.responses"])
def client(request: pytest.FixtureRequest) -> tuple[clippy_core.Client, FakeProvider]:
    return client_of(request.param)


HI = {"role": "user", "content": "hi"}
WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (5, {}, "messages is a text, or a list of messages such as .* and not an int"),
    (None, {}, "messages is .* and not None"),
    (b"hi", {}, "messages is .* and not a bytes"),
    (HI, {}, r"messages is .* not one alone: give \[message\]"),
    ([HI, 5], {}, r"messages\[1\] is one such as .* and not an int"),
    (["hi"], {}, r"messages\[0\] is one such as .* and not a str"),
    ([{"role": "user", "content": object()}], {}, r"messages\[0\]\['content'\] cannot be written as JSON"),
    ("hi", {"tools": "wrong"}, "tools is a list of tools such as .* and not a str"),
    ("hi", {"tools": 5}, "tools is a list of tools such as .* and not an int"),
    ("hi", {"tools": {"type": "function"}}, r"give \[tool\]"),
    ("hi", {"tools": [5]}, r"tools\[0\] is one such as .* and not an int"),
    ("hi", {"stop": object()}, "stop cannot be written as JSON"),
    ("hi", {"stream": True}, r"for a stream call stream\(\)"),
    ("hi", {"model": 5}, "model is a text, and not an int"),
    ("hi", {"route": ["main"]}, "route is a text, and not a list"),
]


@pytest.mark.parametrize(("messages", "more", "said"), WRONG, ids=[said[:40] for _, _, said in WRONG])
def test_what_no_request_can_be_made_of_is_said_before_anything_is_sent(client, messages, more, said):
    ours, provider = client
    with pytest.raises(TypeError, match=said):
        ours.chat(messages, **more)
    assert provider.calls == 0


def test_messages_may_come_in_whatever_gives_them_one_by_one(client):
    ours, provider = client
    for given in ([HI], (HI,), iter([HI]), (one for one in (HI, Message("user", (Text("hi"),))))):
        ours.chat(given, tools=None)
    assert all(b"hi" in one.body for one in provider.requests)


def test_a_parameter_of_the_providers_own_is_sent_and_one_that_looks_misspelt_is_told_of_once(client, caplog):
    """Nobody here knows them all: it may be meant."""
    ours, provider = client
    strange = {"top_k": 3, "min_p": 0.1, "min_tokens": 2, "repetition_penalty": 1.1, "models": ["a"], "num_ctx": 9}
    with caplog.at_level(logging.WARNING, "clippy"):
        ours.chat("hi", temperature=0, **strange)
        assert caplog.records == []
        for _ in range(2):
            ours.chat("hi", temprature=0, extra_body={"a": 1})
    assert json.loads(provider.requests[0].body).items() >= strange.items()
    assert json.loads(provider.requests[1].body)["temprature"] == 0
    assert sorted(record.getMessage() for record in caplog.records) == [
        "chat(extra_body=...) is sent to the provider as a parameter of that name; "
        "every parameter goes into the body: give those in it by their names",
        "chat(temprature=...) is sent to the provider as a parameter of that name; did you mean temperature?",
    ]
