"""What reading and writing the wire costs by itself, in process: bodies, events, canonical JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
from clippy_hookspecs import Headers

from benchmarks import hosts
from benchmarks.bench import Bench
from clippy_core import jsonio
from clippy_core.testing.canned import PLAIN, stream_body
from clippy_core.testing.timing import Block, Group, repeated
from clippy_core.wire import APIS, StreamDecoder, decode_request, decode_response
from clippy_core.wire.openai_chat import API

_HEADERS = Headers((("content-type", "application/json"), ("authorization", "Bearer k"), ("user-agent", "bench")))
_BODIES: dict[str, tuple[str, Any, Any]] = {
    "openai.chat": (
        "/v1/chat/completions",
        {"model": "m", "temperature": 0.5, "messages": hosts.messages(same=True) * 2},
        orjson.loads(PLAIN.split(b"\r\n\r\n", 1)[1]),
    ),
    "openai.responses": (
        "/v1/responses",
        {"model": "m", "instructions": "Be brief.", "input": hosts.messages(same=True)},
        {
            "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "error": None, "model": "m",
            "output": [
                {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                 "content": [{"type": "output_text", "text": "word " * 100, "annotations": []}]}
            ],
            "usage": {"input_tokens": 12, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 100,
                      "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 112},
        },
    ),
    "anthropic.messages": (
        "/v1/messages",
        {"model": "m", "max_tokens": 100, "system": "Be brief.", "messages": hosts.messages(same=True)},
        {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "word " * 100}], "stop_reason": "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": 12, "output_tokens": 100},
        },
    ),
}  # fmt: skip
"""Path, body of a request and body of an answer of each wire API."""


def wire_request(bench: Bench) -> Group:
    """A request's messages out of its bytes, compared with ``json.loads`` of the chat request."""

    def read(api: str) -> Block:
        path, body, _ = _BODIES[api]
        url, octets = f"https://api.example{path}", json.dumps(body).encode()
        return repeated(lambda: decode_request("POST", url, "", _HEADERS, octets).messages)

    octets = json.dumps(_BODIES["openai.chat"][1]).encode()
    cases = {"json.loads": repeated(lambda: json.loads(octets)), "orjson.loads": repeated(lambda: orjson.loads(octets))}
    return Group("decode request", cases | {api: read(api) for api in _BODIES}, per_block=1000)


def wire_response(bench: Bench) -> Group:
    """An answer's usage out of its bytes, compared with ``json.loads`` of the chat answer."""

    def read(api: str) -> Block:
        octets = json.dumps(_BODIES[api][2]).encode()
        return repeated(lambda: decode_response(APIS[api], 200, _HEADERS, octets).usage)

    octets = json.dumps(_BODIES["openai.chat"][2]).encode()
    cases = {"json.loads": repeated(lambda: json.loads(octets)), "orjson.loads": repeated(lambda: orjson.loads(octets))}
    return Group("decode response", cases | {api: read(api) for api in _BODIES}, per_block=1000)


def wire_chunks(bench: Bench) -> Group:
    """A stream of 100 chunks of openai.chat, compared with cutting it by hand and ``json.loads`` of each event."""
    stream = stream_body()
    events = [event + b"\n\n" for event in stream.split(b"\n\n")[:-1]]
    odd = [stream[at : at + 300] for at in range(0, len(stream), 300)]

    def by_hand(loads: Callable[[bytes], Any]) -> Block:
        return repeated(lambda: [loads(event[6:]) for event in stream.split(b"\n\n")[:-2]])

    def decoded(pieces: list[bytes]) -> Block:
        def once() -> None:
            decoder = StreamDecoder(API)
            for piece in pieces:
                decoder.feed(piece)

        return repeated(once)

    cases = {
        "cut by hand + json.loads": by_hand(json.loads),
        "cut by hand + orjson.loads": by_hand(orjson.loads),
        "in one piece": decoded([stream]),
        "one event a piece": decoded(events),
        "300 bytes a piece": decoded(odd),
    }
    return Group("chunk", cases, per_block=20)


def wire_canonical(bench: Bench) -> Group:
    """The canonical form of a small body, compared with orjson's sorted output."""
    body = _BODIES["openai.chat"][1]
    return _canonical("canonical JSON, small", body, 2000)


def wire_canonical_big(bench: Bench) -> Group:
    """The canonical form of a body of 1 MB."""
    body = {"model": "m", "messages": [{"role": "user", "content": "word " * 5000} for _ in range(40)]}
    return _canonical("canonical JSON, 1 MB", body, 20)


def _canonical(title: str, body: Any, per_block: int) -> Group:
    cases = {
        "orjson, sorted": repeated(lambda: orjson.dumps(body, option=orjson.OPT_SORT_KEYS)),
        "canonical": repeated(lambda: jsonio.canonical(body)),
        "json, sorted": repeated(lambda: json.dumps(body, sort_keys=True)),
    }
    return Group(title, cases, per_block=per_block)
