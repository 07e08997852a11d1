"""Sending requests so that their answers are stored, several at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from clippy_hookspecs import ClippyError

from .asking import uncounted
from .requests import FileRequest


def warm_all(
    cli: Any, host: Any, requests: Sequence[tuple[int, FileRequest]], at_once: int
) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Ask for all of *requests*; how many were hits, how many are new, and which lines failed and why.

    None of them counts in the statistics.
    """

    def ask(numbered: tuple[int, FileRequest]) -> tuple[int, str, str]:
        number, request = numbered
        uncounted.set(True)  # The thread is this pool's own.
        try:
            return number, request.ask(cli, host, client).how, ""
        except (ClippyError, ValueError, TypeError) as error:
            return number, "failed", str(error)

    with cli.client(host) as client, ThreadPoolExecutor(at_once) as threads:
        done = list(threads.map(ask, requests))
    failures = [(number, why) for number, how, why in done if how == "failed"]
    return Counter(how for _, how, _ in done), failures
