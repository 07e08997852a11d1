"""google-genai: its own wire API, streamed as server-sent events, on httpx2 and on httpx."""

from __future__ import annotations

import json
from typing import Any

import httpx
import httpx2
from google import genai
from google.genai import types
from stranger import Stranger, raw_of

from clippy_core.testing import Fault, Raw, SeenRequest


def _answer(*parts: dict[str, Any], finish: str | None = "STOP") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 4, "candidatesTokenCount": 3, "totalTokenCount": 7}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-fake", "responseId": "r-1"}


def gemini(seen: SeenRequest) -> Any:
    """The answer in Google's shape, plain or streamed."""
    tool = {"functionCall": {"name": "weather", "args": {"city": "Köln"}}}
    if seen.path.endswith(":generateContent"):
        return Raw(json.dumps(_answer({"text": "Grüße 世界"}, tool)).encode())
    if seen.path.endswith(":streamGenerateContent"):
        pieces = [_answer({"text": text}, finish=None) for text in ("Grü", "ße ", "世界")] + [_answer(tool)]
        body = [f"data: {json.dumps(piece, ensure_ascii=False)}\r\n\r\n".encode() for piece in pieces]
        return Raw(body, headers=(("content-type", "text/event-stream"),))
    if seen.path.endswith(":countTokens"):
        return Raw(b'{"totalTokens": 31}')
    return Fault.status(404, body=b'{"error": {"code": 404, "message": "not found", "status": "NOT_FOUND"}}')


def _client(http: Any, origin: str, **which: Any) -> genai.Client:
    return genai.Client(api_key="g-key", http_options=types.HttpOptions(base_url=origin, **which))


ASKED: dict[str, Any] = {"model": "gemini-fake", "contents": "Grüße, 世界 🌍"}


def plain(http: Any, origin: str, say: Any) -> None:
    client = _client(http, origin, httpx_client=http)
    say(raw_of(client.models.generate_content(**ASKED)))
    say(raw_of(client.models.count_tokens(**ASKED)))


def streamed(http: Any, origin: str, say: Any) -> None:
    for piece in _client(http, origin, httpx_client=http).models.generate_content_stream(**ASKED):
        say(raw_of(piece))


async def plain_async(http: Any, origin: str, say: Any) -> None:
    say(raw_of(await _client(http, origin, httpx_async_client=http).aio.models.generate_content(**ASKED)))


async def streamed_async(http: Any, origin: str, say: Any) -> None:
    async for piece in await _client(http, origin, httpx_async_client=http).aio.models.generate_content_stream(**ASKED):
        say(raw_of(piece))


def refused(http: Any, origin: str, say: Any) -> None:
    _client(http, origin, httpx_client=http).models.get(model="nothing")


CALLS = {
    "plain": (plain, gemini), "streamed": (streamed, gemini), "plain async": (plain_async, gemini),
    "streamed async": (streamed_async, gemini), "refused": (refused, gemini),
}  # fmt: skip

if __name__ == "__main__":
    import sys

    statuses = []
    for module in (httpx2, httpx):
        try:
            Stranger("google-genai", module, CALLS).compare()
        except SystemExit as ended:
            statuses.append(ended.code)
    sys.exit(any(statuses))
