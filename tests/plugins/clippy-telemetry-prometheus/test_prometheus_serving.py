"""``clippy serve`` with what is installed: /metrics is there, of two workers as of one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from attrs import define
from patience import PATIENCE, until
from prometheus_client.parser import text_string_to_metric_families as families_of

from clippy_core.testing import FakeServer, Reply

CONFIG = """
allow = ["gateway", "telemetry-prometheus"]
[plugins.gateway]
port = 0
drain = 5
[routes.main]
base_url = "{url}"
key = "sk-0123456789"
"""


@define(eq=False)
class Serving:
    """One ``clippy serve``, and what it logs."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        found = re.search(r"serving at (http://\S+)", self.log.read_text())
        return found[1] if found else ""

    def ask(self) -> int:
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
        with httpx.Client(trust_env=False, timeout=PATIENCE) as client:  # a connection of its own: any worker's
            return client.post(self.url + "/v1/chat/completions", json=body).status_code

    def counted(self, name: str) -> dict[str, float]:
        """The sum of a metric by its worker, "" for the only one."""
        with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
            text = client.get(self.url + "/metrics").raise_for_status().text
        found: dict[str, float] = {}
        for sample in (one for family in families_of(text) for one in family.samples if one.name == name):
            worker = sample.labels.get("worker", "")
            found[worker] = found.get(worker, 0) + sample.value
        return found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    meeting, running = tempfile.mkdtemp(), []  # a short path: workers have sockets there
    with FakeServer(Reply("hi"), lifetime=600) as provider:
        (tmp_path / "clippy.toml").write_text(CONFIG.format(url=provider.base_url))

        def begin(*options: str) -> Serving:
            log = tmp_path / "serve.log"
            with log.open("w") as said:
                process = subprocess.Popen(
                    [sys.executable, "-m", "clippy_core.cli", "--config", tmp_path / "clippy.toml", "serve", *options],
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    env={**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "TMPDIR": meeting},
                )
            running.append(process)
            made = Serving(process, log)
            assert until(lambda: made.url), log.read_text()
            return made

        yield begin
        for process in running:
            process.terminate()
            process.wait(PATIENCE)
    shutil.rmtree(meeting, ignore_errors=True)


def test_installed_is_enough_for_a_page(serve: Callable[..., Serving]) -> None:
    """With the numbers of the process beside those of its requests, as of any program of prometheus_client."""
    alone = serve()
    assert [200, 200] == [alone.ask(), alone.ask()]
    assert {"": 2} == alone.counted("clippy_requests_total")
    assert alone.counted("process_resident_memory_bytes")[""] > 0
    assert {"": 1} == alone.counted("clippy_build_info")


def test_two_workers_are_told_together_whichever_of_them_answers(serve: Callable[..., Serving]) -> None:
    """Each with the numbers of its own process."""
    both = serve("--workers", "2")
    assert until(lambda: {"1": 1, "2": 1} == both.counted("clippy_worker_up"))
    assert [200] * 6 == [both.ask() for _ in range(6)]
    for _ in range(6):
        assert 6 == sum(both.counted("clippy_requests_total").values())
    assert {"1", "2"} == {*both.counted("process_start_time_seconds")}
