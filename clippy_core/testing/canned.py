"""A server of canned answers in a process of its own, so that its time is not counted as ours.

``python -m clippy_core.testing.canned`` prints its port and serves until its standard input ends, which it does when
the process that started it ends, however that happens.  A request whose body says ``"stream":true`` gets 100 pieces of
text in one write, any other the same text as one JSON body; ``GET /count`` says how many requests there were.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from types import TracebackType

from attrs import define, field

PIECES = 100
WORDS = [f"word{number} " for number in range(PIECES)]

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_STREAMED = re.compile(rb'"stream": ?true')


def _envelope(kind: str) -> dict[str, object]:
    return {"id": "chatcmpl-bench", "object": kind, "created": 1_700_000_000, "model": "bench-model"}


def _plain() -> bytes:
    message = {"role": "assistant", "content": "".join(WORDS), "refusal": None}
    usage = {"prompt_tokens": 12, "completion_tokens": PIECES, "total_tokens": 12 + PIECES}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json.dumps({**_envelope("chat.completion"), "choices": [choice], "usage": usage}).encode()


def stream_body() -> bytes:
    """The events of the canned stream."""
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in WORDS]
    deltas += [({}, "stop")]
    events = []
    for delta, reason in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        events.append(json.dumps({**_envelope("chat.completion.chunk"), "choices": [choice]}, separators=(",", ":")))
    return b"".join(f"data: {event}\n\n".encode() for event in [*events, "[DONE]"])


def _answer(body: bytes, kind: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\nx-request-id: req_bench\r\n" % kind
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


def _chunked(body: bytes) -> bytes:
    """One chunk for each event, all in one piece: a stream that arrives in one burst."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_bench\r\n"
    events = [event + b"\n\n" for event in body.split(b"\n\n")[:-1]]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in events)
    return head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


PLAIN = _answer(_plain(), b"application/json")
STREAM = _chunked(stream_body())


class _Connection(asyncio.Protocol):
    requests = 0

    def __init__(self) -> None:
        self._held = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._held[:end])
            said = _LENGTH.search(head)
            size = end + 4 + (int(said.group(1)) if said else 0)
            if len(self._held) < size:
                return
            body = bytes(self._held[end + 4 : size])
            del self._held[:size]
            self._transport.write(self._reply(head, body))

    def _reply(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET /count"):
            return _answer(b"%d" % _Connection.requests, b"text/plain")
        _Connection.requests += 1
        return STREAM if _STREAMED.search(body, 0, 4096) or _STREAMED.search(body[-4096:]) else PLAIN


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 1) else ended.set())
    await ended.wait()


@define(eq=False)
class CannedServer:
    """The server as a child process, between ``with`` and its end."""

    port: int = field(init=False, default=0)
    _process: subprocess.Popen[bytes] = field(init=False, repr=False)

    def __enter__(self) -> CannedServer:
        command = [sys.executable, "-m", "clippy_core.testing.canned"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ours
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def chat_url(self) -> str:
        return f"{self.base_url}/chat/completions"

    def requests(self) -> int:
        """How many requests there were; this one is not counted."""
        import httpx

        return int(httpx.get(f"http://127.0.0.1:{self.port}/count", trust_env=False).text)


if __name__ == "__main__":
    asyncio.run(_serve())
