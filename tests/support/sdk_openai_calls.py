"""What programs do with the OpenAI SDK, each written once for its sync and its async client."""

from __future__ import annotations

import io
from typing import Any

import httpx2
import openai
from pydantic import BaseModel
from sdk_colours import Each, Inside, Said, head, plain, value

from clippy_core.testing import Reply, call

MODEL = "gpt-fake"
ASKED: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße, 世界 🌍"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Tells the {name}",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("weather", "time")
]
RESPONSE_TOOLS: list[Any] = [{"type": "function", **tool["function"], "strict": False} for tool in TOOLS]
TWO_CALLS = Reply(tool_calls=(call("weather", {"city": "Köln"}), call("time", {"city": "東京", "zone": "Asia/Tokyo"})))


def make_client(colour: str, *, base_url: str, http_client: Any, **settings: Any) -> Any:
    """An OpenAI client without retries of its own."""
    kind = openai.OpenAI if colour == "sync" else openai.AsyncOpenAI
    settings = {"max_retries": 0, **settings}
    return kind(api_key="sk-test", base_url=f"{base_url}/v1", http_client=http_client, **settings)


class City(BaseModel):
    """What a structured answer is parsed into."""

    name: str
    people: int


async def chat(client: Any, say: Said) -> None:
    answer = await value(client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0.5, user="u-1"))
    say(answer)
    say(answer._request_id)


async def chat_stream(client: Any, say: Said) -> None:
    async for chunk in Each(await value(client.chat.completions.create(model=MODEL, messages=ASKED, stream=True))):
        say(chunk)


async def chat_stream_with_usage(client: Any, say: Said) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=ASKED, stream=True, stream_options={"include_usage": True}, n=2
    )
    async for chunk in Each(await value(stream)):
        say(chunk)


async def chat_stream_helper(client: Any, say: Said) -> None:
    async with Inside(client.chat.completions.stream(model=MODEL, messages=ASKED, tools=TOOLS)) as stream:
        async for event in Each(stream):
            say(event)
        say(await value(stream.get_final_completion()))


async def chat_tools(client: Any, say: Said) -> None:
    answer = await value(client.chat.completions.create(model=MODEL, messages=ASKED, tools=TOOLS))
    say(answer)
    made = answer.choices[0].message
    results = [{"role": "tool", "tool_call_id": tool.id, "content": "mild"} for tool in made.tool_calls or ()]
    say(await value(client.chat.completions.create(model=MODEL, messages=[*ASKED, made, *results], tools=TOOLS)))


async def chat_tools_stream(client: Any, say: Said) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=ASKED, tools=TOOLS, stream=True, parallel_tool_calls=True
    )
    async for chunk in Each(await value(stream)):
        say(chunk)


async def chat_image(client: Any, say: Said) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
    content: list[Any] = [{"type": "text", "text": "What is this?"}, image]
    say(await value(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])))


async def chat_parse(client: Any, say: Said) -> None:
    answer = await value(client.chat.completions.parse(model=MODEL, messages=ASKED, response_format=City))
    say(plain(answer))
    say(answer.choices[0].message.parsed)


async def chat_raw(client: Any, say: Said) -> None:
    raw = await value(client.chat.completions.with_raw_response.create(model=MODEL, messages=ASKED))
    say([raw.status_code, head(raw.headers), raw.text, raw.retries_taken, raw.http_response.http_version])
    say(raw.parse())


async def chat_raw_stream(client: Any, say: Said) -> None:
    raw = await value(client.chat.completions.with_raw_response.create(model=MODEL, messages=ASKED, stream=True))
    say([raw.status_code, head(raw.headers)])
    async for chunk in Each(raw.parse()):
        say(chunk)


async def chat_streaming_response(client: Any, say: Said) -> None:
    asked = client.chat.completions.with_streaming_response.create(model=MODEL, messages=ASKED, stream=True)
    async with Inside(asked) as answer:
        say([answer.status_code, head(answer.headers)])
        say([line async for line in Each(answer.iter_lines())])


async def chat_streaming_bytes(client: Any, say: Said) -> None:
    async with Inside(client.chat.completions.with_streaming_response.create(model=MODEL, messages=ASKED)) as answer:
        say(b"".join([piece async for piece in Each(answer.iter_bytes(7))]))


async def chat_extras(client: Any, say: Said) -> None:
    say(
        await value(
            client.chat.completions.create(
                model=MODEL,
                messages=ASKED,
                extra_headers={"x-own": "e", "X-Twice": "1"},
                extra_query={"q": "a b&c", "empty": ""},
                extra_body={"own": {"deep": [1, 2.0, 1e300, None]}},
                timeout=33.5,
                seed=2**70,
            )
        )
    )


async def responses(client: Any, say: Said) -> None:
    answer = await value(client.responses.create(model=MODEL, input="Grüße", instructions="Be brief."))
    say(answer)
    say(answer.output_text)


