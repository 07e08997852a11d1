"""Reads a very long stream that is paused, limited and resumed: how far the server got, and what memory it took.

    python tests/support/campaign_pause.py --bytes 1000000000
    python tests/support/campaign_pause.py --only client,openai --event 2048

For each way to read (our client, the openai SDK; sync, asyncio, trio), in a process of its own before a server that is
another: pause at a tenth and wait for two seconds, pause at a third, be slowed down for two hundred chunks, read on to
the end.  Printed: what the server had handed to its kernel when the pause began and when it ended, beside what had been
read by then, and how resident memory grew in the pause and over the whole stream, after its first twentieth and 40 MB:
until then our client, and the host for the sake of ``openai+retry``, keep the answer for whoever must know what was
said when a stream breaks.  Under ``openai`` the host has the stream plugins alone, of which none asks for that.

Exit status 1 if a pause did not stop the server, or memory grew by more than 16 MB in a pause or over the stream.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import httpx
from attrs import asdict, define
from clippy_errors import ErrorClassifier
from clippy_hookspecs import Chunk, RequestContext, hookimpl
from clippy_retry import RetryPolicy
from clippy_stream import StreamController
from clippy_stream_monitor import StreamMonitor
from clippy_throttle import Throttle

import clippy_core

HERE = Path(__file__).parent
WAYS = ("openai", "openai-asyncio", "openai-trio", "client", "client-asyncio", "client-trio", "openai+retry")
FLAT = 16 * 1024 * 1024
KEPT = 40 * 1024 * 1024
"""More than the host keeps of an answer for whoever wants to know what was said when it breaks (16 MiB), as text."""
KERNEL = 24 * 1024 * 1024
"""More than the kernel holds between two sockets on loopback."""
MESSAGES: Any = [{"role": "user", "content": "Go on"}]
PAUSE = 2.0


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


@define(eq=False)
class Course:
    """Counts what passes, has the stream paused and slowed down at its places, and notes what is seen there.

    As a plugin it runs in the reader; what it starts runs in threads of its own, as a user's hand would.
    """

    size: int
    server: str
    controller: StreamController
    read: int = 0
    chunks: int = 0
    paused: int = 0
    sent_before: int = 0
    sent_after: int = 0
    read_then: int = 0
    grew_in_pause: int = 0
    first: int = 0
    most: int = 0
    limited_for: float = 0.0
    limited_at: int = 0

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
        self.read += len(chunk.delta)
        self.chunks += bool(chunk.delta)
        if not self.first and self.read > max(self.size / 20, KEPT):
            self.first = resident()
        if self.chunks % 500 == 0 and self.first:
            self.most = max(self.most, resident())
        if self.paused == 0 and self.read > self.size / 10:
            self.paused = 1
            self._pause(ctx, PAUSE)
        elif self.paused == 1 and self.read > self.size / 3:
            self.paused = 2
            self._pause(ctx, PAUSE / 4)
        elif self.paused == 2 and self.read > self.size / 2:
            self.paused, self.limited_at, self.limited_for = 3, self.chunks, -time.monotonic()
            self.controller.limit(ctx.id, 200.0)
        elif self.limited_for < 0 and self.chunks >= self.limited_at + 200:
            self.limited_for += time.monotonic()
            self.controller.limit(ctx.id, None)

    def _pause(self, ctx: RequestContext, seconds: float) -> None:
        self.controller.pause(ctx.id)
        threading.Thread(target=self._look, args=(ctx.id, seconds), daemon=True).start()

    def _look(self, request_id: str, seconds: float) -> None:
        """While it is paused: let the kernel's buffers fill, then see that nothing moves."""
        time.sleep(0.7)
        before, sent = resident(), self._sent()
        time.sleep(seconds)
        self.grew_in_pause = max(self.grew_in_pause, resident() - before)
        if seconds == PAUSE:
            self.sent_before, self.sent_after, self.read_then = sent, self._sent(), self.read
        self.controller.resume(request_id)

    def _sent(self) -> int:
        return int(httpx.get(self.server.replace("/v1", "/sent")).text)


