"""Requests and answers as nobody should send them, and as somebody will."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..script import Raw
from .bench import PATHS, body_for

UNKNOWN: dict[str, Any] = {"x_unknown": {"deep": [1, 2.50, None, "ü"]}}
"""A field that no wire API has: it must reach the provider."""


def _turns(api: str, turns: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "input" if api == "openai.responses" else "messages": turns, **more}


def odd_requests() -> Iterator[tuple[str, str, bytes]]:
    """What is odd, the path, and the body."""
    deep: Any = "bottom"
    for _ in range(60):
        deep = [deep]
    for api, path in PATHS.items():
        bodies: dict[str, Any] = {
            "an object without anything": {},
            "no messages": _turns(api, []),
            "messages that are a number": _turns(api, 5),
            "messages that are null": _turns(api, None),
            "messages of null": _turns(api, [None, 1, "text", []]),
            "a message without a role": _turns(api, [{"content": "Hello"}]),
            "a role that nobody knows": _turns(api, [{"role": "ghost", "content": "Hello"}]),
            "content that is null": _turns(api, [{"role": "user", "content": None}]),
            "content that is nested": _turns(api, [{"role": "user", "content": deep}]),
            "content of unknown parts": _turns(
                api, [{"role": "user", "content": [{"type": "hologram", "x": deep}, {}, 3]}]
            ),
            "a model that is a number": {**_turns(api, [{"role": "user", "content": "Hello"}]), "model": 7},
            "no model": {**_turns(api, [{"role": "user", "content": "Hello"}]), "model": None},
            "a result without its call": _turns(
                api,
                [
                    {
                        "role": "tool",
                        "tool_call_id": "none",
                        "content": "x",
                        "type": "function_call_output",
                        "call_id": "n",
                    }
                ],
            ),
            "tools that are no list": _turns(api, [{"role": "user", "content": "Hello"}], tools={"a": 1}),
            "a stream flag that is a word": _turns(api, [{"role": "user", "content": "Hello"}], stream="yes"),
            "an empty text": body_for(api, ""),
            "control characters": body_for(api, "\x00\x1b[2J\u202e\ufeff\ud800"),
            "a huge prompt": body_for(api, "word " * 200_000),
            "a thousand turns": _turns(
                api, [{"role": ("user", "assistant")[n % 2], "content": "x"} for n in range(1001)]
            ),
            "a streamed empty text": body_for(api, "", stream=True),
        }
        for what, body in bodies.items():
            yield what, path, json.dumps(body).encode()
        raw = {
            "no body": b"",
            "half of a JSON text": b'{"model": "m", "messages": [{"role"',
            "null": b"null",
            "a list": b"[1, 2]",
            "a text": b'"Hello"',
            "no JSON": b"Hello there",
            "bytes that are no text": b"\xff\xfe\x00\x01" * 50,
            "a body with repeated names": b'{"model": "m", "model": "n", "messages": [], "messages": 3}',
            "numbers beyond every float": b'{"model": "m", "temperature": 1e999, "messages": []}',
            "deep nesting": b'{"messages": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        }
        for what, content in raw.items():
            yield what, path, content
    yield "an address that nobody knows", "/no/such/thing", b"{}"
    yield "an embedding", "/embeddings", b'{"model": "m", "input": ["a", "b"]}'
    yield "a sound", "/audio/speech", b'{"model": "m", "input": "Hello", "voice": "v"}'


def odd_answers() -> Iterator[tuple[str, Raw]]:
    """What is odd, and the provider's answer."""
    event_stream = {"content-type": "text/event-stream"}
    whole: dict[str, Any] = {
        "no choices": {"choices": []},
        "choices that are null": {"choices": None},
        "a choice that is null": {"choices": [None]},
        "a message that is null": {"choices": [{"index": 0, "message": None, "finish_reason": "stop"}]},
        "content that is a list": {"choices": [{"message": {"content": [{"type": "x"}]}, "finish_reason": "stop"}]},
        "usage that is a text": {"choices": [], "usage": "many"},
        "usage below zero": {"choices": [], "usage": {"prompt_tokens": -5, "completion_tokens": 1e30}},
        "an error in a 200": {"error": {"message": "no", "type": "x"}},
        "an error that is a text": {"error": "no"},
    }
    for what, value in whole.items():
        yield what, Raw(json.dumps(value).encode())
    raw = {"nothing": b"", "null": b"null", "a list": b"[]", "half": b'{"choices": [', "a page": b"<html>no</html>"}
    for what, content in raw.items():
        yield what, Raw(content)
        yield f"{what}, as an error", Raw(content, status=500)
        yield f"{what}, as a limit", Raw(content, status=429, headers={"retry-after": "soon"})
    yield "no text at all", Raw(b"\xff\xfe" * 100)
    streams = {
        "an empty stream": b"",
        "garbage": b"data: garbage\n\n",
        "events of null": b"data: null\n\ndata: []\n\ndata: 5\n\ndata: [DONE]\n\n",
        "unknown events": b'event: x\ndata: {"type": "y", "choices": [{"delta": {"z": 1}}]}\n\ndata: [DONE]\n\n',
        "deltas that are null": b'data: {"choices": [{"index": 0, "delta": null}]}\n\ndata: [DONE]\n\n',
        "a choice number 99": b'data: {"choices": [{"index": 99, "delta": {"content": "x"}}]}\n\ndata: [DONE]\n\n',
        "only comments": b": ping\n\n: ping\n\n",
        "text after the end": b'data: [DONE]\n\ndata: {"choices": [{"delta": {"content": "x"}}]}\n\n',
    }
    for what, content in streams.items():
        yield what, Raw((content[:7], content[7:]), headers=event_stream)
