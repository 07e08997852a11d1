"""The official SDKs understand what the fake provider says, in process and over loopback."""

from __future__ import annotations

import json

import anthropic
import httpx
import httpx2
import openai
import pytest
from clippy_hookspecs import Usage
from hypothesis import given, settings
from hypothesis import strategies as st

from clippy_core.testing import FakeProvider, FakeServer, Fault, Reply, call
from clippy_core.testing.frames import pieces

USAGE = Usage(input=30, output=12, cache_read=10, cache_write=5, reasoning=4)
TOOLS = (call("get_weather", {"city": "Zürich"}), call("now", {}), call("add", {"a": 1, "b": [2, 3]}))
ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
ERRORS = [[Fault.error_event(at_delta=2), Reply("a b c")], Fault.error_event(at_delta=1)]
SDKS = {"max_retries": 0, "api_key": "none"}


@pytest.fixture(params=["loopback", "in process"])
def serve(request):
    """Both entrances: gives (OpenAI, Anthropic) clients for a script."""
    with httpx2.Client(verify=False) as http:
        servers = []

        def open_(script):
            if request.param == "in process":
                wire = FakeProvider(script).client(httpx2)
                return openai.OpenAI(http_client=wire, **SDKS), anthropic.Anthropic(http_client=wire, **SDKS)
            servers.append(FakeServer(script))
            servers[-1].start()
            return (
                openai.OpenAI(base_url=servers[-1].base_url, http_client=http, **SDKS),
                anthropic.Anthropic(base_url=servers[-1].anthropic_url, http_client=http, **SDKS),
            )

        yield open_
        for server in servers:
            server.stop()


def arguments(calls):
    return [(tool.name, json.loads(tool.arguments)) for tool in calls]


EXPECTED = [("get_weather", {"city": "Zürich"}), ("now", {}), ("add", {"a": 1, "b": [2, 3]})]


def test_openai_chat_plain(serve):
    """Text, parallel tool calls, reasoning and usage of an answer that is not streamed."""
    client, _ = serve(Reply("Grüße", tool_calls=TOOLS, reasoning="well", usage=USAGE))
    answer = client.chat.completions.create(**ASK)
    message = answer.choices[0].message
    assert (message.content, message.reasoning_content) == ("Grüße", "well")
    assert arguments(tool.function for tool in message.tool_calls) == EXPECTED
    assert len({tool.id for tool in message.tool_calls}) == 3
    assert answer.choices[0].finish_reason == "tool_calls"
    assert (answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens) == (30, 10)
    assert answer._request_id.startswith("req_")


def test_openai_chat_streamed(serve):
    """The SDK's own accumulator puts the pieces of text and of parallel tool calls together."""
    client, _ = serve(Reply("Grüße an alle", tool_calls=TOOLS, usage=USAGE))
    with client.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as stream:
        chunks = [event.chunk for event in stream if event.type == "chunk"]
        answer = stream.get_final_completion()
    assert answer.choices[0].message.content == "Grüße an alle"
    assert arguments(tool.function for tool in answer.choices[0].message.tool_calls) == EXPECTED
    assert answer.usage.completion_tokens == 12
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert sum(bool(c.choices and c.choices[0].delta.content) for c in chunks) == 3


def test_openai_chat_counts_usage_in_a_stream_only_when_asked(serve):
    """Without include_usage no chunk has a usage."""
    client, _ = serve(Reply("a b"))
    assert all(chunk.usage is None for chunk in client.chat.completions.create(**ASK, stream=True))


def test_openai_chat_refusal_and_reasoning_streamed(serve):
    """Refusals and reasoning have their own deltas."""
    client, _ = serve(Reply(refusal="I will not.", reasoning="hm hm"))
    deltas = [c.choices[0].delta for c in client.chat.completions.create(**ASK, stream=True)]
    assert "".join(d.refusal or "" for d in deltas) == "I will not."
    assert "".join(getattr(d, "reasoning_content", "") for d in deltas) == "hm hm"


