"""One flight for the processes that share a store."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from clippy_core.testing import FakeServer, Fault, Reply
from clippy_core.wire import APIS
from clippy_core.wire.assemble import assemble_stream

PROGRAM = Path(__file__).with_name("flight_process.py")
PROCESSES, CALLERS = 4, 3


def asked(folder: Path, act: object) -> tuple[int, list[tuple[int, str]], Counter[str]]:
    """How often the provider was asked by all callers of all processes at once, and what they got."""
    speak = threading.Event()

    def when_all_are_aboard(seen: object) -> object:
        assert speak.wait(300)
        return act

    answers: list[tuple[int, str]] = []
    outcomes: Counter[str] = Counter()
    with FakeServer(when_all_are_aboard, lifetime=600) as server:
        aboard = [folder / f"aboard-{number}" for number in range(PROCESSES)]
        running = [
            subprocess.Popen(
                [sys.executable, PROGRAM, folder / "state.db", server.base_url, str(CALLERS), one],
                stdout=subprocess.PIPE,
                text=True,
            )
            for one in aboard
        ]
        try:
            end = time.monotonic() + 300
            while not all(one.exists() for one in aboard) or server.calls < 1:
                assert time.monotonic() < end
                time.sleep(0.01)
            speak.set()
            for process in running:
                said = json.loads(process.communicate(timeout=300)[0])
                outcomes.update(said["outcomes"])
                answers += [(status, _text(status, stream, body)) for status, stream, body in said["answers"]]
        finally:
            speak.set()
            for process in running:
                process.kill()
                process.wait()
        return server.calls, answers, outcomes


def _text(status: int, stream: bool, body: str) -> str:
    if status != 200:
        return ""
    if stream:
        return assemble_stream(APIS["openai.chat"], [body.encode()]).text
    return str(json.loads(body)["choices"][0]["message"]["content"])


def test_four_processes_are_one_request_to_the_provider(tmp_path: Path) -> None:
    calls, answers, outcomes = asked(tmp_path, Reply("one two three"))
    assert calls == 1
    assert answers == [(200, "one two three")] * (PROCESSES * CALLERS)
    assert outcomes == {"answered": 1, "cached": PROCESSES * CALLERS - 1}


def test_the_providers_failure_is_that_of_all_processes(tmp_path: Path) -> None:
    calls, answers, outcomes = asked(tmp_path, Fault.status(400))
    assert calls == 1
    assert answers == [(400, "")] * (PROCESSES * CALLERS)
    assert outcomes == {"failed": PROCESSES * CALLERS}
