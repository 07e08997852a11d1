"""What programs do with the Anthropic SDK, each written once for its sync and its async client."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
from pydantic import BaseModel
from sdk_colours import Each, Inside, Said, head, plain, value

from clippy_core.testing import Reply, call

MODEL = "claude-fake"
ASKED: list[Any] = [{"role": "user", "content": "Grüße, 世界 🌍"}]
BASIC: dict[str, Any] = {"model": MODEL, "max_tokens": 100, "messages": ASKED}
TOOLS: list[Any] = [
    {
        "name": name,
        "description": f"Tells the {name}",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
    for name in ("weather", "time")
]
TWO_CALLS = Reply(
    "Let me see.",
    tool_calls=(call("weather", {"city": "Köln"}), call("time", {"city": "東京", "zone": "Asia/Tokyo"})),
)


def make_client(colour: str, *, base_url: str, http_client: Any, **settings: Any) -> Any:
    """An Anthropic client without retries of its own."""
    kind = anthropic.Anthropic if colour == "sync" else anthropic.AsyncAnthropic
    settings = {"max_retries": 0, **settings}
    return kind(api_key="sk-ant-test", base_url=base_url, http_client=http_client, **settings)


class City(BaseModel):
    """What a structured answer is parsed into."""

    name: str
    people: int


async def message(client: Any, say: Said) -> None:
    answer = await value(client.messages.create(**BASIC, system="Be brief.", service_tier="auto"))
    say(answer)
    say(answer._request_id)


async def message_stream(client: Any, say: Said) -> None:
    async for event in Each(await value(client.messages.create(**BASIC, stream=True))):
        say(event)


async def stream_helper(client: Any, say: Said) -> None:
    async with Inside(client.messages.stream(**BASIC, tools=TOOLS)) as stream:
        async for event in Each(stream):
            say(event)
        say(await value(stream.get_final_message()))


async def text_helper(client: Any, say: Said) -> None:
    async with Inside(client.messages.stream(**BASIC)) as stream:
        async for text in Each(stream.text_stream):
            say(text)
        say(await value(stream.get_final_text()))


async def tools(client: Any, say: Said) -> None:
    answer = await value(client.messages.create(**BASIC, tools=TOOLS))
    say(answer)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "mild"}
        for block in answer.content
        if block.type == "tool_use"
    ]
    turns = [*ASKED, {"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    say(await value(client.messages.create(**{**BASIC, "messages": turns}, tools=TOOLS)))


async def image(client: Any, say: Said) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    asked: list[Any] = [{"role": "user", "content": content}]
    say(await value(client.messages.create(**{**BASIC, "messages": asked}, system=system)))


async def parse(client: Any, say: Said) -> None:
    answer = await value(client.messages.parse(**BASIC, output_format=City))
    say(answer)
    say(answer.parsed_output)


async def raw(client: Any, say: Said) -> None:
    answer = await value(client.messages.with_raw_response.create(**BASIC))
    say([answer.status_code, head(answer.headers), answer.http_response.text, answer.retries_taken])
    say(plain(await value(answer.parse())))


async def raw_stream(client: Any, say: Said) -> None:
    answer = await value(client.messages.with_raw_response.create(**BASIC, stream=True))
    say([answer.status_code, head(answer.headers)])
    async for event in Each(await value(answer.parse())):
        say(event)


async def streaming_response(client: Any, say: Said) -> None:
    async with Inside(client.messages.with_streaming_response.create(**BASIC, stream=True)) as answer:
        say([answer.status_code, head(answer.headers)])
        say([line async for line in Each(answer.iter_lines())])


async def beta(client: Any, say: Said) -> None:
    say(await value(client.beta.messages.create(**BASIC, betas=["own-2026-01-01"])))
    async for event in Each(await value(client.beta.messages.create(**BASIC, stream=True))):
        say(event)


async def extras(client: Any, say: Said) -> None:
    say(
        await value(
            client.messages.create(
                **BASIC,
                extra_headers={"x-own": "e", "X-Twice": "1"},
                extra_query={"q": "a b&c"},
                extra_body={"own": {"deep": [1, 2.0, None]}},
                timeout=33.5,
                metadata={"user_id": "u-1"},
            )
        )
    )


async def models(client: Any, say: Said) -> None:
    listed = await value(client.models.list())
    say([plain(model) for model in listed.data])
    say(await value(client.models.retrieve("fake-model")))


async def unknown_addresses(client: Any, say: Said) -> None:
    for path in ("/v1/echo", "/v1/gzip", "/v1/bytes?size=5000&type=audio/mpeg", "/v1/empty"):
        answer = await value(client.get(path, cast_to=httpx2.Response))
        say([answer.status_code, head(answer.headers), answer.content])
    say((await value(client.post("/v1/echo", cast_to=httpx2.Response, body={"a": [1.0, 1]}))).content)


async def count_tokens(client: Any, say: Said) -> None:
    say(await value(client.messages.count_tokens(model=MODEL, messages=ASKED)))


HEALTHY = {
    "message": (message, None),
    "message thinking": (message, Reply("Yes.", reasoning="Let me think. Yes?")),
    "message refusal": (message, Reply(refusal="I cannot do that.")),
    "stream": (message_stream, Reply(words=12)),
    "stream thinking": (message_stream, Reply("Yes.", reasoning="Let me think. Yes?")),
    "stream tools": (stream_helper, TWO_CALLS),
    "stream helper": (stream_helper, None),
    "text helper": (text_helper, Reply(words=12)),
    "tools": (tools, [TWO_CALLS, Reply("mild")]),
    "length": (message_stream, Reply("Cut of", finish="length")),
    "image": (image, Reply("A pixel", extra={"x_vendor": {"a": 1.0}})),
    "parse": (parse, Reply('{"name": "Köln", "people": 1000000}')),
    "raw": (raw, None),
    "raw stream": (raw_stream, None),
    "streaming response": (streaming_response, None),
    "beta": (beta, None),
    "extras": (extras, None),
    "models": (models, None),
    "unknown addresses": (unknown_addresses, None),
}
"""Calls that end well, each with the provider's script."""
