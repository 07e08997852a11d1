"""Who ended an answer before its end is told in its record, and wherever that is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from calling import Records
from clippy_audit.cleaner import Cleaner
from clippy_audit.record import describe
from clippy_hookspecs import ClippyError
from clippy_inspect.live import row
from clippy_inspect.streams import acted
from clippy_recorder import Recorder
from clippy_recorder.documents import document
from clippy_recorder.reading import exchange_of
from clippy_telemetry_log.fields import of_request, request_sentence

import clippy_core
from clippy_core.testing import FakeProvider, Reply, VirtualClock

WAYS: dict[str, Callable[[Any], object]] = {
    "caller": lambda stream: None,
    "operator": lambda stream: acted(stream.context.flow, "cancel"),
    "program": lambda stream: stream.context.flow.cancel(),
    "quota": lambda stream: stream.context.flow.cancel("too much", by="quota"),
}


@pytest.mark.parametrize("who", WAYS)
def test_who_ended_it_is_told(who: str) -> None:
    kept, recorder, clock = Records(), Recorder(enabled=True), VirtualClock()
    routes = {"main": {"base_url": "http://fake.test/v1", "key": "k", "model": "m"}}
    host = clippy_core.Host({"recorder": recorder, "kept": kept}, config={"routes": routes}, clock=clock)
    provider = FakeProvider(Reply("one two three four"), clock=clock)
    with host, clippy_core.Client(host, provider.client()) as client, client.stream("hello") as stream:
        for chunk in stream:
            if chunk.kind == "text":
                break
        WAYS[who](stream)
        if who != "caller":
            with pytest.raises(ClippyError):
                list(stream)
    (record,), exchange = kept.records, recorder.latest(1)[0]
    assert (record.outcome, record.ended_by, exchange.ended_by) == ("cancelled", who, who)
    assert f"ended by {who}" in row(exchange).notes
    assert exchange_of(document(exchange)).ended_by == who
    assert describe(record, "minimal", Cleaner())["ended_by"] == who
    assert f"ended by {who}" in request_sentence(of_request(record))


def test_what_was_answered_was_ended_by_nobody() -> None:
    kept, clock = Records(), VirtualClock()
    routes = {"main": {"base_url": "http://fake.test/v1", "key": "k", "model": "m"}}
    host = clippy_core.Host({"kept": kept}, config={"routes": routes}, clock=clock)
    with host, clippy_core.Client(host, FakeProvider(Reply("one"), clock=clock).client()) as client:
        client.chat("hello")
    assert kept.records[0].ended_by is None
