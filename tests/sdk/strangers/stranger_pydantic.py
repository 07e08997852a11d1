"""pydantic-ai: an agent over OpenAI chat, OpenAI Responses and Anthropic; async inside, also where it looks sync."""

from __future__ import annotations

from typing import Any

import httpx2
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from stranger import Stranger

from clippy_core.testing import Fault, Reply, Script, call

ASKED = "Grüße, 世界 🌍"


def _models(http: Any, origin: str) -> dict[str, Any]:
    openai = OpenAIProvider(base_url=f"{origin}/v1", api_key="k", http_client=http)
    return {
        "chat": OpenAIChatModel("gpt-fake", provider=openai),
        "responses": OpenAIResponsesModel("gpt-fake", provider=openai),
        "anthropic": AnthropicModel(
            "claude-fake", provider=AnthropicProvider(api_key="k", base_url=origin, http_client=http)
        ),
    }


def _plain(which: str) -> Any:
    async def ask(http: Any, origin: str, say: Any) -> None:
        agent = Agent(_models(http, origin)[which])

        @agent.tool_plain
        def weather(city: str) -> str:
            """Tells the weather."""
            say(f"weather in {city}")
            return "mild"

        result = await agent.run(ASKED)
        say(result.output)
        say(repr(result.usage))

    return ask


def _streamed(which: str) -> Any:
    async def ask(http: Any, origin: str, say: Any) -> None:
        async with Agent(_models(http, origin)[which]).run_stream(ASKED) as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                say(text)

    return ask


TOOL = [Reply(tool_calls=(call("weather", {"city": "Köln"}, "call_1"),)), Reply("mild")]
CALLS: dict[str, Any] = {
    **{f"{which} with a tool": (_plain(which), TOOL) for which in ("chat", "responses", "anthropic")},
    **{f"{which} streamed": (_streamed(which), Reply(words=9)) for which in ("chat", "responses", "anthropic")},
    "refused": (_plain("chat"), Script(then=Fault.status(401))),
}

if __name__ == "__main__":
    Stranger("pydantic-ai-slim", httpx2, CALLS).compare()
