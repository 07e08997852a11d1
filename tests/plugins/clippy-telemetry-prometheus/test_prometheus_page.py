"""/metrics of a gateway: what it says, to whom, in which format, and what is in it never."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from attrs import define
from clippy_breaker import CircuitBreaker
from clippy_gateway import Gateway
from clippy_hookspecs import StatusTable
from clippy_serving.siblings import Siblings
from clippy_telemetry_prometheus import PrometheusTelemetry
from gateway_world import CALLERS_KEY, PROVIDERS_KEY, World
from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_of
from prometheus_client.parser import text_string_to_metric_families as families_of

from clippy_core.testing import Fault, Raw, Reply, SeenRequest

TOKEN = "metrics-canary-0123456789"
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
SECRET = "sk-proj-" + "Zq8" * 20
PROMPT = "the prompt of a canary"
ANSWER = "the answer of a canary"
HIDDEN = ("Zq8Zq8", PROMPT, ANSWER, CALLERS_KEY, TOKEN, PROVIDERS_KEY, "http://", "acme", "ada", "\u001b")


def world(script: Any = None, keys: Any = None, beside: Any = None, siblings: Any = None, **settings: Any) -> World:
    """A gateway that counts; with *keys* its callers need them."""
    counting = PrometheusTelemetry(registry=settings.pop("registry", CollectorRegistry()), **settings)
    callers = {"keys": keys} if keys else {}
    plugins = {"gateway": Gateway(**callers), "telemetry-prometheus": counting, **(beside or {})}
    return World(script or Reply("hi there"), plugins, callers, siblings=siblings)


def samples(text: str, parse: Any = families_of) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    found = [one for family in parse(text) for one in family.samples]
    values = {(one.name, frozenset(one.labels.items())): one.value for one in found}
    assert len(values) == len(found), "one series twice"
    return values


def total(text: str, name: str, parse: Any = families_of, **labels: str) -> float:
    return sum(value for (one, has), value in samples(text, parse).items() if one == name and labels.items() <= {*has})


@pytest.fixture(scope="module")
def open_world() -> Iterator[World]:
    """A gateway that asks nobody for a key."""
    with world(beside={"breaker": CircuitBreaker()}) as opened:
        opened.chat(key=None)
        opened.chat(key=None, body={"stream": True})
        yield opened


def test_both_formats_say_the_same_and_parse(open_world: World) -> None:
    plain = open_world.ask("GET", "/metrics", None)
    modern = open_world.ask("GET", "/metrics", None, headers={"accept": OPENMETRICS})
    assert "text/plain; version=0.0.4; charset=utf-8" == plain.headers["content-type"]
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert modern.text.endswith("# EOF\n")
    assert samples(plain.text) == samples(modern.text, openmetrics_of)
    assert 2 == total(plain.text, "clippy_requests_total", outcome="answered", api="openai.chat")
    assert 0 == total(plain.text, "clippy_requests_in_progress")
    assert 1 == total(plain.text, "clippy_breakers", state="closed")


@define(eq=False)
class Odd:
    """Shows a table by a name of ours, with something else in it."""

    async def status_tables(self) -> tuple[StatusTable, ...]:
        return (StatusTable("refusals of others", ("status", "code", "requests"), ((401, "none", "a few"),)),)


def test_a_table_that_is_no_numbers_takes_nobody_else_s_away(caplog: pytest.LogCaptureFixture) -> None:
    with world(beside={"breaker": CircuitBreaker(), "odd": Odd()}) as opened:
        opened.chat(key=None)
        page = opened.ask("GET", "/metrics", None)
    assert page.status_code == 200
    assert 1 == total(page.text, "clippy_breakers", state="closed")
    assert "the plugin odd could not tell its state: ValueError" in caplog.text


def test_an_exemplar_is_the_id_of_a_request(open_world: World) -> None:
    answered = open_world.chat(key=None)
    modern = open_world.ask("GET", "/metrics", None, headers={"accept": OPENMETRICS}).text
    found = {
        one.exemplar.labels["request_id"]
        for family in openmetrics_of(modern)
        for one in family.samples
        if one.exemplar is not None
    }
    assert answered.headers["x-clippy-request-id"] in found


@pytest.mark.parametrize("accept", ["", "*/*", "application/openmetrics-text;version=x", "text/plain;version=x", ",;,"])
def test_whatever_is_accepted_there_is_an_answer(open_world: World, accept: str) -> None:
    answer = open_world.ask("GET", "/metrics", None, headers={"accept": accept})
    assert 200 == answer.status_code
    assert samples(answer.text)


def test_head_has_the_head_alone_and_no_other_method_is_there(open_world: World) -> None:
    answer = open_world.ask("HEAD", "/metrics", None)
    assert (200, b"") == (answer.status_code, answer.content)
    assert 405 == open_world.ask("POST", "/metrics", None).status_code


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "clippy.example:8787"},
        {"host": "127.0.0.1.nip.io"},
        {"origin": "http://localhost"},
        {"sec-fetch-site": "cross-site"},
        {"x-forwarded-for": "127.0.0.1"},
        {"forwarded": "for=127.0.0.1"},
        {"via": "1.1 proxy"},
    ],
)
def test_without_a_token_only_this_machine_is_answered(open_world: World, headers: dict[str, str]) -> None:
    """A name that was made to lead here, a web page, and whoever comes through a proxy are not of it."""
    answer = open_world.ask("GET", "/metrics", None, headers=headers)
    assert 403 == answer.status_code
    assert "clippy_" not in answer.text


def test_where_callers_need_keys_readers_need_the_token_and_a_key_is_none() -> None:
    """Behind a proxy on this machine everybody comes from loopback, with whatever Host it likes."""
    keys = {"app": {"key": CALLERS_KEY}}
    with world(keys=_keys(keys)) as locked:
        for key in (None, CALLERS_KEY, TOKEN):
            answer = locked.ask("GET", "/metrics", key)
            assert 401 == answer.status_code
            assert "telemetry-prometheus.token" in answer.text
    with world(keys=_keys(keys), token=TOKEN) as guarded:
        assert 200 == guarded.chat().status_code
        assert 401 == guarded.ask("GET", "/metrics", CALLERS_KEY).status_code
        assert 401 == guarded.ask("GET", "/metrics", None, headers={"x-api-key": TOKEN}).status_code
        assert 403 == guarded.ask("GET", "/metrics", TOKEN, headers={"origin": "http://localhost"}).status_code
        answer = guarded.ask("GET", "/metrics", TOKEN, headers={"host": "10.0.0.7:8787", "x-forwarded-for": "10.0.0.1"})
        assert 200 == answer.status_code
        assert 1 == total(answer.text, "clippy_requests_total")
        assert 401 == guarded.ask("POST", "/v1/chat/completions", TOKEN, json={"model": "m"}).status_code


def test_what_the_gateway_refused_before_it_was_a_request_is_counted() -> None:
    with world(keys=_keys({"app": {"key": CALLERS_KEY}}), token=TOKEN) as guarded:
        for _ in range(3):
            guarded.chat(key="wrong-key-0123456789")
        page = guarded.ask("GET", "/metrics", TOKEN).text
        assert 3 == total(page, "clippy_gateway_refusals_total", status="401", code="invalid_api_key")
        assert "wrong-key" not in page


def test_a_token_that_is_also_a_callers_key_opens_nothing() -> None:
    with world(keys=_keys({"app": {"key": CALLERS_KEY}}), token=CALLERS_KEY) as guarded:
        answer = guarded.ask("GET", "/metrics", CALLERS_KEY)
    assert 401 == answer.status_code
    assert "set another one" in answer.text


def test_no_page_where_none_is_wanted() -> None:
    with world(path="") as opened:
        assert 401 != opened.ask("GET", "/metrics", None).status_code
        assert "clippy_" not in opened.ask("GET", "/metrics", None).text


def test_no_secret_and_nothing_that_was_said_is_on_the_page() -> None:
    """In key, URL, header, prompt, answer, name of a model, and a provider's error that repeats them."""

    def said(seen: SeenRequest) -> Any:
        if seen.json["model"] == "fails":
            return Raw(json.dumps({"error": {"message": SECRET, "code": SECRET, "type": SECRET}}).encode(), 401)
        return Fault.status(500) if seen.json["model"] == "broken" else Reply(ANSWER)

    keys = {"app": {"key": CALLERS_KEY, "tenant": "acme", "user": "ada"}}
    with world(said, keys=_keys(keys), token=TOKEN) as guarded:
        for model in ("m", SECRET, "fails", "broken", f"openai/{SECRET}", PROMPT * 9, "\u001b[31mred\u2028"):
            guarded.ask(
                "POST",
                f"/v1/chat/completions?key={SECRET}",
                json={"model": model, "messages": [{"role": "user", "content": PROMPT}]},
                headers={"x-canary": SECRET, "x-clippy-tenant": SECRET},
            )
        for accept in ("text/plain", OPENMETRICS):
            page = guarded.ask("GET", "/metrics", TOKEN, headers={"accept": accept}).text
            assert [] == [one for one in HIDDEN if one in page]
            assert 'model="m"' in page


