"""Work in forked processes, whose results come back as JSON."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from typing import Any

from .base import NotApplicable, require


def in_processes(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What *work* gives in each of *count* forked processes, as JSON.

    Raises AssertionError for a process that failed, :class:`NotApplicable` where processes cannot be forked.
    """
    if not hasattr(os, "fork"):
        raise NotApplicable("processes cannot be forked here")
    children = [_fork(number, work) for number in range(count)]
    results = []
    for number, (pid, pipe) in enumerate(children):
        with os.fdopen(pipe, "rb") as reader:
            said = reader.read()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        answer = json.loads(said) if said else {"error": f"it ended with {code}"}
        require("error" not in answer, f"process {number} failed: {answer.get('error')}")
        results.append(answer["result"])
    return results


def _fork(number: int, work: Callable[[int], Any]) -> tuple[int, int]:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child starts no thread of the parent's
        pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    try:
        os.close(reader)
        try:
            answer = {"result": work(number)}
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        os.write(writer, json.dumps(answer).encode()[:60_000])
    finally:
        os._exit(0)
