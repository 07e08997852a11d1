"""The entrances of the composition table: one question, asked by four clients in three colours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import anthropic
import httpx
import httpx2
import openai
from attrs import define, field
from clippy_hookspecs import Chunk
from composition_world import CONVERSATION, MODEL, Got, World
from sdk_colours import Each, Inside, value

import clippy_core
from clippy_core.wire import APIS, StreamDecoder

AtSecond = Callable[[], Awaitable[bool]]
"""What happens when the second text of a stream has come; true leaves the stream."""

CONVERSATION_API = {"anthropic": "anthropic.messages"}


def texts_in(api: str, data: bytes) -> list[str]:
    """The texts of the complete events in a stream's bytes."""
    chunks: list[Chunk] = [chunk for event in StreamDecoder(APIS[api]).feed(data) for chunk in event.chunks]
    return [chunk.delta for chunk in chunks if chunk.kind == "text" and chunk.delta]


@define(eq=False)
class Asker:
    """A client of the kind that the world's cell names, in its colour, under its host."""

    world: World
    api: str = field(init=False)
    client: Any = field(init=False, default=None)
    _stack: AsyncExitStack = field(init=False, factory=AsyncExitStack)

    def __attrs_post_init__(self) -> None:
        self.api = CONVERSATION_API.get(self.world.cell.entrance, "openai.chat")

    async def __aenter__(self) -> Asker:
        await self._stack.__aenter__()
        self.client = await self._stack.enter_async_context(Inside(self._make()))
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._stack.__aexit__(*exc)

    def _make(self) -> Any:
        cell, host, sync = self.world.cell, self.world.host, self.world.cell.colour == "sync"
        module = httpx if cell.entrance in ("client", "httpx") else httpx2
        transport = self.world.provider.transport(module) if sync else self.world.provider.async_transport(module)
        http = (module.Client if sync else module.AsyncClient)(transport=transport)
        if cell.entrance == "client":
            return (clippy_core.Client if sync else clippy_core.AsyncClient)(host, http)
        if cell.entrance == "httpx":
            return host.wrap(http)
        sdk: Any
        if cell.entrance == "openai":
            kind: Any = openai.OpenAI if sync else openai.AsyncOpenAI
            sdk = kind(api_key="sk-test", base_url="http://fake.test/v1", http_client=http)
        else:
            kind = anthropic.Anthropic if sync else anthropic.AsyncAnthropic
            sdk = kind(api_key="sk-ant-test", base_url="http://fake.test", http_client=http)
        return host.wrap(sdk)

    async def ask(self, streamed: bool, at_second: AtSecond | None = None, question: str = "") -> Got:
        """Ask; *question* is another one than the usual."""
        messages: Any = [*CONVERSATION[:-1], {"role": "user", "content": question}] if question else CONVERSATION
        got = Got()
        try:
            await getattr(self, f"_by_{self.world.cell.entrance}")(got, messages, streamed, at_second)
        except Exception as error:
            got.error = error
            got.status = getattr(error, "status_code", got.status)
        return got

    async def _by_client(self, got: Got, messages: Any, streamed: bool, at_second: AtSecond | None) -> None:
        if not streamed:
            response = await value(self.client.chat(messages))
            got.status, got.texts = response.status, [response.text]
            return
        async with Inside(await value(self.client.stream(messages))) as stream:
            async for chunk in Each(stream):
                if chunk.kind == "text" and chunk.delta and await self._read(got, chunk.delta, at_second):
                    break

    async def _by_httpx(self, got: Got, messages: Any, streamed: bool, at_second: AtSecond | None) -> None:
        body = {"model": MODEL, "messages": messages, **({"stream": True} if streamed else {})}
        url = "http://fake.test/v1/chat/completions"
        async with Inside(self.client.stream("POST", url, json=body)) as response:
            got.status = response.status_code
            if not response.headers["content-type"].startswith("text/event-stream"):
                got.pieces = [await value(response.read() if self.world.cell.colour == "sync" else response.aread())]
                got.texts = [choice["message"]["content"] for choice in response.json().get("choices", ())]
                return
            # Not by httpx's own async generators: left half-read they are collected unclosed, which trio warns about.
            async for piece in Each(response.stream._stream):
                got.pieces.append(piece)
                for text in texts_in(self.api, got.body)[len(got.texts) :]:
                    if await self._read(got, text, at_second):
                        return

    async def _by_openai(self, got: Got, messages: Any, streamed: bool, at_second: AtSecond | None) -> None:
        answer = await value(self.client.chat.completions.create(model=MODEL, messages=messages, stream=streamed))
        if not streamed:
            got.status, got.texts = 200, [answer.choices[0].message.content]
            return
        async with Inside(answer) as stream:
            async for chunk in Each(stream):
                text = chunk.choices[0].delta.content if chunk.choices else None
                if text and await self._read(got, text, at_second):
                    break

    async def _by_anthropic(self, got: Got, messages: Any, streamed: bool, at_second: AtSecond | None) -> None:
        answer = await value(
            self.client.messages.create(model=MODEL, max_tokens=50, messages=messages, stream=streamed)
        )
        if not streamed:
            got.status, got.texts = 200, [answer.content[0].text]
            return
        async with Inside(answer) as stream:
            async for event in Each(stream):
                text = event.delta.text if event.type == "content_block_delta" else ""
                if text and await self._read(got, text, at_second):
                    break

    async def _read(self, got: Got, text: str, at_second: AtSecond | None) -> bool:
        """Take one text; whether to read no further."""
        got.texts.append(text)
        if len(got.texts) == 2 and at_second is not None:
            got.left = await at_second()
        return got.left