def test_two_workers_are_one_page_with_a_label_for_each() -> None:
    """Whichever of them answers; of one that does not answer that is said, and its series are left out."""
    with ExitStack() as stack:
        founder = stack.enter_context(Siblings.founded(2))
        each, ends = [], []
        for place in range(2):
            ends.append(stack.enter_context(ExitStack()))
            registry = CollectorRegistry()
            Gauge("theirs", "Of other code.", ["worker"], registry=registry).labels("celery").set(1)
            joined = Siblings.joined(founder.folder, 2, place)
            each.append(ends[-1].enter_context(world(siblings=joined, registry=registry)))
        for place, one in enumerate(each):
            for number in range(place + 1):
                one.chat(f"hello {number}", key=None)
        for one in each:
            for accept in ("text/plain", OPENMETRICS):
                text = one.ask("GET", "/metrics", None, headers={"accept": accept}).text
                parse = openmetrics_of if accept == OPENMETRICS else families_of
                counted = {
                    dict(labels)["worker"]: value
                    for (name, labels), value in samples(text, parse).items()
                    if name == "clippy_requests_total"
                }
                assert {"1": 1, "2": 2} == counted
                assert 2 == total(text, "clippy_worker_up", parse)
                assert 1 == total(text, "theirs", parse, worker="2", exported_worker="celery")
        ends[1].close()  # as one that died
        left = each[0].ask("GET", "/metrics", None).text
        assert 0 == total(left, "clippy_worker_up", worker="2")
        assert 0 == total(left, "clippy_requests_total", worker="2")
        assert 1 == total(left, "clippy_requests_total", worker="1")
        with world(siblings=Siblings.joined(founder.folder, 2, 1)):  # the process that was started in its place
            anew = each[0].ask("GET", "/metrics", None).text
        assert 1 == total(anew, "clippy_worker_up", worker="2")
        assert 0 == total(anew, "clippy_requests_total", worker="2")
        assert 1 == total(anew, "clippy_requests_total", worker="1")


