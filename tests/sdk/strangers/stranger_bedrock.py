"""anthropic on Bedrock: requests signed with SigV4 (botocore), answers as AWS event streams, bare and under a host.

The server computes every signature again.  The client goes through a proxy to a name that does not exist, so that the
signed host is the same in every run, and signs at one instant.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import importlib.metadata
import json
import os
import struct
import sys
import tempfile
import warnings
import zlib
from typing import Any
from urllib.parse import quote, urlsplit

import anthropic
import botocore.auth
import httpx2
from sdk_colours import Each, Inside, Said, head, value
from sdk_lab import COLOURS, ROOFS, Got, Lab

from clippy_core.testing import FakeServer, Fault, Raw, Script, SeenRequest

NOW = datetime.datetime(2026, 11, 22, 10, 20, 30)
REGION, SECRET = "eu-central-1", "fake+secret/key"
MODEL = "anthropic.claude-fake-v1:0"
ASKED: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Grüße, 世界 🌍"}],
}


# --- what a program does ---------------------------------------------------------------------------------------------


def make_client(colour: str, *, base_url: str, http_client: Any, **settings: Any) -> Any:
    """A Bedrock client with a key, a secret and a session token of its own."""
    kind = anthropic.AnthropicBedrock if colour == "sync" else anthropic.AsyncAnthropicBedrock
    keys = {"aws_access_key": "AKIAFAKE", "aws_secret_key": SECRET, "aws_session_token": "fake=="}
    return kind(**keys, aws_region=REGION, base_url=base_url, http_client=http_client, **{"max_retries": 0, **settings})


async def message(client: Any, say: Said) -> None:
    answer = await value(client.messages.create(**ASKED, system="Be brief.", service_tier="auto"))
    say(answer)
    say(answer._request_id)


async def beta(client: Any, say: Said) -> None:
    say(await value(client.beta.messages.create(**ASKED, betas=["own-2026-01-01"])))


async def raw(client: Any, say: Said) -> None:
    answer = await value(client.messages.with_raw_response.create(**ASKED, extra_headers={"x-own": "e  u"}))
    say([answer.status_code, head(answer.headers), answer.http_response.content])


async def stream(client: Any, say: Said) -> None:
    async for event in Each(await value(client.messages.create(**ASKED, stream=True))):
        say(event)


async def stream_helper(client: Any, say: Said) -> None:
    async with Inside(client.messages.stream(**ASKED)) as events:
        async for event in Each(events):
            say(event)
        say(await value(events.get_final_message()))


async def stream_bytes(client: Any, say: Said) -> None:
    """The pieces as they come: frames are cut where the server cut them."""
    asked = client.messages.with_streaming_response.create(**ASKED, stream=True)
    async with Inside(asked) as answer:
        say([answer.status_code, head(answer.headers)])
        async for piece in Each(answer.iter_bytes()):
            say(piece)


async def early_close(client: Any, say: Said) -> None:
    """Leaves a stream after two pieces, then asks again with the same client."""
    left = await value(client.messages.create(**ASKED, stream=True))
    events = Each(left)
    for _ in range(2):
        say(await anext(events))
    await value(left.close())
    say(await value(client.messages.create(**ASKED)))


async def twice(client: Any, say: Said) -> None:
    """The same question again: each time signed and sent."""
    await message(client, say)
    await message(client, say)


# --- what Bedrock answers ------------------------------------------------------------------------------------------


def frame(payload: Any, **names: str) -> bytes:
    """One message of AWS's event stream encoding: prelude, string headers, payload, each part under a CRC32."""
    fields = b""
    for name, text in names.items():
        key, data = b":" + name.replace("_", "-").encode(), text.encode()
        fields += struct.pack("!B", len(key)) + key + b"\x07" + struct.pack("!H", len(data)) + data
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(fields) + len(body), len(fields))
    counted = prelude + struct.pack("!I", zlib.crc32(prelude)) + fields + body
    return counted + struct.pack("!I", zlib.crc32(counted))


def chunk(event: dict[str, Any]) -> bytes:
    """An event of Anthropic's stream as Bedrock sends it, with its padding."""
    data = base64.b64encode(json.dumps(event, ensure_ascii=False).encode()).decode()
    payload = {"bytes": data, "p": "abcdefgh"[: len(data) % 8]}
    return frame(payload, event_type="chunk", content_type="application/json", message_type="event")