async def responses_stream(client: Any, say: Said) -> None:
    async for event in Each(await value(client.responses.create(model=MODEL, input="Grüße", stream=True))):
        say(event)


async def responses_stream_helper(client: Any, say: Said) -> None:
    async with Inside(client.responses.stream(model=MODEL, input="Grüße", tools=RESPONSE_TOOLS)) as stream:
        async for event in Each(stream):
            say(event)
        say(await value(stream.get_final_response()))


async def responses_tools(client: Any, say: Said) -> None:
    answer = await value(client.responses.create(model=MODEL, input="Grüße", tools=RESPONSE_TOOLS))
    say(answer)
    results = [
        {"type": "function_call_output", "call_id": item.call_id, "output": "mild"}
        for item in answer.output
        if item.type == "function_call"
    ]
    say(await value(client.responses.create(model=MODEL, input=results, previous_response_id=answer.id)))


async def responses_parse(client: Any, say: Said) -> None:
    answer = await value(client.responses.parse(model=MODEL, input="Grüße", text_format=City))
    say(answer.output_parsed)


async def embeddings(client: Any, say: Said) -> None:
    say(await value(client.embeddings.create(model=MODEL, input=["eins", "zwei"])))
    say(await value(client.embeddings.create(model=MODEL, input="drei", encoding_format="float")))


async def models(client: Any, say: Said) -> None:
    listed = await value(client.models.list())
    say([plain(model) for model in listed.data])
    say(await value(client.models.retrieve("fake-model")))


async def file_upload(client: Any, say: Said) -> None:
    say(await value(client.files.create(file=("täfel.jsonl", b'{"a": 1}\n' * 3000), purpose="batch")))
    say(await value(client.files.create(file=io.BytesIO(b"\0\xff" * 999), purpose="assistants")))


async def unknown_addresses(client: Any, say: Said) -> None:
    for path in ("/echo", "/large?size=70000", "/gzip", "/bytes?size=5000&type=audio/mpeg", "/empty"):
        answer = await value(client.get(path, cast_to=httpx2.Response))
        say([answer.status_code, head(answer.headers), answer.content])
    say((await value(client.post("/echo", cast_to=httpx2.Response, body={"a": [1.0, 1]}))).content)
    say((await value(client.get("/redirect?to=/v1/echo&status=307", cast_to=httpx2.Response))).content)


async def early_close(client: Any, say: Said) -> None:
    """Leaves a stream after two pieces, then goes on with the same client."""
    stream = await value(client.chat.completions.create(model=MODEL, messages=ASKED, stream=True))
    seen = Each(stream)
    for _ in range(3):
        say(await anext(seen))
    await value(stream.close())


HEALTHY = {
    "chat": (chat, None),
    "chat reasoning": (chat, Reply("Yes.", reasoning="Let me think. Yes?")),
    "chat refusal": (chat, Reply(refusal="I cannot do that.")),
    "chat stream": (chat_stream, Reply(words=12)),
    "chat stream refusal": (chat_stream, Reply(refusal="I cannot do that.")),
    "chat stream reasoning": (chat_stream, Reply("Yes.", reasoning="Let me think. Yes?")),
    "chat stream usage n=2": (chat_stream_with_usage, Reply("Eins zwei", more=(Reply("Drei"),))),
    "chat stream helper": (chat_stream_helper, None),
    "chat stream helper tools": (chat_stream_helper, TWO_CALLS),
    "chat tools": (chat_tools, [TWO_CALLS, Reply("mild")]),
    "chat tools stream": (chat_tools_stream, TWO_CALLS),
    "chat length": (chat_stream, Reply("Cut of", finish="length")),
    "chat image": (chat_image, Reply("A pixel", extra={"x_vendor": {"a": 1.0}})),
    "chat parse": (chat_parse, Reply('{"name": "Köln", "people": 1000000}')),
    "chat raw": (chat_raw, None),
    "chat raw stream": (chat_raw_stream, None),
    "chat streaming response": (chat_streaming_response, None),
    "chat streaming bytes": (chat_streaming_bytes, None),
    "chat extras": (chat_extras, None),
    "responses": (responses, None),
    "responses reasoning": (responses, Reply("Yes.", reasoning="Hm.")),
    "responses stream": (responses_stream, Reply(words=12)),
    "responses stream tools": (responses_stream, TWO_CALLS),
    "responses stream helper": (responses_stream_helper, TWO_CALLS),
    "responses tools": (responses_tools, [TWO_CALLS, Reply("mild")]),
    "responses parse": (responses_parse, Reply('{"name": "Köln", "people": 1000000}')),
    "embeddings": (embeddings, None),
    "models": (models, None),
    "file upload": (file_upload, None),
    "unknown addresses": (unknown_addresses, None),
}
"""Calls that end well, each with the provider's script."""