def test_a_slow_collector_of_somebody_else_holds_no_request() -> None:
    """It is asked in a thread: while it waits for a request, that one is answered."""

    class Slow:
        def collect(self) -> list[Metric]:
            answered.append(opened.chat(key=None).status_code)
            return []

    answered: list[int] = []
    registry = CollectorRegistry()
    with world(registry=registry) as opened:
        registry.register(Slow())  # type: ignore[arg-type]
        assert 200 == opened.ask("GET", "/metrics", None).status_code
    assert [200] == answered


def test_beside_a_program_its_own_page_shows_the_numbers() -> None:
    """The registry of the process, as Flask's or FastAPI's /metrics shows it: no line more than for its own metrics."""
    from prometheus_client import generate_latest

    import clippy_core
    from clippy_core.testing import FakeProvider

    client = httpx.Client(transport=FakeProvider(Reply("hi")).transport(httpx))
    with clippy_core.Host({"telemetry-prometheus": PrometheusTelemetry()}) as host, host.wrap(client) as wrapped:
        asked = {"model": "beside-a-program", "messages": [{"role": "user", "content": "hello"}]}
        wrapped.post("http://fake.test/v1/chat/completions", json=asked)
    assert 1 == total(generate_latest().decode(), "clippy_requests_total", model="beside-a-program")


def _keys(keys: dict[str, Any]) -> Any:
    from clippy_gateway.settings import Key

    return {name: Key(**fields) for name, fields in keys.items()}
