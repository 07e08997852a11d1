"""A stream that broke and was gone on with, as the official SDKs read it."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import openai
import pytest
from attrs import define
from clippy_hookspecs import Continue, ErrorInfo, hookimpl

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply

TEXT = "one two three four five six"
ASKED: Any = [{"role": "user", "content": "Hello"}]
FAULTS = [Fault.reset(at_delta=3), Fault.error_event(at_delta=3), Fault.truncated_json(at_delta=3)]


@define(eq=False)
class GoOn:
    @hookimpl
    def on_error(self, error: ErrorInfo) -> Continue:
        return Continue(0.0, "prompt")


def clients(fault: Fault) -> tuple[openai.OpenAI, anthropic.Anthropic]:
    """Both SDKs over a provider that breaks each first stream."""
    provider = FakeProvider([[fault, Reply(TEXT)], Reply("three four five six")])
    host = clippy_core.Host({"go-on": GoOn()})
    http = httpx2.Client(transport=provider.transport(httpx2))
    one = openai.OpenAI(api_key="k", base_url="http://fake.test/v1", http_client=http, max_retries=0)
    other = anthropic.Anthropic(api_key="k", base_url="http://fake.test", http_client=http, max_retries=0)
    return host.wrap(one), host.wrap(other)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
class TestContinued:
    def test_openai_chat(self, fault: Fault) -> None:
        client, _ = clients(fault)
        chunks = list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
        assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
        assert len({chunk.id for chunk in chunks}) == 1

    def test_openai_chat_with_the_helper(self, fault: Fault) -> None:
        client, _ = clients(fault)
        with client.chat.completions.stream(model="m", messages=ASKED) as stream:
            final = stream.get_final_completion()
        assert final.choices[0].message.content == TEXT
        assert final.choices[0].finish_reason == "stop"

    def test_openai_responses(self, fault: Fault) -> None:
        client, _ = clients(fault)
        with client.responses.create(model="m", input="Hello", stream=True) as events:
            kept = list(events)
        assert "".join(event.delta for event in kept if event.type == "response.output_text.delta") == TEXT
        assert [event.text for event in kept if event.type == "response.output_text.done"] == [TEXT]
        assert kept[-1].type == "response.completed"
        assert kept[-1].response.output_text == TEXT
        numbers = [event.sequence_number for event in kept]
        assert numbers == sorted(set(numbers))

    def test_openai_responses_with_the_helper(self, fault: Fault) -> None:
        client, _ = clients(fault)
        with client.responses.stream(model="m", input="Hello") as stream:
            final = stream.get_final_response()
        assert final.output_text == TEXT
        assert final.status == "completed"

    def test_anthropic_messages(self, fault: Fault) -> None:
        _, client = clients(fault)
        with client.messages.stream(model="m", max_tokens=99, messages=ASKED) as stream:
            assert "".join(stream.text_stream) == TEXT
            final = stream.get_final_message()
        assert [block.text for block in final.content] == [TEXT]
        assert final.stop_reason == "end_turn"
        assert final.usage.input_tokens > 0
