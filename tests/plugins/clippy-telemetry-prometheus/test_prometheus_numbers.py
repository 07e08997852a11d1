"""What is counted: the same as the audit tells of each request."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import define, field
from clippy_breaker import CircuitBreaker
from clippy_cache_memory import MemoryCache
from clippy_errors import ErrorClassifier
from clippy_hookspecs import AuditRecord, Refusal, Request, RequestContext, Usage, evolve, hookimpl
from clippy_hookspecs.services import Prices, ServiceRegistry
from clippy_retry import RetryPolicy
from clippy_telemetry_prometheus import PrometheusTelemetry
from clippy_telemetry_prometheus.metrics import BOUNDS, COLLECTED, PAGE, shown_name
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as TheirCounter

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock

URL = "http://fake.test/v1/chat/completions"


@define(eq=False)
class Beside:
    """Keeps every record, prices a token at a cent, refuses who says no, and breaks where it is told to."""

    records: list[AuditRecord] = field(factory=list)

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        services.offer(Prices, self)

    def cost(self, model: str, usage: Usage) -> float | None:
        return None if model == "unpriced" else usage.total / (0 if model == "misprinted" else 100)

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        if request.model == "refused":
            raise Refusal("no", code="no_such_luck", status=403)

    @hookimpl
    def cache_store(self, key: str, entry: Any, request: Request, ctx: RequestContext) -> None:
        if request.model == "broken":
            raise ValueError("broken")

    @hookimpl
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self.records.append(record)


@define(eq=False)
class Renames:
    """Sends another model than the one asked for."""

    @hookimpl
    def pre_attempt(self, request: Request, ctx: RequestContext) -> Request:
        return evolve(request, model="dear")


@define(eq=False)
class Shop:
    """A host whose requests are counted."""

    registry: CollectorRegistry
    host: clippy_core.Host
    client: httpx.Client
    beside: Beside

    def ask(self, model: str = "m", text: str = "hello", **more: Any) -> int:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return self.client.post(URL, json=body).status_code

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        samples = [sample for family in self.registry.collect() for sample in family.samples if sample.name == name]
        return sum(one.value for one in samples if labels.items() <= one.labels.items())


@pytest.fixture
def shop() -> Iterator[Any]:
    with ExitStack() as stack:

        def opened(script: Any = None, plugins: Any = None, **settings: Any) -> Shop:
            registry = settings.setdefault("registry", CollectorRegistry())
            beside, clock = Beside(), VirtualClock()
            counting = {"beside": beside, "telemetry-prometheus": PrometheusTelemetry(**settings)}
            host = stack.enter_context(clippy_core.Host({**counting, **(plugins or {})}, clock=clock))
            transport = FakeProvider(script or Reply("hi there"), clock=clock).transport(httpx)
            client = stack.enter_context(host.wrap(httpx.Client(transport=transport)))
            return Shop(registry, host, client, beside)

        yield opened


def test_the_totals_are_those_of_the_audit(shop: Any) -> None:
    """Answered, cached, failed, refused, streamed and unpriced ones; each in its own line."""
    script = [
        Reply("one"),
        Fault.status(503),
        Reply("two"),
        Reply("three"),
        Fault.status(400),
        Reply("five"),
        Reply("6"),
    ]
    known = shop(script, {"cache-memory": MemoryCache(), "errors": ErrorClassifier(), "retry": RetryPolicy()})
    known.ask()
    known.ask()
    known.ask("broken")
    known.ask("unpriced", stream=True)
    known.ask("nobody-knows-it")
    known.ask("refused")
    known.ask("m", "another one")
    records = known.beside.records
    assert {"answered", "cached", "failed", "refused"} == {one.outcome for one in records}
    for outcome, count in Counter(one.outcome for one in records).items():
        assert count == known.total("clippy_requests_total", outcome=outcome)
        assert count == known.total("clippy_request_duration_seconds_count", outcome=outcome)
    sent = [one for record in records for one in record.attempts if one.sent]
    assert len(sent) == known.total("clippy_attempts_total") == known.total("clippy_attempt_duration_seconds_count")
    assert 1 == known.total("clippy_attempts_total", status="503")
    assert sum(len(one.attempts) - 1 for one in records if one.attempts) == known.total("clippy_retries_total")
    paid = [one for one in records if one.usage is not None and one.outcome == "answered"]
    assert sum(one.usage.input for one in paid) == known.total("clippy_tokens_total", type="input")
    assert sum(one.usage.output for one in paid) == known.total("clippy_tokens_total", type="output")
    dollars = sum(one.usage.total for one in paid if one.model != "unpriced") / 100
    assert dollars == pytest.approx(known.total("clippy_cost_dollars_total"))
    [cached] = [one for one in records if one.outcome == "cached"]
    assert cached.usage.total / 100 == pytest.approx(known.total("clippy_saved_dollars_total", model="m"))
    assert cached.usage.input == known.total("clippy_saved_tokens_total", type="input")
    assert sum(one.duration for one in records) == pytest.approx(known.total("clippy_request_duration_seconds_sum"))
    assert 1 == known.total("clippy_time_to_first_token_seconds_count", model="unpriced")
    assert 1 == known.total("clippy_refusals_total", plugin="beside", error="no_such_luck")
    assert 1 == known.total("clippy_hook_failures_total", plugin="beside", hook="cache_store")
    assert 1 == known.total("clippy_cache_lookups_total", cache="cache-memory", result="hit")
    assert 1 == known.total("clippy_requests_total", model="other", outcome="failed")
    assert 0 == known.total("clippy_requests_total", model="nobody-knows-it")


def test_what_was_used_is_the_model_s_that_answered(shop: Any) -> None:
    known = shop(None, {"renames": Renames()})
    known.ask("cheap")
    assert 1 == known.total("clippy_requests_total", model="dear") == known.total("clippy_requests_total")
    assert 0 < known.total("clippy_tokens_total", model="dear") == known.total("clippy_tokens_total")


def test_a_price_that_raises_takes_no_count_away(shop: Any) -> None:
    known = shop()
    known.ask("misprinted")
    assert 1 == known.total("clippy_requests_total", model="misprinted")
    assert 0 < known.total("clippy_tokens_total", model="misprinted")
    assert 0 == known.total("clippy_cost_dollars_total")


def test_what_a_breaker_did_not_let_go_is_no_attempt_of_a_providers(shop: Any) -> None:
    known = shop([Fault.status(500)] * 30, {"errors": ErrorClassifier(), "breaker": CircuitBreaker()})
    for _ in range(30):
        known.ask()
    unsent = [one for record in known.beside.records for one in record.attempts if not one.sent]
    assert unsent
    assert len(unsent) == known.total("clippy_attempts_refused_total")
    assert 30 == known.total("clippy_attempts_refused_total") + known.total("clippy_attempts_total")


def test_a_stream_is_under_way_until_it_is_over(shop: Any) -> None:
    """And one whose reader left is over, too."""
    words = tuple(f"w{number} " for number in range(50))
    known = shop([Reply("".join(words), chunks=words)])
    asked = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with known.client.stream("POST", URL, json=asked) as answer:
        next(answer.iter_bytes())
        assert (1, 1) == (known.total("clippy_requests_in_progress"), known.total("clippy_streams_in_progress"))
    assert (0, 0) == (known.total("clippy_requests_in_progress"), known.total("clippy_streams_in_progress"))
    assert 1 == known.total("clippy_requests_total", outcome="cancelled")


def test_who_called_is_told_only_where_that_is_wanted(shop: Any) -> None:
    for identity in (False, True):
        known = shop(identity=identity)
        with known.host.scope(tenant="acme", user="ada"):
            known.ask()
        named = {"tenant": "acme", "user": "ada"}
        for name in ("clippy_requests_total", "clippy_tokens_total", "clippy_cost_dollars_total"):
            assert known.total(name) > 0
            assert known.total(name, **named) == (known.total(name) if identity else 0)


def test_two_hosts_of_one_process_add_up_and_a_closed_one_counts_on(shop: Any) -> None:
    """A counter that fell when a host closed would be taken for that of a new process."""
    first = shop()
    first.ask()
    first.host.close()
    second = shop(registry=first.registry)
    second.ask()
    assert 2 == second.total("clippy_requests_total")


def test_names_that_other_code_has_taken_are_said_and_requests_go_on(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    registry = CollectorRegistry()
    TheirCounter("clippy_requests", "Theirs.", registry=registry)
    with caplog.at_level(logging.WARNING):
        known = shop(registry=registry)
        assert 200 == known.ask()
    assert "a registry of its own" in caplog.text


def test_a_child_does_not_tell_what_its_parent_counted(shop: Any) -> None:
    known = shop()
    known.ask()
    child = os.fork() if hasattr(os, "fork") else 0
    if not child:  # pragma: no cover - in the child
        os._exit(int(known.total("clippy_requests_total")) + 2 * int(known.total("clippy_requests_in_progress")))
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert 1 == known.total("clippy_requests_total")


def test_every_bucket_holds_what_took_no_longer(shop: Any) -> None:
    known = shop()
    known.ask()
    [record] = known.beside.records
    for bound in BOUNDS:
        counted = known.total("clippy_request_duration_seconds_bucket", le=str(bound))
        assert counted == float(record.duration <= bound)


def test_the_plugin_alone_waits_for_a_host_to_import_what_it_counts_with() -> None:
    """Every program that has it installed imports the plugin."""
    code = "import clippy_telemetry_prometheus, sys; print('prometheus_client' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False" == ran.stdout.strip()


def test_without_its_library_it_says_so_and_takes_part_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clippy_telemetry_prometheus.plugin.find_spec", lambda name: None)
    assert "pip install prometheus-client" in (PrometheusTelemetry().idle or "")
    with clippy_core.Host({"telemetry-prometheus": PrometheusTelemetry()}) as host:
        assert host is not None


def test_the_readme_has_a_row_for_each_metric() -> None:
    readme = Path(__file__).parents[3] / "plugins" / "clippy-telemetry-prometheus" / "README.md"
    rows = [
        line.split("|") for line in readme.read_text(encoding="utf-8").splitlines() if line.startswith("| `clippy_")
    ]
    said = {cells[1].strip(" `"): (cells[2].strip(), cells[3].strip()) for cells in rows}
    told = {}
    for one in (*COLLECTED, *PAGE):
        labels = ", ".join(f"`{name}`" for name in one.labels if name not in ("tenant", "user"))
        told[shown_name(one)] = (one.kind, labels + (", who" if "user" in one.labels else ""))
    assert told == said