def read(way: str, course: Course) -> None:
    """One stream to its end, keeping none of it."""
    kind, _, colour = way.partition("-")
    plugins: dict[str, object] = {
        "course": course, "stream": course.controller, "stream-monitor": StreamMonitor(),
        "throttle": Throttle(chunks_per_second=1e6),
    }  # fmt: skip
    if kind == "openai+retry":
        plugins |= {"errors": ErrorClassifier(), "retry": RetryPolicy()}
    route = {"base_url": course.server, "key": "k", "model": "m"}
    host = clippy_core.Host(plugins, config={"routes": {"main": route}})
    if colour:
        anyio.run(_aread, kind, host, course.server, backend=colour)
    elif kind == "client":
        with host, clippy_core.Client(host) as client, client.stream("Go on") as stream:
            for _ in stream:
                pass
    else:
        import openai

        with host, host.wrap(openai.OpenAI(api_key="none", base_url=course.server)) as sdk:
            with sdk.chat.completions.create(model="m", messages=MESSAGES, stream=True) as chunks:
                for _ in chunks:
                    pass


async def _aread(kind: str, host: clippy_core.Host, server: str) -> None:
    async with host:
        if kind == "client":
            async with clippy_core.AsyncClient(host) as client, await client.stream("Go on") as stream:
                async for _ in stream:
                    pass
            return
        import openai

        async with host.wrap(openai.AsyncOpenAI(api_key="none", base_url=server)) as sdk:
            async with await sdk.chat.completions.create(model="m", messages=MESSAGES, stream=True) as chunks:
                async for _ in chunks:
                    pass


def one(way: str, size: int, event: int) -> dict[str, Any]:
    """The course of one way, run in this process before a server in another."""
    words = [sys.executable, str(HERE / "flood.py"), str(size), str(event)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            course = Course(size, server.stdout.readline().strip(), StreamController())
            began, cpu = time.monotonic(), time.process_time()
            read(way, course)
            took, cpu = time.monotonic() - began, time.process_time() - cpu
        finally:
            server.stdin.close()
    course.most = max(course.most, resident())
    found = asdict(course, filter=lambda attribute, _: attribute.name not in ("controller", "server"))
    return {"way": way, **found, "grew": course.most - course.first, "seconds": took, "cpu": cpu}


def judged(found: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    faults = []
    if found["read"] < found["size"] * 0.9:
        faults.append("not all was read")
    if found["sent_after"] - found["sent_before"] > 0 or found["sent_after"] > found["read_then"] + KERNEL:
        faults.append("the pause did not stop the server")
    if found["grew_in_pause"] > FLAT:
        faults.append("memory grew in a pause")
    if found["grew"] > FLAT:
        faults.append("memory grew with the stream")
    return faults


def main() -> int:
    """Run each way in a process of its own and print its line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=1_000_000_000)
    parser.add_argument("--event", type=int, default=8192, help="bytes of an event")
    parser.add_argument("--only", default=",".join(WAYS))
    parser.add_argument("--in-process", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_process:
        sys.stdout.write(json.dumps(one(given.in_process, given.bytes, given.event)) + "\n")
        return 0
    failed = False
    for way in given.only.split(","):
        words = [sys.executable, __file__, "--bytes", str(given.bytes), "--event", str(given.event)]
        run = subprocess.run([*words, "--in-process", way], stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(run.stdout)
        faults = judged(found)
        failed = failed or bool(faults)
        sys.stdout.write(_line(found) + ("; ".join(["  " + fault for fault in faults]) or "  ok") + "\n")
        sys.stdout.flush()
    return int(failed)


def _line(found: dict[str, Any]) -> str:
    mb = {
        name: found[name] / 1e6 for name in ("read", "read_then", "sent_before", "sent_after", "grew_in_pause", "grew")
    }
    return (
        f"{found['way']:<15} {mb['read']:7.1f} MB of text in {found['seconds']:5.1f} s (CPU {found['cpu']:5.1f}); "
        f"paused with {mb['read_then']:6.1f} MB read: server at {mb['sent_before']:6.1f}, "
        f"{PAUSE:.0f} s later {mb['sent_after']:6.1f}; memory +{mb['grew_in_pause']:.1f} MB in the pauses, "
        f"+{mb['grew']:.1f} over the stream; 200 chunks at 200/s took {found['limited_for']:.2f} s"
    )


if __name__ == "__main__":
    raise SystemExit(main())
