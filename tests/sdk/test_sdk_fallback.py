"""Both official SDKs when another route answers: in their own API, with tools, plain and streamed, and who it was."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx2
import pytest
import sdk_anthropic_calls
import sdk_openai_calls
from attrs import define, field
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import AuditRecord, Provenance, hookimpl
from clippy_retry import RetryPolicy
from sdk_colours import Each, Inside, value
from sdk_lab import COLOURS, SDK_GENERATORS

import clippy_core
from clippy_core.driven import drive
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock, call

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]

ROUTES: dict[str, Any] = {
    "gpt": {"base_url": "http://gpt.test/v1", "key": "sk-gpt", "model": "gpt-other"},
    "responses": {"api": "openai.responses", "base_url": "http://gpt.test/v1", "key": "sk-gpt", "model": "gpt-other"},
    "claude": {"api": "anthropic.messages", "base_url": "http://claude.test", "key": "sk-ant", "model": "claude-other"},
}
CALL = Reply("Let me see.", tool_calls=(call("weather", {"city": "Köln"}, "call_1"),))


@define(eq=False)
class Records:
    records: list[AuditRecord] = field(factory=list)

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        self.records.append(record)


@define(eq=False)
class World:
    """A host over a provider, and the SDKs over it."""

    colour: str
    provider: FakeProvider
    host: clippy_core.Host
    audit: Records

    def run(self, sdk: Any, program: Callable[[Any], Awaitable[None]]) -> None:
        kind = "transport" if self.colour == "sync" else "async_transport"
        client = httpx2.Client if self.colour == "sync" else httpx2.AsyncClient

        async def work() -> None:
            http: Any = client(transport=getattr(self.provider, kind)(httpx2))
            wrapped = self.host.wrap(sdk.make_client(self.colour, base_url="http://fake.test", http_client=http))
            await program(wrapped)
            await value(wrapped.close())

        drive(work()) if self.colour == "sync" else anyio.run(work, backend=self.colour)


def world(colour: str, script: Any, **settings: Any) -> World:
    provider, audit = FakeProvider(script, clock=(clock := VirtualClock())), Records()
    plugins = {"errors": ErrorClassifier(), "fallback": Fallback(**settings), "zz-records": audit}
    host = clippy_core.Host(plugins, config={"routes": ROUTES}, clock=clock)
    return World(colour, provider, host, audit)


@pytest.mark.parametrize("colour", COLOURS)
def test_an_openai_program_is_answered_by_claude_with_tools(colour: str) -> None:
    """Two turns, the first streamed: what the other provider called is called, and its result goes back to it."""
    here = world(colour, [Fault.status(503), CALL, Fault.status(503), Reply("It rains.")], routes=("claude",))

    async def program(client: Any) -> None:
        asked: list[Any] = [*sdk_openai_calls.ASKED]
        more = {"model": "gpt-fake", "tools": sdk_openai_calls.TOOLS, "temperature": 1.5}
        async with Inside(client.chat.completions.stream(messages=asked, **more)) as stream:
            async for _ in Each(stream):
                pass
            first = (await value(stream.get_final_completion())).choices[0]
        assert (first.message.content, first.finish_reason) == ("Let me see.", "tool_calls")
        [called] = first.message.tool_calls
        assert (called.function.name, json.loads(called.function.arguments)) == ("weather", {"city": "Köln"})
        asked += [
            {
                "role": "assistant",
                "content": first.message.content,
                "tool_calls": [called.model_dump(exclude={"index"})],
            },
            {"role": "tool", "tool_call_id": called.id, "content": "rain"},
        ]
        second = await value(client.chat.completions.create(messages=asked, **more))
        assert second.choices[0].message.content == "It rains."
        assert second.choices[0].finish_reason == "stop"
        assert second.usage.total_tokens > 0

    here.run(sdk_openai_calls, program)
    bodies = [request.json for request in here.provider.requests if request.url.startswith("http://claude.test")]
    assert [body["model"] for body in bodies] == ["claude-other"] * 2
    assert bodies[1]["temperature"] == 1.0
    assert bodies[1]["messages"][1]["content"][1]["type"] == "tool_use"
    assert bodies[1]["messages"][2]["content"][0]["type"] == "tool_result"
    assert [request.headers.get("authorization") for request in here.provider.requests][1::2] == [None, None]


@pytest.mark.parametrize("route", ["gpt", "responses"])
@pytest.mark.parametrize("colour", COLOURS)
def test_an_anthropic_program_is_answered_by_gpt_with_tools(colour: str, route: str) -> None:
    here = world(colour, [Fault.status(529), CALL, Fault.status(529), Reply("It rains.")], routes=(route,))

    async def program(client: Any) -> None:
        asked: list[Any] = [*sdk_anthropic_calls.ASKED]
        more: dict[str, Any] = {"model": "claude-fake", "max_tokens": 100, "tools": sdk_anthropic_calls.TOOLS}
        async with Inside(client.messages.stream(messages=asked, **more)) as stream:
            async for _ in Each(stream):
                pass
            first = await value(stream.get_final_message())
        assert first.stop_reason == "tool_use"
        words, called = first.content
        assert (words.text, called.name, called.input) == ("Let me see.", "weather", {"city": "Köln"})
        result = {"type": "tool_result", "tool_use_id": called.id, "content": "rain"}
        turn = {"role": "assistant", "content": [block.model_dump() for block in first.content]}
        asked += [turn, {"role": "user", "content": [result]}]
        second = await value(client.messages.create(messages=asked, **more))
        assert second.content[0].text == "It rains."
        assert second.stop_reason == "end_turn"
        assert second.usage.output_tokens > 0

    here.run(sdk_anthropic_calls, program)
    assert here.provider.requests[1].api == ROUTES[route].get("api", "openai.chat")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_program_can_read_who_answered_and_why(colour: str) -> None:
    """In the extensions of the SDK's HTTP response, plain and streamed, and in the audit record."""
    expected = Provenance("provider", None, "claude", reason="overloaded at the planned address")
    here = world(colour, [Fault.status(503), Reply("one"), Fault.status(503), Reply("two")], routes=("claude",))

    async def program(client: Any) -> None:
        chat, asked = client.chat.completions, {"model": "gpt-fake", "messages": sdk_openai_calls.ASKED}
        raw = await value(chat.with_raw_response.create(**asked))
        assert (await value(raw.parse())).choices[0].message.content == "one"
        assert raw.http_response.extensions["clippy"].provenance == expected
        stream = await value(chat.create(**asked, stream=True))
        async for _ in Each(stream):
            pass
        assert stream.response.extensions["clippy"].provenance == expected

    here.run(sdk_openai_calls, program)
    assert [record.provenance for record in here.audit.records] == [expected] * 2
    assert [[one.route for one in record.attempts] for record in here.audit.records] == [["", "claude"]] * 2


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_the_fixed_text_comes_in_the_callers_api_and_says_what_it_is(sdk: str, stream: bool) -> None:
    calls: Any = sdk_openai_calls if sdk == "openai" else sdk_anthropic_calls
    here = world("sync", [Fault.status(503)] * 2, routes=("gpt",), static="We are down; try later.")

    async def program(client: Any) -> None:
        if sdk == "openai":
            answer = client.chat.completions.with_raw_response.create(model="m", messages=calls.ASKED, stream=stream)
            parsed = answer.parse()
            pieces = [*parsed] if stream else [parsed]
            said = [one.choices[0].delta if stream else one.choices[0].message for one in pieces]
            text, model = "".join(one.content or "" for one in said), pieces[0].model
        elif stream:
            with client.messages.stream(**calls.BASIC) as events:
                final = events.get_final_message()
                answer, text, model = events, final.content[0].text, final.model
        else:
            answer = client.messages.with_raw_response.create(**calls.BASIC)
            text, model = answer.parse().content[0].text, answer.parse().model
        assert (text, model) == ("We are down; try later.", "clippy-fallback")
        http = answer.response if sdk == "anthropic" and stream else answer.http_response
        reason = "the fixed text after overloaded at gpt"
        assert http.extensions["clippy"].provenance == Provenance("plugin", "fallback", "gpt", reason=reason)

    here.run(calls, program)
    assert here.audit.records[0].provenance.source == "plugin"


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_what_the_caller_did_reaches_it_after_one_request(sdk: str, status: int) -> None:
    calls: Any = sdk_openai_calls if sdk == "openai" else sdk_anthropic_calls
    here = world("sync", Fault.status(status), routes=("gpt", "claude"), stale=60.0, static="sorry")

    async def program(client: Any) -> None:
        with pytest.raises(Exception, match=str(status)) as raised:
            if sdk == "openai":
                client.chat.completions.create(model="m", messages=calls.ASKED)
            else:
                client.messages.create(**calls.BASIC)
        assert raised.value.status_code == status

    here.run(calls, program)
    assert len(here.provider.requests) == 1


def test_a_burst_is_answered_by_the_fallback_route_while_the_retries_of_the_sdk_rest() -> None:
    """The SDK's own retries are the host's affair: one call is at most so many requests as the policy says."""
    here = world("sync", lambda seen: Reply("hello") if "claude" in seen.url else Fault.status(503), routes=("claude",))
    host = clippy_core.Host(
        {**here.host.plugins, "retry": RetryPolicy(attempts=2)}, config={"routes": ROUTES}, clock=here.host.clock
    )
    burst = World("sync", here.provider, host, here.audit)

    async def program(client: Any) -> None:
        for _ in range(20):
            chat = client.with_options(max_retries=2).chat.completions
            answer = chat.create(model="m", messages=sdk_openai_calls.ASKED)
            assert answer.choices[0].message.content == "hello"

    burst.run(sdk_openai_calls, program)
    assert len(here.provider.requests) == 20 * 3
