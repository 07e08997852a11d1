"""Calls of the official SDKs that ask for an echo, written once for the plain and the async clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define
from sdk_colours import Each, value

import clippy_core

MODEL = "test-model"


@define(eq=False)
class Sdks:
    """The two SDKs' clients in one colour, bare or under a host."""

    openai: Any
    anthropic: Any

    def bare(self) -> Sdks:
        """The same without the SDKs' waits between attempts: as many attempts, in less time."""
        for client in (self.openai, self.anthropic):
            client._calculate_retry_timeout = lambda *_, **__: 0.0
        return self

    def under(self, host: clippy_core.Host) -> Sdks:
        return Sdks(host.wrap(self.openai), host.wrap(self.anthropic))

    async def close(self) -> None:
        for client in (self.openai, self.anthropic):
            await value(client.close())


def _asked(prompt: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}]}


async def chat(sdks: Sdks, prompt: str) -> str:
    answer = await value(sdks.openai.chat.completions.create(**_asked(prompt)))
    return str(answer.choices[0].message.content)


async def chat_stream(sdks: Sdks, prompt: str) -> str:
    stream = await value(sdks.openai.chat.completions.create(**_asked(prompt), stream=True))
    return "".join([chunk.choices[0].delta.content or "" async for chunk in Each(stream) if chunk.choices])


async def responses_stream(sdks: Sdks, prompt: str) -> str:
    stream = await value(sdks.openai.responses.create(model=MODEL, input=prompt, stream=True))
    return "".join([event.delta async for event in Each(stream) if event.type == "response.output_text.delta"])


async def message(sdks: Sdks, prompt: str) -> str:
    answer = await value(sdks.anthropic.messages.create(**_asked(prompt), max_tokens=64))
    return str(answer.content[0].text)


async def message_stream(sdks: Sdks, prompt: str) -> str:
    stream = await value(sdks.anthropic.messages.create(**_asked(prompt), max_tokens=64, stream=True))
    return "".join([event.delta.text async for event in Each(stream) if event.type == "content_block_delta"])


Call = Callable[[Sdks, str], Awaitable[str]]
CALLS: tuple[Call, ...] = (chat, chat_stream, message, message_stream, responses_stream)
OF_ONE_ROUTE = (chat, chat_stream)
"""Calls of one address: a budget belongs to a route."""
