"""The dashboard says what happened: its sums are those of the provider's own log and of what the callers saw."""

from __future__ import annotations

import random
from typing import Any

from calling import Priced
from clippy_cache_memory import MemoryCache
from clippy_errors import ErrorClassifier
from clippy_hookspecs import ProviderError, Usage
from clippy_inspect.dashboard import summed
from clippy_recorder import Recorder
from clippy_retry import RetryPolicy

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock

PRICE = 0.001
"""US dollars of a token, in or out."""


def test_the_sums_are_those_of_the_providers_log() -> None:
    """Sixty calls, plain and streamed: some are retried, some fail for good, and some are answered from the cache."""
    chance, clock = random.Random(7), VirtualClock()
    busy, wrong = Fault.status(503, retry_after=0.1), Fault.status(400)
    known = Reply("It rains.", usage=Usage(input=11, output=7))
    script: list[Any] = []
    expected = {"answered": 0, "failed": 0, "cached": 0, "retried": 0}
    plan: list[tuple[str, bool]] = []
    for number in range(60):
        kind = chance.choice(["plain", "plain", "busy", "wrong", "again"]) if number else "plain"
        plan.append((kind, chance.random() < 0.5))
        script += {"plain": [known], "busy": [busy, known], "wrong": [wrong], "again": []}[kind]
        expected[{"wrong": "failed", "again": "cached"}.get(kind, "answered")] += 1
        expected["retried"] += kind == "busy"
    provider, recorder = FakeProvider(script, clock=clock), Recorder(enabled=True)
    plugins = {
        "cache-memory": MemoryCache(),
        "errors": ErrorClassifier(),
        "prices": Priced({"m": PRICE}),
        "retry": RetryPolicy(),
    }
    config: dict[str, Any] = {"routes": {"main": {"key": "k", "model": "m"}}}
    host = clippy_core.Host({**plugins, "recorder": recorder}, config=config, clock=clock)
    with host, clippy_core.Client(host, provider.client()) as client:
        for number, (kind, streamed) in enumerate(plan):
            _ask(client, "question 0" if kind == "again" else f"question {number}", streamed)
    board = summed(recorder.latest(1000), clock.time())
    assert len(provider.requests) == len(script)
    assert len(script) == sum(len(one.attempts) for one in recorder.latest(1000))
    assert (board.total.requests, board.running, board.refused) == (60, 0, 0)
    assert (board.total.failed, board.total.saved) == (expected["failed"], expected["cached"])
    assert (board.retried, board.recovered) == (expected["retried"], expected["retried"])
    paid = script.count(known)
    assert (board.total.tokens_in, board.total.tokens_out) == (paid * 11, paid * 7)
    assert board.total.cost is not None
    assert round(board.total.cost / PRICE) == paid * 18
    assert sum(number for _, number in board.kinds) == expected["failed"]
    assert board.caches == (("cache-memory", expected["cached"]),)
    for lines in (board.by_model, board.by_route, board.by_tenant):
        assert sum(line.requests for line in lines) == 60
        assert sum(line.tokens_in for line in lines) == paid * 11
    assert sum(one.requests for one in board.timeline) == 60
    assert sum(one.failed for one in board.timeline) == expected["failed"]


def _ask(client: clippy_core.Client, text: str, streamed: bool) -> None:
    """A failure is the provider's own 400, and no other."""
    try:
        if not streamed:
            client.chat(text)
            return
        with client.stream(text, stream_options={"include_usage": True}) as stream:
            list(stream)
    except ProviderError as error:
        if error.info.status != 400:
            raise