def exception(kind: str, text: str) -> bytes:
    """An exception amid a stream."""
    return frame({"message": text}, exception_type=kind, content_type="application/json", message_type="exception")


_WHOLE: dict[str, Any] = {"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": "claude-fake"}
_USED = {"input_tokens": 9, "output_tokens": 4}
PLAIN = {
    **_WHOLE,
    "content": [
        {"type": "text", "text": "Grüße 世界"},
        {"type": "tool_use", "id": "toolu_bdrk_1", "name": "weather", "input": {"city": "Köln"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": _USED,
}
EVENTS: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {**_WHOLE, "content": [], "stop_reason": None, "stop_sequence": None, "usage": _USED},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    *(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        for text in ("Grü", "ße ", "世界", " 🌍")
    ),
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": _USED},
    {
        "type": "message_stop",
        "amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 4, "invocationLatency": 5},
    },
]
FRAMES = [chunk(event) for event in EVENTS]
_ID = ("x-amzn-requestid", "6b6f0a60-fake")
_MEDIA = (("content-type", "application/vnd.amazon.eventstream"), _ID)
_THROTTLED = b'{"message": "Too many tokens, please wait before trying again."}'


def answer(pieces: list[bytes]) -> Any:
    """What Bedrock does when all goes well: *pieces* for a stream, else the whole message; 403 for a bad signature."""

    def act(seen: SeenRequest) -> Any:
        if not rightly_signed(seen):
            return Fault.status(403, {"x-amzn-errortype": "InvalidSignatureException"}, b'{"message": "signature"}')
        if seen.path.endswith("/invoke-with-response-stream"):
            return Raw(pieces, headers=_MEDIA)
        return Raw(json.dumps(PLAIN).encode(), headers=(("content-type", "application/json"), _ID))

    return act


def recut(size: int) -> list[bytes]:
    """The frames' bytes in pieces of *size*."""
    whole = b"".join(FRAMES)
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def rightly_signed(seen: SeenRequest) -> bool:
    """Whether the signature is right for what arrived: computed as AWS documents it, without botocore."""
    given = seen.headers["authorization"]
    parts = dict(part.strip().split("=", 1) for part in given.removeprefix("AWS4-HMAC-SHA256 ").split(","))
    names = parts["SignedHeaders"].split(";")
    lines = [f"{name}:{' '.join(seen.headers[name].split())}\n" for name in names]
    path = quote(urlsplit(seen.url).path, safe="/~")
    query = "&".join(sorted(urlsplit(seen.url).query.split("&")))
    digest = hashlib.sha256(seen.body).hexdigest()
    canonical = "\n".join([seen.method, path, query, "".join(lines), parts["SignedHeaders"], digest])
    _, day, region, service, end = parts["Credential"].split("/")
    scope = f"{day}/{region}/{service}/{end}"
    hashed = hashlib.sha256(canonical.encode("utf-8")).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{seen.headers['x-amz-date']}\n{scope}\n{hashed}"
    key = f"AWS4{SECRET}".encode()
    for step in (day, region, service, end):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), parts["Signature"])


_BROKEN = bytearray(FRAMES[3])
_BROKEN[-6] ^= 1
HEALTHY: dict[str, tuple[Any, Any]] = {
    "message": (message, answer(FRAMES)),
    "message twice": (twice, answer(FRAMES)),
    "beta": (beta, answer(FRAMES)),
    "raw": (raw, answer(FRAMES)),
    "stream": (stream, answer(FRAMES)),
    "stream in one piece": (stream, answer([b"".join(FRAMES)])),
    "stream byte by byte": (stream, answer(recut(1))),
    "stream helper": (stream_helper, answer(FRAMES)),
    "stream bytes": (stream_bytes, answer(recut(37))),
    "early close": (early_close, answer(FRAMES)),
}
"""Calls that end well."""

FAULTS: dict[str, Any] = {
    "400": Fault.status(400, {"x-amzn-errortype": "ValidationException"}, b'{"message": "max_tokens: too large"}'),
    "403": Fault.status(403, {"x-amzn-errortype": "AccessDeniedException"}, b'{"Message": "not authorized"}'),
    "429": Fault.status(429, {"x-amzn-errortype": "ThrottlingException"}, _THROTTLED),
    "500": Fault.status(500, {"x-amzn-errortype": "InternalServerException"}, b'{"message": "oops"}'),
    "503": Fault.status(503, {"x-amzn-errortype": "ServiceUnavailableException"}, b'{"message": "later"}'),
    "reset": Fault.reset(),
    "hangup": Fault.hangup(),
}
"""What goes wrong for good, with a message and with a stream."""

