"""A plugin that takes seconds is told of in the log: by name and hook, and without a flood."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from attrs import define, field
from clippy_hookspecs import AuditRecord, Chunk, Request, RequestContext, hookimpl

import clippy_core
from clippy_core import chains
from clippy_core.testing import FakeProvider, Reply, VirtualClock


@define(eq=False)
class Takes:
    """Takes its time, by both clocks, in whichever hook it is asked to."""

    clock: VirtualClock
    real: list[int]
    seconds: dict[str, float] = field(factory=dict)

    def spend(self, hook: str) -> None:
        self.clock.advance(self.seconds.get(hook, 0.0))
        self.real[0] += int(self.seconds.get(hook, 0.0) * 1e9)

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        self.spend("pre_request")

    @hookimpl
    async def compress_context(self, request: Request, ctx: RequestContext) -> None:
        self.spend("compress_context")

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
        self.spend("on_chunk")

    @hookimpl
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self.spend("audit")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> tuple[Takes, clippy_core.Client]:
    clock, real = VirtualClock(), [0]
    monkeypatch.setattr(chains, "perf_counter_ns", lambda: real[0] + 1)
    takes = Takes(clock, real)
    config = {"routes": {"main": {"base_url": "http://provider.test/v1", "key": "sk-x", "model": "m"}}}
    host = clippy_core.Host({"takes": takes}, config=config, clock=clock)
    provider = FakeProvider(Reply("one two three", chunks=3), clock=clock)
    return takes, clippy_core.Client(host, provider.client(httpx))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records if " took " in record.getMessage()]
    caplog.clear()
    return lines


@pytest.mark.parametrize(
    ("hook", "fine", "slow", "others"),
    [
        ("pre_request", 1.9, 3.0, "in an event loop all the others too"),
        ("audit", 1.9, 3.0, "in an event loop all the others too"),
        ("compress_context", 9.0, 11.0, "its request waited; "),
        ("on_chunk", 1.9, 3.0, "in an event loop all the others too"),
    ],
)
def test_a_hook_that_takes_seconds_is_told_of_by_its_name(world: Any, caplog: Any, hook, fine, slow, others):
    """One that may await gets the time that a model takes; of a stream it is the time of one chunk that counts."""
    takes, client = world
    with caplog.at_level(logging.WARNING, "clippy"):
        takes.seconds = {hook: fine}
        "".join(client.stream("hi").text())
        assert told(caplog) == []
        takes.seconds = {hook: slow}
        "".join(client.stream("hi").text())
        (line,) = told(caplog)
        assert line.startswith(f"plugin takes: {hook} took {slow:.1f} s; ")
        assert others in line
        assert "disable = ['takes']" in line


def test_one_that_is_always_slow_has_a_line_in_ten_minutes(world: Any, caplog: Any):
    """Which says of how many others there was none."""
    takes, client = world
    takes.seconds = {"pre_request": 3.0}
    with caplog.at_level(logging.WARNING, "clippy"):
        for _ in range(5):
            client.chat("hi")
        assert len(told(caplog)) == 1
        takes.clock.advance(600)
        client.chat("hi")
        (line,) = told(caplog)
        assert "took 3.0 s, as 4 others since the last line" in line


def test_a_provider_that_takes_its_time_is_no_plugin(caplog: pytest.LogCaptureFixture):
    """What a request waits for at its provider is told elsewhere."""
    clock = VirtualClock()
    takes = Takes(clock, [0])
    config = {"routes": {"main": {"base_url": "http://provider.test/v1", "key": "sk-x", "model": "m"}}}
    host = clippy_core.Host({"takes": takes}, config=config, clock=clock)
    provider = FakeProvider(Reply("one two", chunks=2, chunk_delay=30), clock=clock)
    with caplog.at_level(logging.WARNING, "clippy"):
        "".join(clippy_core.Client(host, provider.client(httpx)).stream("hi").text())
    assert clock.now() > 30
    assert told(caplog) == []
