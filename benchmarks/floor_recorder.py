"""What writing a recorded call down must cost at the least, beside what it costs.

    python -m benchmarks.floor_recorder

Whoever keeps a call without its secrets looks through each of its texts once (a body that was asked and sent, or
answered and handed on, is one text) and writes one line of JSON.  That, and nothing else, is the floor: no value is
made, no header looked at, no time worked out, and what it looks for is what the recorder looks for.  Beside it stand
what the recorder does in the program, what it does where a process of its own writes, and what that process does.
CPU microseconds of the thread, the best of several: a machine that does other things makes all of them too large alike.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import orjson
from clippy_audit import redact
from clippy_recorder import Recorder
from clippy_recorder.developing import develop
from clippy_recorder.documents import document, line
from clippy_recorder.handing import packed, unpacked
from clippy_recorder.tape import Tape

from benchmarks import hosts
from benchmarks.bench import Bench
from benchmarks.calls import openai_client
from benchmarks.recorder import _read
from clippy_core.testing.canned import CannedServer

TIMES = 9


def tapes(what: str, count: int) -> list[Tape]:
    """Calls, or streams of 100 pieces, with the default stack."""
    with CannedServer() as server, ExitStack() as outer:
        folder = Path(outer.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        bench = Bench(server, folder, outer.enter_context(ExitStack()), outer.enter_context(asyncio.Runner()))
        recorder = Recorder(enabled=True, keep=2 * count)
        host = bench.host({**hosts.default_stack(folder), "recorder": recorder})
        client = bench.sync_client(httpx, host)
        read = _read(openai_client(bench, host, waits=False))
        for _ in range(count):
            if what == "stream":
                read()
            else:
                client.post(server.chat_url, json=hosts.body())
        return [*recorder._shelf.tapes()]


def least(work: Callable[[], object], count: int) -> float:
    """Microseconds for one of *count*, the best of several times."""
    found = []
    for _ in range(TIMES):
        began = time.thread_time()
        work()
        found.append((time.thread_time() - began) / count * 1e6)
    return min(found)


def rows(kept: Sequence[Tape]) -> dict[str, float]:
    """What each way costs for one of them."""
    told = [document(develop(tape, "detailed")) for tape in kept]
    texts = [list(dict.fromkeys(_texts(tape))) for tape in kept]
    handed = [packed(tape) for tape in kept]

    def floor() -> None:
        for one, said in zip(told, texts, strict=True):
            for text in said:
                redact(text.decode(), personal=False)
            orjson.dumps(one)

    return {
        "the floor": least(floor, len(kept)),
        "in the program": least(lambda: [line(develop(tape, "detailed")) for tape in kept], len(kept)),
        "handing over": least(lambda: [packed(tape) for tape in kept], len(kept)),
        "in a process": least(lambda: [line(develop(unpacked(data), "detailed")) for data in handed], len(kept)),
    }


def _texts(tape: Tape) -> list[bytes]:
    bodies = [event.data.raw or b"" for event in tape.events if event.kind in ("request", "attempt")]
    return [*bodies, b"".join(event.data for event in tape.events if event.kind == "bytes")]


def main() -> None:
    found = {what: rows(tapes(what, count)) for what, count in (("call", 200), ("stream", 20))}
    print(f"{'CPU microseconds':<20}" + "".join(f"{what:>10}" for what in found))
    for name in found["call"]:
        print(f"{name:<20}" + "".join(f"{found[what][name]:>10.0f}" for what in found))


if __name__ == "__main__":
    main()
