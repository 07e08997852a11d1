"""The official SDKs, whose requests are planned, compared and counted."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest
from cache_talk import requests_of
from clippy_hookspecs import Usage
from clippy_prompt_cache import Counts, PromptCache

from clippy_core import Host
from clippy_core.testing import FakeServer, Reply

USED = Usage(3000, 10, 2000, 500)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(Reply("Yes.", usage=USED)) as server:
        yield server


def test_anthropics_requests_get_their_marks_and_are_counted(server: FakeServer) -> None:
    cache = PromptCache(plan="auto", min_tokens=0, lint=True)
    with Host({"prompt-cache": cache}) as host:
        client = host.wrap(anthropic.Anthropic(api_key="k", base_url=server.base_url.removesuffix("/v1")))
        for body in requests_of("anthropic.messages", 3, "sdk"):
            answer = client.messages.create(**body)
            assert answer.content[0].text == "Yes."
        with client.messages.stream(**body) as stream:
            assert stream.get_final_text() == "Yes."
    assert [seen.body.count(b'"cache_control"') for seen in server.requests] == [2, 4, 4, 4]
    assert cache.statistics().lines == {("", "claude-sonnet-5"): Counts(4, 0, 12000, 8000, 2000)}
    assert cache.findings() == ()


def test_openais_requests_get_a_key_and_are_counted(server: FakeServer) -> None:
    cache = PromptCache(plan="auto", key_hosts=("127.0.0.1",), lint=True)
    with Host({"prompt-cache": cache}) as host:
        client = host.wrap(openai.OpenAI(api_key="k", base_url=server.base_url))
        for body in requests_of("openai.responses", 3, "sdk"):
            assert client.responses.create(**body).output_text == "Yes."
        for body in requests_of("openai.chat", 3, "sdk"):
            assert client.chat.completions.create(**body).choices[0].message.content == "Yes."
    keys = [seen.fields["prompt_cache_key"] for seen in server.requests]
    assert len({*keys[:3]}) == len({*keys[3:]}) == 1
    assert cache.statistics().total == Counts(6, 0, 18000, 12000, 1500)  # the fake chat says nothing of writes
    assert cache.findings() == ()
