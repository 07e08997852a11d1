"""mistralai: near to OpenAI's wire API, with its own SDK and its own errors."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from stranger import Stranger, raw_of

from clippy_core.testing import Fault, Raw, SeenRequest

try:
    from mistralai.client import Mistral
except ImportError:
    from mistralai import Mistral


def _answer(kind: str, **choice: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    answer: dict[str, Any] = {"id": "m-1", "object": kind, "created": 1763800000, "model": "mistral-fake"}
    return {**answer, "choices": [{"index": 0, **choice}], "usage": usage}


def mistral(seen: SeenRequest) -> Any:
    """The answer in Mistral's shape, plain or streamed."""
    if not seen.path.endswith("/chat/completions"):
        return Fault.status(401, body=b'{"message": "Unauthorized", "request_id": "r-1"}')
    tool = {"id": "c1", "function": {"name": "weather", "arguments": '{"city": "K\\u00f6ln"}'}, "index": 0}
    if not seen.stream:
        message = {"role": "assistant", "content": "Grüße 世界", "tool_calls": [tool]}
        return Raw(json.dumps(_answer("chat.completion", message=message, finish_reason="tool_calls")).encode())
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": ""}, None), ({"content": "Grüße "}, None), ({"content": "世界"}, None),
        ({"content": "", "tool_calls": [tool]}, "tool_calls"),
    ]  # fmt: skip
    chunks = [_answer("chat.completion.chunk", delta=delta, finish_reason=finish) for delta, finish in deltas]
    events = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode() for chunk in chunks]
    return Raw([*events, b"data: [DONE]\n\n"], headers=(("content-type", "text/event-stream; charset=utf-8"),))


ASKED: dict[str, Any] = {"model": "mistral-fake", "messages": [{"role": "user", "content": "Grüße, 世界 🌍"}]}


def _sync(http: Any, origin: str) -> Any:
    return Mistral(api_key="m-key", server_url=origin, client=http)


def _async(http: Any, origin: str) -> Any:
    return Mistral(api_key="m-key", server_url=origin, async_client=http)


def plain(http: Any, origin: str, say: Any) -> None:
    say(raw_of(_sync(http, origin).chat.complete(**ASKED)))


def streamed(http: Any, origin: str, say: Any) -> None:
    for event in _sync(http, origin).chat.stream(**ASKED):
        say(raw_of(event))


async def plain_async(http: Any, origin: str, say: Any) -> None:
    say(raw_of(await _async(http, origin).chat.complete_async(**ASKED)))


async def streamed_async(http: Any, origin: str, say: Any) -> None:
    async for event in await _async(http, origin).chat.stream_async(**ASKED):
        say(raw_of(event))


def refused(http: Any, origin: str, say: Any) -> None:
    _sync(http, origin).models.list()


CALLS = {
    "plain": (plain, mistral), "streamed": (streamed, mistral), "plain async": (plain_async, mistral),
    "streamed async": (streamed_async, mistral), "refused": (refused, mistral),
}  # fmt: skip

if __name__ == "__main__":
    Stranger("mistralai", httpx2, CALLS).compare()
