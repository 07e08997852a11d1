"""OpenAI Chat Completions, as the provider writes it.

Written from the provider's documentation and apart from ``clippy_core.wire``, so that the two check each other.
"""

from __future__ import annotations

from typing import Any

from clippy_hookspecs import Json

from .frames import CREATED, EventKind, Telling, WireEvent, data_event, dumps, pieces, text_of
from .script import Reply


def plain(told: Telling) -> bytes:
    """The body of an answer that is not streamed."""
    choices = [
        {
            "index": index,
            "message": _message(told, reply, text),
            "logprobs": None,
            "finish_reason": _finish(reply),
        }
        for index, (reply, text) in enumerate(_choices(told))
    ]
    return dumps({**_envelope(told, "chat.completion"), "choices": choices, "usage": _usage(told), **told.reply.extra})


def stream(told: Telling) -> list[WireEvent]:
    """The events of a streamed answer, with a usage event when the request asks for it."""
    options = told.seen.fields.get("stream_options")
    with_usage = isinstance(options, dict) and options.get("include_usage") is True
    envelope = {**_envelope(told, "chat.completion.chunk"), **told.reply.extra}
    if with_usage:
        envelope["usage"] = None

    def chunk(index: int, delta: Json, finish: str | None = None) -> dict[str, Any]:
        return {**envelope, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    choices = _choices(told)
    events: list[WireEvent] = []
    for index, (reply, text) in enumerate(choices):
        opening: dict[str, Json] = {"role": "assistant", "content": "" if text else None, "refusal": None}
        events.append(data_event(chunk(index, opening), "start"))
        cut = told.text_pieces if index == 0 else pieces(text)
        events += [data_event(chunk(index, delta), kind) for delta, kind in _deltas(told, reply, cut)]
    events += [data_event(chunk(i, {}, _finish(reply)), "finish") for i, (reply, _) in enumerate(choices)]
    if with_usage:
        events.append(data_event({**envelope, "choices": [], "usage": _usage(told)}, "usage"))
    return [*events, WireEvent(b"data: [DONE]\n\n", "done")]


def _choices(told: Telling) -> list[tuple[Reply, str]]:
    asked = told.seen.fields.get("n")
    count = asked if isinstance(asked, int) and 0 < asked <= 128 else 1
    more = (told.reply.more or (told.reply,) * count)[: count - 1]
    return [(told.reply, told.text), *((reply, text_of(reply, told.seen, told.ids.seed)) for reply in more)]


def _deltas(told: Telling, reply: Reply, cut: list[str]) -> list[tuple[dict[str, Json], EventKind]]:
    deltas: list[tuple[dict[str, Json], EventKind]] = []
    deltas += [({"reasoning_content": piece}, "delta") for piece in pieces(reply.reasoning or "")]
    deltas += [({"content": piece}, "delta") for piece in cut]
    deltas += [({"refusal": piece}, "delta") for piece in pieces(reply.refusal or "")]
    for index, tool in enumerate(_tool_calls(told, reply)):
        arguments = tool["function"]["arguments"]
        head = {"index": index, **tool, "function": {"name": tool["function"]["name"], "arguments": ""}}
        deltas.append(({"tool_calls": [head]}, "delta"))
        deltas += [
            ({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, "delta")
            for piece in pieces(arguments, -(-len(arguments) // 6))
        ]
    return deltas


def _message(told: Telling, reply: Reply, text: str) -> dict[str, Json]:
    silent = not text and (reply.tool_calls or reply.refusal is not None)
    message: dict[str, Json] = {"role": "assistant", "content": None if silent else text, "refusal": reply.refusal}
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = _tool_calls(told, reply)
    return {**message, "annotations": []}


def _tool_calls(told: Telling, reply: Reply) -> list[dict[str, Any]]:
    return [
        {
            "id": tool.id or f"call_{told.ids.word(f'tool{index}', 24)}",
            "type": "function",
            "function": {"name": tool.name, "arguments": tool.arguments},
        }
        for index, tool in enumerate(reply.tool_calls)
    ]


def _finish(reply: Reply) -> str:
    return reply.finish or ("tool_calls" if reply.tool_calls else "stop")


def _envelope(told: Telling, kind: str) -> dict[str, Json]:
    return {
        "id": f"chatcmpl-{told.ids.word('chat', 29)}",
        "object": kind,
        "created": CREATED,
        "model": told.model,
        "service_tier": "default",
        "system_fingerprint": f"fp_{told.ids.hex('fingerprint', 10)}",
    }


def _usage(told: Telling) -> dict[str, Json]:
    usage = told.usage
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
