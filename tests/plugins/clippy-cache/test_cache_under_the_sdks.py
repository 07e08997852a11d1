"""The official SDKs say it by a header of one call."""

from __future__ import annotations

import json

import anthropic
import openai
import pytest
from clippy_cache import CachePolicy
from clippy_cache_memory import MemoryCache

from clippy_core import Host
from clippy_core.testing import FakeServer, Reply


def host() -> Host:
    return Host({"cache": CachePolicy(keep_statistics=False), "cache-memory": MemoryCache()})


def test_openais_client_says_it_by_extra_headers() -> None:
    with FakeServer(lambda seen: Reply(f"answer {seen.number}")) as server, host() as made:
        client = made.wrap(openai.OpenAI(api_key="k", base_url=server.base_url))

        def ask(said: str | None) -> str | None:
            headers = {} if said is None else {"X-Clippy-Cache": said}
            messages = [{"role": "user", "content": "Hello"}]
            create = client.chat.completions.create
            return create(model="m", messages=messages, extra_headers=headers).choices[0].message.content

        answers = [ask(said) for said in ("no-store", None, None, "no-cache", None)]
        assert answers == [f"answer {number}" for number in (1, 2, 2, 3, 3)]
        with pytest.raises(openai.BadRequestError, match="did you mean no-store"):
            ask("nostore")
        assert server.calls == 3
        assert not [name for seen in server.requests for name in seen.headers if "clippy" in name.lower()]


def test_anthropics_client_says_it_by_extra_headers_and_meets_a_504_once() -> None:
    with FakeServer() as server, host() as made:
        client = made.wrap(anthropic.Anthropic(api_key="k", base_url=server.anthropic_url))

        def ask(text: str, said: str) -> str:
            messages = [{"role": "user", "content": text}]
            given = {"X-Clippy-Cache": said}
            answer = client.messages.create(model="m", max_tokens=9, messages=messages, extra_headers=given)
            return str(answer.content[0].text)

        with pytest.raises(anthropic.APIStatusError) as caught:
            ask("Hello", "only-if-cached")
        assert caught.value.status_code == 504
        assert "only-if-cached" in json.dumps(caught.value.body)
        assert ask("Hello", "ttl=60") == ask("Hello", "only-if-cached") == "Hello"
        assert server.calls == 1