BROKEN: dict[str, Any] = {
    "throttled amid a stream": answer([*FRAMES[:4], exception("throttlingException", "Too many requests")]),
    "throttled before its first event": answer([exception("throttlingException", "Too many requests")]),
    "a model's error amid a stream": answer([*FRAMES[:4], exception("modelStreamErrorException", "The model")]),
    "a frame with a wrong checksum": answer([*FRAMES[:3], bytes(_BROKEN), *FRAMES[4:]]),
    "a stream cut amid a frame": answer([*FRAMES[:3], FRAMES[3][:20]]),
    "a stream without its end": answer(FRAMES[:-1]),
    "hangup amid a stream": [Fault.hangup(at_byte=700), Raw(FRAMES, headers=_MEDIA)],
    "reset amid a stream": [Fault.reset(at_byte=700), Raw(FRAMES, headers=_MEDIA)],
}
"""What goes wrong for good in a stream."""

UNSEEN = frozenset({"a stream cut amid a frame", "a stream without its end"})
"""Faults that the SDK does not notice."""


# --- the comparison ------------------------------------------------------------------------------------------------


def compared(colour: str, call: Any, script: Any, **settings: Any) -> tuple[Got, list[str]]:
    """The bare run, and what is otherwise under the other roofs."""
    folder = tempfile.mkdtemp(dir=os.environ["HOME"])
    for name in ("CACHE", "DATA", "STATE"):
        os.environ[f"XDG_{name}_HOME"] = folder

    def through(server: FakeServer) -> dict[str, Any]:
        return {"proxy": server.origin}

    lab = Lab(colour, httpx2, make_client, through, f"http://bedrock-runtime.{REGION}.invalid")
    got, wrong = {}, []
    for roof in ROOFS:
        got[roof] = lab.run(call, script, roof=roof, wire=True, **settings)
        asked = lab.provider.requests
        wrong += [f"{roof}: no request"] * (not asked)
        wrong += [f"{roof}: a wrong signature"] * (not all(map(rightly_signed, asked)))
    bare = got["bare"]
    if _seen(got["no plugin"]) != _seen(bare):
        wrong.append(f"no plugin: {got['no plugin']} instead of {bare}")
    full = got["all plugins"]
    if full.result != bare.result:
        wrong.append(f"every plugin: {full.result} instead of {bare.result}")
    if bare.raised is None and (full.requests, full.connections) != (bare.requests, bare.connections):
        wrong.append("every plugin: other requests or connections than the bare SDK's")
    if set(full.requests) - set(bare.requests):
        wrong.append("every plugin: a request that the bare SDK does not send")
    return bare, wrong


def _seen(got: Got) -> tuple[Any, ...]:
    """Everything but how exchanges ended for the server: with a client that leaves early that is a race."""
    return got.said, got.raised, got.requests, got.connections


def main() -> int:
    """Run everything; status 1 if anything differed."""
    warnings.simplefilter("ignore", ResourceWarning)
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True: NOW
    different: list[str] = []
    count = 0
    for colour in COLOURS:
        for name, (call, script) in HEALTHY.items():
            bare, wrong = compared(colour, call, Script(then=script))
            count += 2
            if bare.raised is not None or not bare.said:
                wrong.append(f"the bare SDK did not do what it was meant to: {bare}")
            different += [f"{colour} {name}, {text}" for text in wrong]
        faults = [(call, name) for call in (message, stream) for name in FAULTS]
        for call, name in [*faults, *((stream, name) for name in BROKEN)]:
            bare, wrong = compared(colour, call, Script(then={**FAULTS, **BROKEN}[name]))
            count += 2
            if bare.raised is None and name not in UNSEEN:
                wrong.append(f"the bare SDK was meant to fail: {bare}")
            different += [f"{colour} {call.__name__}, {name}, {text}" for text in wrong]
    version = f"{importlib.metadata.version('anthropic')} (botocore {importlib.metadata.version('botocore')})"
    verdict = f"{len(different)} DIFFERENT" if different else "equal"
    print(f"anthropic {version} on Bedrock, SigV4 and event streams: {count} comparisons, {verdict}")
    for line in different:
        print(f"    {line}")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
