"""After a fallback to another model: what was used is booked under the model that answered, and has its price."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from attrs import define
from calling import Priced, Records
from clippy_audit.cleaner import Cleaner
from clippy_audit.record import describe
from clippy_cache import CachePolicy
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import AuditRecord, Request, Usage, evolve, hookimpl
from clippy_inspect.dashboard import summed
from clippy_inspect.live import as_json, row
from clippy_recorder import Recorder
from clippy_telemetry_log import LogTelemetry

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock

USED = Usage(input=23, output=14)
ROUTES: dict[str, Any] = {
    "main": {"base_url": "http://fake.test/v1", "key": "k", "model": "cheap"},
    "claude": {"api": "anthropic.messages", "base_url": "http://claude.test", "key": "k", "model": "dear"},
    "free": {"base_url": "http://free.test/v1", "key": "k", "model": "nobody-knows"},
}


@define(eq=False)
class Renames:
    """Sends another model than the one asked for."""

    @hookimpl
    def pre_attempt(self, request: Request) -> Request:
        return evolve(request, model="dear")


def ask(
    script: Any, *, streams: bool = False, fallback: str = "claude", **plugins: Any
) -> tuple[Recorder, AuditRecord]:
    kept, recorder, clock = Records(), Recorder(enabled=True), VirtualClock()
    named: dict[str, Any] = {
        "errors": ErrorClassifier(),
        "fallback": Fallback(routes=(fallback,)),
        "prices": Priced({"cheap": 1.0, "dear": 100.0}),
    }
    host = clippy_core.Host(
        {**named, "recorder": recorder, "kept": kept, **plugins}, config={"routes": ROUTES}, clock=clock
    )
    with host, clippy_core.Client(host, FakeProvider(script, clock=clock).client()) as client:
        if streams:
            with client.stream("hello", route="main") as stream:
                list(stream)
        else:
            client.chat("hello", route="main")
    return recorder, kept.records[0]


DOWN = Fault.status(503)
ANSWER = Reply("It rains.", usage=USED)


@pytest.mark.parametrize("streams", [False, True])
def test_a_fallback_costs_what_the_model_costs_that_answered(streams: bool) -> None:
    recorder, record = ask([DOWN, ANSWER], streams=streams)
    assert (record.model, record.answering_model) == ("cheap", "dear")
    exchange = recorder.latest(1)[0]
    assert (exchange.model, exchange.answering_model) == ("cheap", "dear")
    assert exchange.cost == 100.0 * USED.total
    board = summed([exchange], 1.0)
    assert [(line.name, line.cost) for line in board.by_model] == [("dear", exchange.cost)]
    line = as_json(row(exchange))
    assert (line["model"], line["answering_model"]) == ("cheap", "dear")
    assert "answered by dear" in line["notes"]


def test_a_price_that_is_not_known_is_not_that_of_the_model_asked_for() -> None:
    recorder, record = ask([DOWN, ANSWER], fallback="free")
    assert record.answering_model == "nobody-knows"
    assert recorder.latest(1)[0].cost is None


def test_a_model_that_a_plugin_sent_instead_has_its_price() -> None:
    recorder, record = ask([ANSWER], renames=Renames())
    assert (record.model, record.answering_model, recorder.latest(1)[0].cost) == ("cheap", "dear", 100.0 * USED.total)


def test_where_the_model_asked_for_answered_nothing_more_is_said() -> None:
    recorder, record = ask([ANSWER])
    assert (record.model, record.answering_model, recorder.latest(1)[0].cost) == ("cheap", None, float(USED.total))


def test_the_cache_counts_what_the_model_took_that_answered() -> None:
    policy = CachePolicy()
    ask([DOWN, ANSWER], cache=policy)
    assert policy.statistics().spent.dollars == 100.0 * USED.total


def test_the_logs_and_the_audit_name_both(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "clippy"):
        _, record = ask([DOWN, ANSWER], log=LogTelemetry())
    told = next(one for one in caplog.records if getattr(one, "clippy_answering_model", None))
    assert "cheap, answered by dear" in told.getMessage()
    assert json.loads(json.dumps(describe(record, "minimal", Cleaner())))["answering_model"] == "dear"
