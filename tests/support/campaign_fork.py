"""Forks a busy program again and again, as gunicorn does with ``preload_app``, and checks both sides.

    python tests/support/campaign_fork.py --n 300

A parent with an open host of every first-party plugin, asynchronous hooks, deadlines and leases calls a server on
loopback from four threads without a pause.  Meanwhile it forks N children, two at a time.  Each uses the host at once
and again: plain and streamed, by the client that the parent made, under an HTTP client of its own, from threads, and on
an event loop of its own, asyncio or trio; then it closes the host and reports.  A child that hangs is ended by its
alarm.  Every child must have said what was asked for and have closed its books.  In the parent no call may fail, and
at the end its books must be closed too: audit once for each request, no lease, no open answer, no thread.  Nobody may
have warned of anything, such as a damaged or locked cache file.

Exit status 1 and what was otherwise, if anything was.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx

sys.path.insert(0, str(Path(__file__).parent))

from campaign_cancel import threads_left
from campaign_world import World

import clippy_core
from clippy_core.testing import Reply, SeenRequest

PATIENCE = 60
"""Seconds after which a child that hangs is ended by its alarm."""
TOGETHER = 2
SHOWN = 5


class Warned(logging.Handler):
    """Keeps what the plugins warn of: a cache file that is damaged, say."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.words: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.words.append(f"warned: {record.msg}")


WARNED = Warned()


def echo(seen: SeenRequest) -> Reply:
    """What was asked is the answer, so that nobody can get another's unnoticed."""
    return Reply(echo=True)


def use(world: World, ours: clippy_core.Client, who: str) -> list[str]:
    """Call the host in every way, twice; what came back wrong."""
    wrong: list[str] = []

    def check(way: str, asked: str, text: str) -> None:
        if text != asked:
            wrong.append(f"{way} answered {text!r} to {asked!r}")

    def work(number: int) -> None:
        asked = f"{who} thread {number}"
        check("chat in a thread", asked, ours.chat(asked).text)
        check("stream in a thread", asked, "".join(ours.stream(asked).text()))

    async def on_a_loop(asked: str) -> None:
        async with clippy_core.AsyncClient(world.host) as client:
            check("chat on a loop", asked, (await client.chat(asked)).text)
            async with await client.stream(f"{asked} streamed") as stream:
                text = "".join([piece async for piece in stream.text()])
            check("stream on a loop", f"{asked} streamed", text)
        await world.host.aclose()

    for number in range(2):
        asked = f"{who} {number}"
        check("chat", asked, ours.chat(asked).text)
        check("chat again", asked, ours.chat(asked).text)
        check("stream", f"{asked} streamed", "".join(ours.stream(f"{asked} streamed").text()))
        with world.host.wrap(httpx.Client(trust_env=False)) as http:
            body = {"model": "m", "messages": [{"role": "user", "content": f"{asked} under"}]}
            answer = http.post(f"{world.base}/chat/completions", json=body).json()
            check("under an HTTP client", f"{asked} under", answer["choices"][0]["message"]["content"])
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, range(3)))
        anyio.run(on_a_loop, f"{asked} loop", backend=("asyncio", "trio")[number])
    return wrong


def child(world: World, ours: clippy_core.Client, number: int, pipe: int) -> None:
    """Everything a child does; it never returns."""
    signal.alarm(PATIENCE)
    faulthandler.dump_traceback_later(PATIENCE - 5)
    WARNED.words.clear()
    try:
        for kept in (world.witness, world.last):
            kept.__init__()  # type: ignore[misc]  # the parent's requests are the parent's
        found = use(world, ours, f"child {number}")
        ours.close()
        world.host.close()
        found += [*world.witness.faults(), *world.last.faults(world.witness.asked), *world._leases(), *WARNED.words]
    except BaseException:
        found = [traceback.format_exc(limit=-3)]
    os.write(pipe, json.dumps(found).encode())
    os._exit(0)


def fork(world: World, ours: clippy_core.Client, number: int) -> tuple[int, int]:
    """A child, and where it reports."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        child(world, ours, number, writer)
    os.close(writer)
    return pid, reader


def report(pid: int, reader: int) -> list[str]:
    """What a child found."""
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        return [f"a child ended with status {status}" + (": it hung" if status == signal.SIGALRM else "")]
    found: list[str] = json.loads(said)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=300, help="children")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    began, before, over = time.monotonic(), set(threading.enumerate()), threading.Event()
    failures: Counter[str] = Counter()
    calls: Counter[int] = Counter()

    def busy(number: int) -> None:
        while not over.is_set():
            calls[number] += 1
            asked = f"parent {number} {calls[number]}"
            try:
                text = ours.chat(asked).text if calls[number] % 2 else "".join(ours.stream(asked).text())
            except Exception as error:
                failures[f"in the parent: {error!r}"] += 1
            else:
                failures["in the parent: another's answer"] += text != asked

    logging.getLogger("clippy").addHandler(WARNED)
    with World(echo, loopback=True) as world:
        ours: Any = clippy_core.Client(world.host)
        # What is imported late is imported by now: a child forked amid an import of another thread waits for it for
        # ever, whatever is imported (CPython keeps the locks of imports over a fork).
        failures.update(use(world, ours, "before"))
        threads = [threading.Thread(target=busy, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            for first in range(0, options.n, TOGETHER):
                made = [fork(world, ours, number) for number in range(first, min(first + TOGETHER, options.n))]
                for pid, reader in made:
                    failures.update(report(pid, reader))
        finally:
            over.set()
            for thread in threads:
                thread.join()
        end = time.monotonic() + 2.0
        while world.open_connections() and time.monotonic() < end:
            time.sleep(0.01)
        failures.update(world.faults())
        ours.close()
    failures.update([*threads_left(before), *WARNED.words])
    failures += Counter()  # without those that are zero
    print(f"{options.n} children of a parent that made {sum(calls.values())} calls meanwhile")
    for what, count in failures.most_common(SHOWN):
        print(f"FAILED {count} times: {what}")
    if not failures:
        print("every child answered, and every book was closed on both sides")
    print(f"{time.monotonic() - began:.0f} seconds")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
