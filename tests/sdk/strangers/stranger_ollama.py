"""ollama: lines of JSON instead of events, on httpx only; its client takes a transport and no HTTP client."""

from __future__ import annotations

import json
from typing import Any

import httpx
import ollama
from stranger import Stranger, raw_of

from clippy_core.testing import Fault, Raw, SeenRequest


def _line(text: str, done: bool = False) -> dict[str, Any]:
    line: dict[str, Any] = {"model": "llama", "created_at": "2026-01-01T00:00:00Z", "done": done}
    line["message"] = {"role": "assistant", "content": text}
    return line | ({"done_reason": "stop", "total_duration": 5, "eval_count": 3} if done else {})


def llama(seen: SeenRequest) -> Any:
    """The answer in Ollama's shape, plain or as lines."""
    if seen.path == "/api/embed":
        return Raw(b'{"model": "llama", "embeddings": [[0.5, -0.25]]}')
    if seen.path != "/api/chat":
        return Fault.status(404, body=b'{"error": "model not found"}')
    if not seen.stream:
        return Raw(json.dumps(_line("Grüße 世界", True)).encode())
    lines = [_line("Grü"), _line("ße "), _line("世界"), _line("", True)]
    body = [json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines]
    return Raw(body, headers=(("content-type", "application/x-ndjson"),))


ASKED: dict[str, Any] = {"model": "llama", "messages": [{"role": "user", "content": "Grüße, 世界 🌍"}]}


def _under(kind: Any, http: Any, origin: str) -> Any:
    return kind(host=origin, transport=http._transport)


def plain(http: Any, origin: str, say: Any) -> None:
    client = _under(ollama.Client, http, origin)
    say(raw_of(client.chat(**ASKED)))
    say(raw_of(client.embed(model="llama", input="eins")))


def streamed(http: Any, origin: str, say: Any) -> None:
    for piece in _under(ollama.Client, http, origin).chat(**ASKED, stream=True):
        say(raw_of(piece))


async def plain_async(http: Any, origin: str, say: Any) -> None:
    say(raw_of(await _under(ollama.AsyncClient, http, origin).chat(**ASKED)))


async def streamed_async(http: Any, origin: str, say: Any) -> None:
    async for piece in await _under(ollama.AsyncClient, http, origin).chat(**ASKED, stream=True):
        say(raw_of(piece))


def refused(http: Any, origin: str, say: Any) -> None:
    _under(ollama.Client, http, origin).show("nothing")


CALLS = {
    "plain": (plain, llama), "streamed": (streamed, llama), "plain async": (plain_async, llama),
    "streamed async": (streamed_async, llama), "refused": (refused, llama),
}  # fmt: skip

if __name__ == "__main__":
    Stranger("ollama", httpx, CALLS).compare()
