"""Threads that gather by time write by calls where instructions are counted, so that slowness is not measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clippy_cache import CachePolicy

import clippy_core
from benchmarks import hosts
from benchmarks.pace import A_BATCH, Pace
from clippy_core.testing import FakeProvider


def test_a_paced_host_writes_after_a_batch_of_calls_and_at_no_other_time(tmp_path: Path) -> None:
    """But after the first, whose thread began before anybody could tell it."""
    plugins: Any = {"cache": CachePolicy(keep_statistics=tmp_path / "statistics.db"), **hosts.sqlite_cache(tmp_path)}
    with hosts.host(plugins, "http://fake.test/v1") as host:
        client = clippy_core.Client(host, FakeProvider().client())
        call = Pace(host).of(lambda: client.chat(hosts.messages()))
        waiting = []
        for _ in range(A_BATCH + 1):
            call()
            waiting.append(len(plugins["cache-sqlite"]._store._behind.pending))
    assert waiting == [0, *range(1, A_BATCH - 1), 0, 1]