def test_openai_chat_gives_as_many_choices_as_asked(serve):
    """n answers beside each other, plain and streamed."""
    client, _ = serve(Reply("one", more=(Reply("two"), Reply("three"))))
    plain = client.chat.completions.create(**ASK, n=3)
    told = {0: "", 1: "", 2: ""}
    for chunk in client.chat.completions.create(**ASK, n=3, stream=True):
        told[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert [choice.message.content for choice in plain.choices] == list(told.values()) == ["one", "two", "three"]


def test_openai_responses_plain(serve):
    """Message, reasoning, function calls and usage as items of a response."""
    client, _ = serve(Reply("Grüße", tool_calls=TOOLS, reasoning="well", usage=USAGE))
    answer = client.responses.create(model="m", input="hi")
    assert answer.output_text == "Grüße"
    assert [item.type for item in answer.output] == ["reasoning", "message", *["function_call"] * 3]
    assert answer.output[0].summary[0].text == "well"
    assert arguments(answer.output[2:]) == EXPECTED
    assert (answer.status, answer.usage.total_tokens) == ("completed", 42)


def test_openai_responses_streamed(serve):
    """The SDK's own accumulator ends with the response of the last event, and the deltas say the same."""
    client, _ = serve(Reply("Grüße an alle", tool_calls=TOOLS, reasoning="well well", refusal="but no"))
    with client.responses.stream(model="m", input="hi") as stream:
        events = list(stream)
        answer = stream.get_final_response()
    assert answer.output_text == "Grüße an alle"
    assert [event.sequence_number for event in events] == list(range(len(events)))

    def joined(kind):
        return "".join(event.delta for event in events if event.type == f"response.{kind}.delta")

    assert (joined("output_text"), joined("refusal")) == ("Grüße an alle", "but no")
    assert joined("reasoning_summary_text") == "well well"
    assert joined("function_call_arguments") == "".join(tool.arguments for tool in TOOLS)
    assert arguments(item for item in answer.output if item.type == "function_call") == EXPECTED


def test_openai_responses_incomplete(serve):
    """An answer cut by the token limit is incomplete, with its reason."""
    client, _ = serve(Reply("cut", finish="length"))
    events = list(client.responses.create(model="m", input="hi", stream=True))
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "max_output_tokens"


def test_anthropic_plain(serve):
    """Thinking, text and tool use blocks; input tokens without the cached ones."""
    _, client = serve(Reply("Grüße", tool_calls=TOOLS, reasoning="well", usage=USAGE))
    answer = client.messages.create(**ASK, max_tokens=100)
    assert [block.type for block in answer.content] == ["thinking", "text", *["tool_use"] * 3]
    assert (answer.content[0].thinking, answer.content[1].text) == ("well", "Grüße")
    assert [(block.name, block.input) for block in answer.content[2:]] == EXPECTED
    assert (answer.stop_reason, answer.usage.input_tokens, answer.usage.cache_read_input_tokens) == ("tool_use", 15, 10)


def test_anthropic_streamed(serve):
    """The SDK's own accumulator arrives at the same message as the plain call."""
    script = Reply("Grüße an alle", tool_calls=TOOLS, reasoning="well well", usage=USAGE)
    _, client = serve(script)
    plain = client.messages.create(**ASK, max_tokens=100)
    with client.messages.stream(**ASK, max_tokens=100) as stream:
        answer = stream.get_final_message()
    drop = {"id": True, "content": {"__all__": {"id", "signature", "parsed_output", "caller"}}}
    assert answer.model_dump(exclude=drop) == plain.model_dump(exclude=drop)
    assert answer.content[0].signature


def test_anthropic_refusal_and_length(serve):
    """Neutral finish words become the API's own."""
    _, client = serve([Reply(refusal="no"), Reply("cut", finish="length")])
    reasons = [client.messages.create(**ASK, max_tokens=9).stop_reason for _ in range(2)]
    assert reasons == ["refusal", "max_tokens"]


@pytest.mark.parametrize(
    ("fault", "openai_error", "anthropic_error"),
    [
        (Fault.status(429, retry_after=7), openai.RateLimitError, anthropic.RateLimitError),
        (Fault.status(401), openai.AuthenticationError, anthropic.AuthenticationError),
        (Fault.status(400, kind="context_length"), openai.BadRequestError, anthropic.BadRequestError),
        (Fault.error_event("overloaded"), openai.InternalServerError, anthropic.InternalServerError),
        (Fault.reset(), openai.APIConnectionError, anthropic.APIConnectionError),
    ],
)
def test_the_sdks_know_the_errors(serve, fault, openai_error, anthropic_error):
    """A plain call fails with the SDK's own class and its headers."""
    client, other = serve(fault)
    with pytest.raises(openai_error) as first:
        client.chat.completions.create(**ASK)
    with pytest.raises(anthropic_error):
        other.messages.create(**ASK, max_tokens=9)
    if fault.code == 429:
        assert first.value.response.headers["retry-after"] == "7"
        assert first.value.code == "rate_limit_exceeded"


def test_the_sdks_see_an_error_inside_a_stream(serve):
    """Two pieces arrive, then the error event raises."""
    client, other = serve(ERRORS)
    stream = client.chat.completions.create(**ASK, stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(3)] == ["", "a ", "b "]
    with pytest.raises(openai.APIError, match="overloaded"):
        next(stream)
    with pytest.raises(anthropic.APIStatusError, match="overloaded"):
        list(other.messages.create(**ASK, max_tokens=9, stream=True))


# The SDK leaves its own async generators unfinished after [DONE], and trio says so.
@pytest.mark.filterwarnings("ignore:Async generator 'openai:ResourceWarning")
async def test_async_sdks_in_process():
    """A stream through the async transport, under asyncio and trio; a whole answer is not closed early."""
    provider = FakeProvider(Reply("one two three"))
    client = openai.AsyncOpenAI(http_client=provider.async_client(httpx2), **SDKS)
    stream = await client.chat.completions.create(**ASK, stream=True)
    assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "one two three"
    assert provider.closed_early == []
    await client.close()


def test_the_older_module_streams_too():
    """httpx clients get httpx responses."""
    provider = FakeProvider(Reply("one two"))
    answer = provider.client(httpx).post("https://api.test/v1/chat/completions", json={**ASK, "stream": True})
    assert type(answer) is httpx.Response
    assert answer.text.endswith("data: [DONE]\n\n")


def test_bodies_that_are_no_json_are_refused_as_providers_do():
    """A chat call without a JSON object is a 400 in the API's shape."""
    client = FakeProvider().client()
    answer = client.post("https://api.test/v1/chat/completions", content=b"{oops")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@given(st.text(), st.one_of(st.none(), st.integers(1, 9)))
def test_pieces_join_to_the_text_and_none_is_empty(text, cut):
    """However it is cut, nothing is lost."""
    parts = pieces(text, cut)
    assert "".join(parts) == text
    assert all(parts)
    assert cut is None or len(parts) <= cut


@settings(max_examples=20)
@given(st.text(min_size=1), st.text(), st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.booleans())))
def test_a_stream_says_what_the_plain_answer_says(text, thought, tool):
    """For any text the two ways of asking Anthropic give the same message."""
    reply = Reply(text, reasoning=thought, tool_calls=(call("t", tool),))
    client = anthropic.Anthropic(http_client=FakeProvider(reply).client(httpx2), **SDKS)
    plain = client.messages.create(**ASK, max_tokens=9)
    with client.messages.stream(**ASK, max_tokens=9) as stream:
        whole = stream.get_final_message()
    assert (whole.content[0].thinking, whole.content[1].text) == (plain.content[0].thinking, plain.content[1].text)
    assert whole.content[2].input == plain.content[2].input == tool


def test_a_body_nested_deeper_than_python_reads_is_an_invalid_request():
    """The provider answers it as one that it does not understand; the test goes on."""
    body = b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    answer = FakeProvider().client(httpx2).post("http://fake.test/v1/chat/completions", content=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
