"""A thousand slow streams at once through two workers of ``clippy serve``: none is lost, and what each of them takes.

    python tests/support/campaign_gateway.py --streams 1000
    python tests/support/campaign_gateway.py --only bare --streams 200
    python tests/support/campaign_gateway.py --server granian --parts drain --streams 300

For the gateway alone and with every first-party plugin of ``clippy-all`` at its defaults, each question with a number
of its own.  A provider in a process of its own says a word a second for each stream.

slow    all streams are read at once to their end: every word of every one must come, and resident memory of both
        workers, between none open and all open, may grow by 64 KiB a stream.
leave   as many callers again, each leaves after another number of words, some before the first: the provider must see
        each of these connections closed, and the audit, if there is one, record each once, cancelled, with its usage.
back    the provider is killed amid streams and started again: each caller sees its stream cut, the next is answered.
drain   SIGTERM as soon as all have asked: each stream is read to its end, and both workers end.  No part may leave a
        traceback in the log.

Exit status 1 and what was otherwise, if anything was.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

CLIPPY = str(Path(sys.executable).parent / "clippy")
WORDS, PACE = 12, 1.0
PER_STREAM = 64 * 1024
PATIENCE = 60.0
PLUGINS = {
    "bare": ("gateway",),
    "default": (
        "gateway", "audit", "cache", "cache-failures", "cache-memory", "cache-sqlite", "context-window", "dedup",
        "prices", "prompt-cache", "breaker", "errors", "fallback", "retry", "stream", "stream-debug", "stream-monitor",
        "telemetry-log", "throttle",
    ),
}  # fmt: skip
PARTS = ("slow", "leave", "back", "drain")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"data: [DONE]\n\n"


def event(**choice: Any) -> bytes:
    said = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**said, 'choices': [{'index': 0, **choice}]})}\n\n".encode()


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# -- the provider, a process of its own ------------------------------------------------------------------------------


@define(eq=False)
class Slow:
    """Says a word a PACE, counts who asked, who left and whom it answered whole; says it at ``GET /counts``."""

    pace: float
    asked: int = 0
    whole: int = 0
    left: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"GET"):
                    body = json.dumps({"asked": self.asked, "whole": self.whole, "left": self.left}).encode()
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                    continue
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                if not await self.say(reader, writer):
                    break
        writer.close()

    async def gone(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            await reader.read(1)

    async def say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(HEAD + chunked(event(delta={"role": "assistant", "content": ""}, finish_reason=None)))
        self.asked += 1
        gone = asyncio.ensure_future(self.gone(reader))
        for number in range(WORDS):
            done, _ = await asyncio.wait([gone], timeout=self.pace)
            if done:
                self.left += 1
                return False
            writer.write(chunked(event(delta={"content": f"word{number} "}, finish_reason=None)))
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        self.whole += 1
        writer.write(chunked(event(delta={}, finish_reason="stop")) + chunked(END) + b"0\r\n\r\n")
        return True


async def provide(port: int, pace: float) -> None:
    server = await asyncio.start_server(Slow(pace).serve, "127.0.0.1", port, backlog=4096)
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(0.5)
    server.close()


# -- the callers -----------------------------------------------------------------------------------------------------


async def caller(port: int, number: int, leave_after: int | None = None, asked: list[int] | None = None) -> str:
    """What became of one stream: ``whole``, ``left``, ``cut``, or an error; *asked* once that was sent."""
    words = 0
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": f"Number {number}."}]})
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        if asked is not None:
            asked.append(number)
        if leave_after == 0:
            await asyncio.sleep(PACE / 2)
            return "left"
        status = (await reader.readline()).split()
        if not status or status[1] != b"200":
            return status[1].decode() if status else "nothing"
        while line := await reader.readline():
            if b'"word' in line:
                if f'"word{words} "'.encode() not in line:
                    return "disordered"
                words += 1
                if words == leave_after:
                    return "left"
            if line == b"data: [DONE]\n":
                return "whole" if words == WORDS else "short"
        return "cut"
    except OSError as error:
        return f"cut by {type(error).__name__}" if words else f"unanswered, {type(error).__name__}"
    finally:
        writer.close()


async def callers(
    port: int, numbers: Sequence[int], leaving: bool = False, asked: list[int] | None = None
) -> Counter[str]:
    """All of them at once, let in a little apart as a network does."""
    tasks = []
    for count, number in enumerate(numbers):
        tasks.append(asyncio.create_task(caller(port, number, count % WORDS if leaving else None, asked)))
        if count % 20 == 19:
            await asyncio.sleep(0.02)
    return Counter(await asyncio.gather(*tasks))


# -- the gateway -----------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def speaks(port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"nothing listens at port {port}")


async def counts(port: int) -> dict[str, int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /counts HTTP/1.1\r\nhost: localhost\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    said = json.loads(await reader.readexactly(int(head.partition(b"length: ")[2].split()[0])))
    writer.close()
    return dict(said)


def resident(pid: int) -> int:
    """Bytes of a process's children, which are the workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = sum(int(Path(f"/proc/{child}/statm").read_text().split()[1]) for child in children)
    return pages * os.sysconf("SC_PAGESIZE")


