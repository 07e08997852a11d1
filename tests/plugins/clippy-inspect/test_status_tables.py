"""What the plugins that keep a state show of it on the dashboard."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx2
import openai
import pytest
from clippy_breaker import CircuitBreaker
from clippy_cache import CachePolicy
from clippy_cache_memory import MemoryCache
from clippy_errors import ErrorClassifier
from clippy_hookspecs import Status, StatusTable
from clippy_inspect.dashboard import tables_of
from clippy_stream import StreamController
from clippy_stream_monitor import StreamMonitor

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock

MESSAGES: Any = [{"role": "user", "content": "A question that nobody else must see"}]


def shown(host: clippy_core.Host) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The tables of all plugins as rows by column; each a whole table of plain values."""
    tables = anyio.run(tables_of, host)
    assert all(isinstance(table, StatusTable) for _, table in tables), tables
    made = {}
    for plugin, table in tables:
        assert isinstance(table, StatusTable)
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert "nobody else" not in json.dumps([list(row) for row in table.rows])
        made[plugin, table.name] = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return made


def under(host: clippy_core.Host, provider: FakeProvider) -> openai.OpenAI:
    return host.wrap(openai.OpenAI(api_key="sk-test-0123456789", max_retries=0, http_client=provider.client(httpx2)))


@pytest.mark.parametrize(
    "plugin", [CircuitBreaker(), MemoryCache(), CachePolicy(keep_statistics=False), StreamController()]
)
def test_a_plugin_that_was_never_used_has_tables(plugin):
    """Without rows, or with zeros; never an error."""
    assert isinstance(plugin, Status)
    assert shown(clippy_core.Host({"plugin": plugin}))


def test_a_breaker_that_opened_says_for_how_long_and_why():
    """By route, without a credential."""
    clock = VirtualClock()
    provider = FakeProvider(Fault.status(503), clock=clock)
    host = clippy_core.Host({"breaker": CircuitBreaker(consecutive=2), "errors": ErrorClassifier()}, clock=clock)
    for _ in range(3):
        with pytest.raises(openai.APIStatusError):
            under(host, provider).chat.completions.create(model="m", messages=MESSAGES)
    (row,) = [one for one in shown(host)["breaker", "breakers"] if one["model"] is None]
    assert (row["route"], row["state"], row["openings"]) == ("openai.chat at https://api.openai.com", "open", 1)
    assert 0 < row["open for, s"] <= 12
    assert "503" in row["why"]


def test_caches_say_what_they_keep_and_what_they_saved():
    """A miss, then a hit."""
    provider = FakeProvider(Reply("Hi"))
    host = clippy_core.Host({"cache": CachePolicy(keep_statistics=False), "cache-memory": MemoryCache()})
    for _ in range(2):
        under(host, provider).chat.completions.create(model="m", messages=MESSAGES)
    tables = shown(host)
    assert tables["cache-memory", "kept"][0]["entries"] == 1
    assert [(one["kind"], one["cache"], one["answers"]) for one in tables["cache", "hits"]] == [
        ("exact", "cache-memory", 1)
    ]
    assert tables["cache", "saved"][0]["hit rate"] == 0.5


def test_streams_under_way_are_shown_while_they_are():
    """And no longer."""
    provider = FakeProvider(Reply("one two", chunks=2))
    host = clippy_core.Host({"stream": StreamController(), "stream-monitor": StreamMonitor()})
    stream = under(host, provider).chat.completions.create(model="m", messages=MESSAGES, stream=True)
    next(iter(stream))
    assert [(one["model"], one["state"]) for one in shown(host)["stream", "streams"]] == [("m", "streaming")]
    list(stream)
    assert shown(host)["stream", "streams"] == []
