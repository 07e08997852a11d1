"""Several workers at one socket: opened once, here, and given to each of them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field
from clippy_serving.ending import ending_signals

log = logging.getLogger("clippy.gateway")

_SHORT_LIFE = 10.0
"""Seconds that a worker has to serve to be started again at once when it dies; how long it opened says nothing."""
_LONGEST_WAIT = 30.0
_TRIES = 5
"""Short lives in a row, of every worker, after which the next one would end no better."""
_MISCONFIGURED = 2
"""The exit code of a command whose configuration is wrong: the next worker would meet the same.

Those that serve met another one: it has been changed since, and may be again.
"""


@define(eq=False)
class Process:
    """A worker, and the pipe in which it says that it serves."""

    popen: subprocess.Popen[bytes]
    said: int
    _serves: bool = field(default=False, init=False)

    def serves(self) -> bool:
        """Whether it ever said so."""
        if not self._serves:
            try:
                self._serves = os.read(self.said, 1) != b""
            except BlockingIOError:
                pass
        return self._serves

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.popen.poll()

    def send_signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def close(self) -> None:
        """Nothing more is heard of it."""
        os.close(self.said)


@define(eq=False)
class Worker:
    """One place, and the process that is in it."""

    start: Callable[[], Process]
    process: Process | None = None
    served: float | None = None
    """Since when its process serves, None before."""
    wait: float = 0.0
    not_before: float = 0.0
    tries: int = 0

    def look(self, now: float) -> int | None:
        """Start a process if none runs and it is time; the exit code of one that has just died."""
        if self.process is None:
            if now >= self.not_before:
                self.process, self.served = self.start(), None
            return None
        if self.served is None and self.process.serves():
            self.served = now
        code = self.process.poll()
        if code is None:
            return None
        lived = self._lives(now)
        self.process.close()
        self.process = None
        self.tries = 0 if lived else self.tries + 1
        self.wait = 0.5 if lived else min(_LONGEST_WAIT, max(0.5, 2 * self.wait))
        self.not_before = now + self.wait
        return code

    @property
    def serves(self) -> bool:
        """Whether there is a process here that has said so."""
        return self.process is not None and self.served is not None

    def is_hopeless(self, now: float) -> bool:
        """Whether no process has lived here for long, however often one was started."""
        return self.tries >= _TRIES and not self._lives(now)

    def _lives(self, now: float) -> bool:
        return self.process is not None and self.served is not None and now - self.served >= _SHORT_LIFE


@define(eq=False)
class Supervisor:
    """Keeps workers running until it is told to stop."""

    workers: list[Worker]
    opened: socket.socket
    when_serving: Callable[[], object] | None = None
    """Called once, when the first of them serves."""
    signals: list[int] = field(factory=list, init=False)

    def note(self, number: int, _: Any) -> None:
        """A signal came.  The loop acts on it, so that nothing is done twice at once."""
        self.signals.append(number)

    def run(self, drain: float) -> int:
        """Until SIGTERM, SIGINT or SIGHUP, and then until all have ended: 0.

        2 for a configuration that no worker has taken, and what the last one ended with where none of them lives.
        """
        while not self.signals:
            for worker in self.workers:
                code, now = worker.look(time.monotonic()), time.monotonic()
                if worker.served is not None and self.when_serving is not None:
                    self.when_serving()
                    self.when_serving = None
                if code == _MISCONFIGURED and not any(one.serves for one in self.workers):
                    self.stop(drain)
                    return code
                if code is not None and all(one.is_hopeless(now) for one in self.workers):
                    log.error("no worker served for %g s in %d tries; what they said above is why", _SHORT_LIFE, _TRIES)
                    self.stop(drain)
                    return max(code, 1)  # a signal that ended it is a negative one
                if code is not None:
                    log.warning("a worker ended with %s; the next one starts in %g s", code, worker.wait)
            time.sleep(0.1)
        log.warning("%s came: the workers end, within %g s", signal.Signals(self.signals[0]).name, drain)
        self.stop(drain)
        return 0

    def stop(self, drain: float) -> None:
        """Have every worker end in good order; a second signal, or *drain* seconds and some, ends it at once."""
        self.opened.close()  # or new connections would wait here, where nobody takes them
        known = len(self.signals)
        self._send(signal.SIGTERM)
        until = time.monotonic() + drain + 5
        while any(worker.process is not None and worker.process.poll() is None for worker in self.workers):
            if len(self.signals) > max(1, known):
                known = len(self.signals)
                self._send(signal.SIGTERM)  # the second one that they get: they do not wait for answers
                until = min(until, time.monotonic() + 3)
            if time.monotonic() > until:
                self._send(signal.SIGKILL)
            time.sleep(0.05)

    def _send(self, number: int) -> None:
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.send_signal(number)


def supervise(
    opened: socket.socket, count: int, drain: float, meeting: Path | None, when_serving: Callable[[], object]
) -> None:
    """Serve at *opened* by *count* processes, each a ``clippy serve`` like this one.  Ends the process for faults.

    *meeting* is the folder in which they find each other; *when_serving* is called once, when the first one serves.
    """
    ours, theirs = os.pipe()
    os.set_inheritable(ours, True)
    opened.set_inheritable(True)
    again = [
        *sys.orig_argv[1:],
        "--workers",
        "1",
        "--of",
        str(count),
        "--fd",
        str(opened.fileno()),
        "--parent",
        str(ours),
        *(() if meeting is None else ("--siblings", str(meeting))),
    ]

    def start(place: int) -> Process:
        said, says = os.pipe()
        os.set_blocking(said, False)
        try:
            popen = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, *again, "--place", str(place), "--serves", str(says)],
                pass_fds=(opened.fileno(), ours, says),
                process_group=0,  # what a terminal sends to all would be a second signal, after which nobody waits
            )
        except BaseException:
            os.close(said)
            raise
        finally:
            os.close(says)
        return Process(popen, said)

    supervisor = Supervisor([Worker(partial(start, place)) for place in range(count)], opened, when_serving)
    before = {number: signal.signal(number, supervisor.note) for number in ending_signals()}
    try:
        code = supervisor.run(drain)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(theirs)  # whatever became of us, workers see this end and end as well
        os.close(ours)
        opened.close()
    if code:
        raise SystemExit(code)
