"""Work in forked processes, whose results come back as JSON, and processes that are killed amid their work."""

from __future__ import annotations

import json
import os
import signal
import time
import warnings
from collections.abc import Callable
from typing import Any

from .base import NotApplicable, require


def in_processes(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What *work* gives in each of *count* forked processes that begin together, as JSON.

    Raises AssertionError for a process that failed, :class:`NotApplicable` where processes cannot be forked.
    """
    gate, opened = _pipe()

    def wait_and_work(number: int, writer: int) -> None:
        os.close(opened)
        os.read(gate, 1)
        os.write(writer, json.dumps(_answer(lambda: work(number))).encode()[:60_000])

    try:
        children = [_fork(number, wait_and_work) for number in range(count)]
        # One each: the end of the pipe would not do, as what another thread forks meanwhile has it open too.
        os.write(opened, bytes(count))
    finally:
        os.close(opened)
        os.close(gate)
    results = []
    for number, (pid, pipe) in enumerate(children):
        with os.fdopen(pipe, "rb") as reader:
            said = reader.read()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        answer = json.loads(said) if said else {"error": f"it ended with {code}"}
        require("error" not in answer, f"process {number} failed: {answer.get('error')}")
        results.append(answer["result"])
    return results


def killed(work: Callable[[Callable[[], None]], None], after: int = 1, later: float = 0.0) -> int:
    """How often a forked process called what *work* is given, until it was killed without a warning (SIGKILL).

    It is killed when it has called *after* times and then *later* times as long as it took from call to call, wherever
    it is by then; if *work* is done, it waits for that.
    Raises AssertionError if it fails before, :class:`NotApplicable` where processes cannot be forked.
    """
    life, kept = _pipe()

    def work_and_wait(_: int, writer: int) -> None:
        os.close(kept)
        answer = _answer(lambda: work(lambda: _tell(writer)))
        if "error" in answer:
            os.write(writer, answer["error"].encode()[:60_000])
        os.read(life, 1)  # ends with the process that would have killed this one

    pid, pipe = _fork(0, work_and_wait)
    os.close(life)
    said, began = b"", 0.0
    try:
        while said.count(_CALLED) < after and not said.strip(_CALLED) and (more := os.read(pipe, 4096)):
            began = began or time.monotonic()
            said += more
        # Waking whoever waits for a call may stop the caller: without this it would always die between two steps.
        time.sleep(later * (time.monotonic() - began) / len(said) if said else 0.0)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(kept)
    with os.fdopen(pipe, "rb") as reader:
        said += reader.read()
    error = said.strip(_CALLED).decode(errors="replace")
    require(not error and said.count(_CALLED) >= after, f"a process failed before it was killed: {error or 'it ended'}")
    return said.count(_CALLED)


_CALLED = b"\0"


def _tell(writer: int) -> None:
    os.write(writer, _CALLED)


def _pipe() -> tuple[int, int]:
    if not hasattr(os, "fork"):
        raise NotApplicable("processes cannot be forked here")
    return os.pipe()


def _answer(work: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"result": work()}
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _fork(number: int, work: Callable[[int, int], None]) -> tuple[int, int]:
    """A process that does *work* with its number and the pipe into which it writes; the pipe's other end."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child starts no thread of the parent's
        pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    try:
        os.close(reader)
        work(number, writer)
    finally:
        os._exit(0)