@define(eq=False)
class Run:
    """One gateway before one provider."""

    plugins: str
    streams: int
    folder: Path
    server: str = "uvicorn"
    port: int = field(factory=free_port)
    upstream: int = field(factory=free_port)
    gateway: Any = None
    provider: Any = None
    asked: int = 0
    wrong: list[str] = field(factory=list)

    def numbers(self, count: int) -> range:
        self.asked += count
        return range(self.asked - count, self.asked)

    async def provide(self) -> None:
        argv = [sys.executable, __file__, "--provide", str(self.upstream), "--pace", str(PACE)]
        self.provider = await asyncio.to_thread(subprocess.Popen, argv)
        await speaks(self.upstream)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        allowed = ", ".join(f'"{name}"' for name in PLUGINS[self.plugins])
        route = f'[routes.main]\napi = "openai.chat"\nbase_url = "http://127.0.0.1:{self.upstream}/v1"\nkey = "sk-x"\n'
        own = f'[plugins.gateway]\nserver = "{self.server}"\nworkers = 2\ndrain = {PATIENCE}\n'
        file = self.folder / "clippy.toml"
        file.write_text(f"allow = [{allowed}]\n{own}{route}")
        homes = dict.fromkeys(("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME"), str(self.folder))
        argv = [CLIPPY, "--config", str(file), "serve", "--port", str(self.port)]
        await self.provide()
        with (self.folder / "log").open("w") as log:
            env = {**os.environ, **homes}
            self.gateway = await asyncio.to_thread(subprocess.Popen, argv, stdout=log, stderr=log, env=env)
        try:
            await speaks(self.port)
            if self.gateway.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text())
            yield
        finally:
            for process in (self.gateway, self.provider):
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
            self.gateway.wait(PATIENCE)
            self.provider.wait(PATIENCE)

    def expect(self, what: str, right: bool) -> None:
        if not right:
            self.wrong.append(f"{self.plugins}: {what}")

    def say(self, part: str, told: str) -> None:
        print(f"{self.plugins:8} {part:6} {told}", flush=True)

    async def slow(self) -> None:
        await callers(self.port, self.numbers(self.streams // 5))  # what grows once, with the first: pools, buffers
        before = resident(self.gateway.pid)
        reading = asyncio.create_task(callers(self.port, self.numbers(self.streams)))
        most = before
        while not reading.done():
            await asyncio.sleep(PACE / 2)
            most = max(most, resident(self.gateway.pid))
        ended, each = await reading, (most - before) / self.streams
        self.say("slow", f"{dict(ended)}; {before / 1e6:.0f} MB before, {each / 1024:.1f} KiB a stream")
        self.expect(f"not all streams were whole: {dict(ended)}", ended == {"whole": self.streams})
        self.expect(f"a stream takes {each / 1024:.1f} KiB", each <= PER_STREAM)

    async def leave(self) -> None:
        before, lines = await counts(self.upstream), self.audited()
        ended = await callers(self.port, self.numbers(self.streams), leaving=True)
        seen: dict[str, int] = {}
        for _ in range(int(PATIENCE)):
            seen = {name: count - before[name] for name, count in (await counts(self.upstream)).items()}
            if seen["left"] + seen["whole"] >= seen["asked"]:
                break
            await asyncio.sleep(0.5)
        self.say("leave", f"{dict(ended)}; the provider saw {seen}")
        self.expect(f"callers ended otherwise: {dict(ended)}", set(ended) == {"left"})
        # Of those who leave before the first word some leave before their request went on.
        all_closed = seen["left"] == seen["asked"] >= self.streams * (WORDS - 1) // WORDS
        self.expect(f"of {self.streams} that left the provider saw {seen}", all_closed and not seen["whole"])
        if lines is not None:
            await self.settled(lines)

    async def settled(self, before: list[Any]) -> None:
        for _ in range(100):
            now = self.audited() or []
            if len(now) - len(before) >= self.streams:
                break
            await asyncio.sleep(0.1)
        new = now[len(before) :]
        ends = Counter(record["outcome"] for record in new)
        unsettled = sum(1 for record in new if record["outcome"] == "cancelled" and not record.get("usage"))
        once = len({record["id"] for record in new}) == len(new) == self.streams
        self.say("", f"audit: {dict(ends)}, without usage {unsettled}")
        self.expect(f"the audit has {len(new)} records of {self.streams} requests", once)
        self.expect(f"the audit says {dict(ends)}", set(ends) == {"cancelled"} and not unsettled)

    def audited(self) -> list[Any] | None:
        files = sorted(self.folder.rglob("audit.jsonl"))
        return [json.loads(line) for line in files[0].read_text().splitlines()] if files else None

    async def back(self) -> None:
        reading = asyncio.create_task(callers(self.port, self.numbers(self.streams // 5)))
        await asyncio.sleep(3 * PACE)
        self.provider.kill()
        self.provider.wait()
        ended = await asyncio.wait_for(reading, PATIENCE)
        await self.provide()
        again = Counter({"": 1})
        for _ in range(int(PATIENCE)):  # until a breaker lets a probe pass
            again = await callers(self.port, self.numbers(1))
            if again == {"whole": 1}:
                break
            await asyncio.sleep(1)
        self.say("back", f"{dict(ended)}, then {dict(again)}")
        self.expect(f"a stream was whole whose provider was killed: {dict(ended)}", "whole" not in ended)
        self.expect(f"after the provider came back: {dict(again)}", again == {"whole": 1})

    async def drain(self) -> None:
        for _ in range(int(PATIENCE)):  # until no worker's breaker is open: so many that each worker has some of them
            ended = await callers(self.port, self.numbers(200))
            if ended == {"whole": 200}:
                break
        asked: list[int] = []
        reading = asyncio.create_task(callers(self.port, self.numbers(self.streams), asked=asked))
        while len(asked) < self.streams and not reading.done():
            await asyncio.sleep(PACE / 100)
        began = time.monotonic()
        self.gateway.send_signal(signal.SIGTERM)
        ended = await reading
        code = await asyncio.to_thread(self.gateway.wait, PATIENCE)
        self.say("drain", f"{dict(ended)}; ended with {code} after {time.monotonic() - began:.1f} s")
        self.expect(f"the drain lost streams: {dict(ended)}", ended == {"whole": self.streams})
        self.expect(f"the gateway ended with {code}", code == 0)


async def run(wanted: Sequence[str], streams: int, server: str, parts: Sequence[str]) -> list[str]:
    wrong = []
    for plugins in wanted:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            one = Run(plugins, streams, Path(folder), server)
            async with one.serving():
                for part in PARTS:
                    if part in parts:
                        await getattr(one, part)()
            log = (Path(folder) / "log").read_text()
            one.expect(f"the log has a traceback: {log[log.find('Traceback') :][:2000]}", "Traceback" not in log)
            wrong += one.wrong
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--only", default=",".join(PLUGINS), help=f"comma list of {', '.join(PLUGINS)}")
    parser.add_argument("--server", default="uvicorn", choices=("uvicorn", "granian"))
    parser.add_argument("--parts", default=",".join(PARTS), help=f"comma list of {', '.join(PARTS)}")
    parser.add_argument("--provide", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pace", type=float, default=PACE, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.provide is not None:
        asyncio.run(provide(options.provide, options.pace))
        return 0
    wrong = asyncio.run(run(options.only.split(","), options.streams, options.server, options.parts.split(",")))
    for fault in wrong:
        print("otherwise:", fault)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
