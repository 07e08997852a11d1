"""langchain-openai: OpenAI's SDK one storey up."""

from __future__ import annotations

from typing import Any

import httpx2
from langchain_openai import ChatOpenAI
from stranger import Stranger

from clippy_core.testing import Fault, Reply, Script, call

ASKED = [("system", "Be brief."), ("human", "Grüße, 世界 🌍")]
TOOLS = [{"name": "weather", "description": "Tells it", "parameters": {"type": "object", "properties": {}}}]
TWO = Reply("Let me see.", tool_calls=(call("weather", {"city": "Köln"}), call("weather", {"city": "東京"})))


def _model(origin: str, **settings: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-fake", api_key="k", base_url=f"{origin}/v1", max_retries=0, **settings)


def _told(message: Any) -> Any:
    """A message without the id of its run, which is random."""
    return {name: part for name, part in message.model_dump(mode="json").items() if name != "id"}


def plain(http: Any, origin: str, say: Any) -> None:
    say(_told(_model(origin, http_client=http).invoke(ASKED)))


def tools(http: Any, origin: str, say: Any) -> None:
    say(_told(_model(origin, http_client=http).bind_tools(TOOLS).invoke(ASKED)))


def streamed(http: Any, origin: str, say: Any) -> None:
    for piece in _model(origin, http_client=http, stream_usage=True).bind_tools(TOOLS).stream(ASKED):
        say(_told(piece))


def responses(http: Any, origin: str, say: Any) -> None:
    say(_told(_model(origin, http_client=http, use_responses_api=True).invoke(ASKED)))


async def plain_async(http: Any, origin: str, say: Any) -> None:
    say(_told(await _model(origin, http_async_client=http).ainvoke(ASKED)))


async def streamed_async(http: Any, origin: str, say: Any) -> None:
    async for piece in _model(origin, http_async_client=http).astream(ASKED):
        say(_told(piece))


CALLS = {
    "plain": (plain, Reply("Eins")), "tools": (tools, TWO), "streamed": (streamed, TWO),
    "responses": (responses, Reply("Eins")), "plain async": (plain_async, Reply("Eins")),
    "streamed async": (streamed_async, Reply(words=9)), "refused": (plain, Script(then=Fault.status(401))),
}  # fmt: skip

if __name__ == "__main__":
    Stranger("langchain-openai", httpx2, CALLS).compare()
