"""Each request becomes one log record, without content, whatever the program's logging does."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import httpx2
import openai
import pytest
from attrs import define
from calling import COLOURS, ROUTE, Again, Caller, Keep
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import (
    AttemptRecord,
    AttemptRefused,
    AuditRecord,
    ErrorInfo,
    HookCall,
    Outcome,
    PluginError,
    Provenance,
    ProviderError,
    Refusal,
    Request,
    RequestContext,
    RouteInfo,
    Scope,
    Usage,
    hookimpl,
)
from clippy_telemetry_log import JsonFormatter, LogTelemetry, telemetry
from hypothesis import given
from hypothesis import strategies as st

import clippy_core
from clippy_core.testing import FakeProvider, Fault, ObserverContract, PluginContract, Reply

SECRETS = Path(__file__).parents[4] / "shared" / "data" / "secrets-dev.jsonl"
LOGGER = logging.getLogger("clippy.requests")


class Hold(logging.Handler):
    """A program's handler: keeps records, and does with each what ``then`` says."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []
        self.arrived = threading.Semaphore(0)
        self.then = lambda: None

    def emit(self, record: logging.LogRecord) -> None:
        self.then()
        self.records.append(record)
        self.arrived.release()


@pytest.fixture
def handler() -> Iterator[Hold]:
    """The program's handler at the logger of requests, at every level."""
    hold = Hold()
    LOGGER.addHandler(hold)
    LOGGER.setLevel(logging.DEBUG)
    try:
        yield hold
    finally:
        hold.then = lambda: None
        LOGGER.removeHandler(hold)
        LOGGER.setLevel(logging.NOTSET)


@pytest.fixture
def kept(handler: Hold) -> list[Any]:
    return handler.records


def caller(telemetry: LogTelemetry, colour: str = "sync", script: object = None, **others: object) -> Caller:
    return Caller(colour, httpx).start({"telemetry-log": telemetry, **others}, script)


def context(name: str = "req-1") -> RequestContext:
    unused = cast(Any, None)
    route = RouteInfo("main", "openai.chat")
    return RequestContext(name, Scope("acme"), clock=unused, services=unused, route=route, flow=unused, attempt=1)


def record(**fields: Any) -> AuditRecord:
    return AuditRecord(**{"id": "req-1", "outcome": "answered", "time": 1700000000.0, "duration": 0.25} | fields)


def told(record: Any) -> dict[str, Any]:
    """Our fields of a log record."""
    return {name: value for name, value in vars(record).items() if name.startswith("clippy_")}


@define(eq=False)
class Refuse:
    @hookimpl
    def pre_request(self, request: Request) -> None:
        raise Refusal("not this one", code="not_allowed")


# --- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_an_answered_request_is_one_record(colour: str, kept: list[Any]) -> None:
    calling = caller(LogTelemetry(), colour, Reply("Hi"))
    calling.chat("Hello")
    (one,) = kept
    assert (one.name, one.levelname) == ("clippy.requests", "INFO")
    tokens = calling.records.last.usage
    assert tokens is not None
    assert one.getMessage() == (
        f"request answered: test-model, by main, status 200, 0.000 s, "
        f"{tokens.input}+{tokens.output} tokens, id {calling.records.last.id}"
    )
    assert told(one) == {
        "clippy_id": calling.records.last.id,
        "clippy_outcome": "answered",
        "clippy_model": "test-model",
        "clippy_route": "main",
        "clippy_api": "openai.chat",
        "clippy_status": 200,
        "clippy_duration": 0.0,
        "clippy_attempts": 1,
        "clippy_first_token": 0.0,
        "clippy_stream": False,
        "clippy_method": "POST",
        "clippy_operation": "chat.completions",
        "clippy_finish_reason": "stop",
        "clippy_input_tokens": tokens.input,
        "clippy_output_tokens": tokens.output,
        "clippy_usage_estimated": tokens.estimated,
        "clippy_source": "provider",
    }


@pytest.mark.parametrize(
    ("url", "operation"),
    [
        ("https://x.test/v1/chat/completions", "chat.completions"),
        ("https://x.test/openai/deployments/ours/embeddings?api-version=1", "embeddings"),
        ("/v1/files/file-8d2c/content", "files.content"),
        ("https://x.test/v1/messages/count_tokens/", "messages.count_tokens"),
        ("https://x.test/v1beta/models/a-secret:generateContent", "models.generateContent"),
        ("https://files.test/our-tenant/sk-5ecret", None),
        ("http://[", None),
        ("", None),
    ],
)
def test_what_a_request_was_for_is_told_in_words_of_the_apis_alone(
    url: str, operation: str | None, kept: list[Any]
) -> None:
    """An upload is no call of a model, and nothing else of its URL is anybody's affair."""
    LogTelemetry().audit(record(url=url, route="main"), context())
    assert getattr(kept[0], "clippy_operation", None) == operation
    said = f"{operation}, " if operation else ""
    assert kept[0].getMessage() == f"request answered: {said}by main, 0.250 s, id req-1"


@pytest.mark.parametrize("colour", COLOURS)
def test_a_failed_attempt_is_a_record_of_its_own_and_the_answer_says_that_it_was_one(
    colour: str, kept: list[Any]
) -> None:
    caller(LogTelemetry(), colour, [Fault.status(503), Reply("Hi")], again=Again()).chat("Hello")
    attempt, request = kept
    assert (attempt.levelname, request.levelname) == ("DEBUG", "WARNING")
    assert attempt.getMessage().startswith("attempt 1: on main, transient/fault, status 503, 0.000 s, id ")
    assert request.getMessage().startswith("request answered: test-model, by main, status 200, 1.000 s, 2 attempts, ")
    assert (attempt.clippy_id, attempt.clippy_category, attempt.clippy_kind) == (
        request.clippy_id, "transient", "fault",
    )  # fmt: skip


@pytest.mark.parametrize("colour", COLOURS)
def test_each_end_has_its_level(colour: str, kept: list[Any]) -> None:
    quiet = LogTelemetry(attempt="off")
    hello = caller(quiet, colour, Reply("one two three four"), keep=Keep())
    hello.chat("Hello")
    hello.chat("Hello")
    hello.stream("Hello you", stop_after=1)
    with pytest.raises(ProviderError):
        caller(quiet, colour, Fault.status(400)).chat("Hello")
    with pytest.raises(Refusal):
        caller(quiet, colour, refuse=Refuse()).chat("Hello")
    quiet.audit(record(outcome="abandoned"), context())
    assert [(one.levelname, one.clippy_outcome) for one in kept] == [
        ("INFO", "answered"),
        ("INFO", "cached"),
        ("INFO", "cancelled"),
        ("ERROR", "failed"),
        ("WARNING", "refused"),
        ("WARNING", "abandoned"),
    ]
    assert kept[4].clippy_kind == "not_allowed"


@pytest.mark.parametrize("ended", ["answered", "cached", "failed", "refused", "cancelled", "abandoned"])
def test_the_level_of_each_end_is_a_setting(ended: str, kept: list[Any]) -> None:
    LogTelemetry(**{ended: "critical"}).audit(record(outcome=ended), context())
    LogTelemetry(**{ended: "off"}).audit(record(outcome=ended), context())
    assert [one.levelname for one in kept] == ["CRITICAL"]


def test_an_attempt_that_was_not_sent_is_not_counted_and_says_so_itself(kept: list[Any]) -> None:
    held = ErrorInfo("transient", "breaker_open")
    attempts = (AttemptRecord(1, "main", None, held, sent=False), AttemptRecord(2, "spare", 200))
    LogTelemetry(recovered="debug").audit(record(attempts=attempts), context())
    LogTelemetry().post_attempt(Outcome("error", held, sent=False), context())
    request, attempt = kept
    assert told(request)["clippy_attempts"] == 1
    assert told(attempt)["clippy_sent"] is False
    assert "not sent" in attempt.getMessage()


@define(eq=False)
class Breaks:
    @hookimpl
    def pre_request(self, request: Request) -> None:
        raise KeyError("sk-secret-of-a-caller")


def test_a_request_that_a_plugin_ended_names_plugin_exception_and_place(kept: list[Any]) -> None:
    """Somebody who has this line alone knows which file to open."""
    with pytest.raises(PluginError):
        caller(LogTelemetry(), breaks=Breaks()).chat("Hello")
    (one,) = kept
    said = one.getMessage()
    assert said.startswith("request failed: test-model, by main, plugin/pre_request, breaks raised KeyError at ")
    assert "clippy-telemetry-log/test_log_telemetry.py:" in said
    assert "sk-secret" not in str(vars(one))


def test_a_fixed_text_is_said_to_be_one_and_why_no_route_answered(kept: list[Any]) -> None:
    """No route gave it, though one was asked last."""
    plugins = {"errors": ErrorClassifier(), "fallback": Fallback(routes=["spare"], static="sorry")}
    calling = Caller("sync", httpx)
    routes = {"main": ROUTE, "spare": ROUTE}
    script = [Fault.status(503), Fault.connect_error()]
    calling.start({"telemetry-log": LogTelemetry(attempt="off"), **plugins}, script, routes=routes)
    assert calling.chat("Hello", route="main").text == "sorry"
    (one,) = kept
    assert one.getMessage().startswith(
        "request answered: test-model, status 200, 0.000 s, 2 attempts, "
        "from fallback (the fixed text after network at spare), "
        "failed: main with transient/overloaded (status 503); spare with transient/network, "
    )


@define(eq=False)
class OpensAtTheSecond:
    """A breaker that an attempt has opened."""

    @hookimpl
    def pre_attempt(self, request: Request, ctx: RequestContext) -> None:
        if ctx.attempt > 1:
            raise AttemptRefused(ErrorInfo("transient", "breaker_open", retry_after=30.0))


@pytest.mark.parametrize(
    ("first", "seen"), [(Fault.truncated_json(), "(status 200)"), (Fault.status(503), "(status 503)")]
)
def test_a_refusal_to_send_has_no_status_and_says_what_it_came_after(first: Fault, seen: str, kept: list[Any]) -> None:
    """The status would be that of the attempt before, perhaps 200."""
    calling = caller(LogTelemetry(attempt="off"), "sync", first, again=Again(), opens=OpensAtTheSecond())
    with pytest.raises(ProviderError):
        calling.chat("Hello")
    (one,) = kept
    assert calling.records.last.status is None
    assert "transient/breaker_open, 2.000 s" in one.getMessage()
    assert seen in one.getMessage()
    assert "asked to wait 30 s" in one.getMessage()


def test_a_failure_to_connect_has_not_the_status_of_the_attempt_before(kept: list[Any]) -> None:
    calling = caller(LogTelemetry(), "sync", [Fault.status(503), *[Fault.connect_error()] * 2], again=Again())
    with pytest.raises(ProviderError):
        calling.chat("Hello")
    assert calling.records.last.status is None


def test_one_that_recovered_has_a_level_of_its_own(kept: list[Any]) -> None:
    attempts = (AttemptRecord(1, "main", 503, ErrorInfo("transient")), AttemptRecord(2, "main", 200))
    LogTelemetry(recovered="debug").audit(record(attempts=attempts), context())
    assert [one.levelname for one in kept] == ["DEBUG"]


def test_a_level_that_nobody_listens_to_costs_no_record(kept: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(telemetry, "of_request", made.append)
    LOGGER.setLevel(logging.WARNING)
    LogTelemetry().audit(record(), context())
    assert (made, kept) == ([], [])


def test_what_a_failure_was_is_told_in_fields(kept: list[Any]) -> None:
    error = ErrorInfo(
        "rate_limit", "overloaded", True, 2.5, status=429, code="slow_down", message="hush", request_id="req_9"
    )
    LogTelemetry().post_attempt(Outcome("error", error, 429, duration=0.5), context())
    (one,) = kept
    assert "the server asks for 2.5 s" in one.getMessage()
    assert told(one) == {
        "clippy_id": "req-1",
        "clippy_attempt": 1,
        "clippy_route_attempt": 0,
        "clippy_route": "main",
        "clippy_api": "openai.chat",
        "clippy_status": 429,
        "clippy_duration": 0.5,
        "clippy_category": "rate_limit",
        "clippy_kind": "overloaded",
        "clippy_code": "slow_down",
        "clippy_error_status": 429,
        "clippy_retryable": True,
        "clippy_retry_after": 2.5,
        "clippy_provider_request_id": "req_9",
    }


@pytest.mark.parametrize("colour", COLOURS)
def test_the_openai_sdk_under_a_host_is_told_of_as_well(colour: str, kept: list[Any]) -> None:
    provider = FakeProvider([Reply("Hi"), Fault.status(401)])
    host = clippy_core.Host({"telemetry-log": LogTelemetry()})
    ask: dict[str, Any] = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}]}
    settings: dict[str, Any] = {"api_key": "sk-none", "base_url": "http://fake.test/v1", "max_retries": 0}

    async def program() -> None:
        http = httpx2.AsyncClient(transport=provider.async_transport(httpx2))
        async with host.wrap(openai.AsyncOpenAI(http_client=http, **settings)) as client:
            await client.chat.completions.create(**ask)
            with pytest.raises(openai.AuthenticationError):
                await client.chat.completions.create(**ask)
        await host.aclose()

    if colour == "sync":
        with httpx2.Client(transport=provider.transport(httpx2)) as http, host:
            client = host.wrap(openai.OpenAI(http_client=http, **settings))
            client.chat.completions.create(**ask)
            with pytest.raises(openai.AuthenticationError):
                client.chat.completions.create(**ask)
    else:
        import anyio

        anyio.run(program, backend=colour)
    requests = [one for one in kept if one.getMessage().startswith("request")]
    assert [(one.clippy_outcome, one.clippy_model, one.clippy_status) for one in requests] == [
        ("answered", "gpt-6-luna", 200),
        ("failed", "gpt-6-luna", 401),
    ]


# --- a program that did not ask for it --------------------------------------------------------------------------------


PROGRAM = """
import logging, httpx, clippy_core
{setup}
from clippy_core.testing import FakeProvider, Fault
from clippy_telemetry_log import LogTelemetry
host = clippy_core.Host({{"telemetry-log": LogTelemetry()}})
with host.wrap(httpx.Client(transport=FakeProvider(Fault.status(500)).transport(httpx))) as client:
    asked = {{"model": "m", "messages": [{{"role": "user", "content": "Hello"}}]}}
    client.post("http://fake.test/v1/chat/completions", json=asked)
"""


@pytest.mark.parametrize(
    ("setup", "lines"), [("", 0), ("logging.basicConfig(level='WARNING', format='%(clippy_outcome)s')", 1)]
)
def test_a_program_prints_a_failure_only_if_it_has_set_up_logging(setup: str, lines: int) -> None:
    """Python's handler of last resort would print it."""
    program = [sys.executable, "-c", PROGRAM.format(setup=setup)]
    run = subprocess.run(program, capture_output=True, text=True, check=True, timeout=300)
    assert (run.stdout, run.stderr) == ("", "failed\n" * lines)


def test_its_failure_does_not_reach_the_request_when_a_handler_raises(handler: Hold) -> None:
    def stumble() -> None:
        raise RuntimeError("no disk")

    handler.then = stumble
    quiet = LogTelemetry()
    calling = caller(quiet, script=Reply("Hi"))
    assert calling.chat("Hello").text == "Hi"
    assert quiet.raised == 1
    assert not calling.host.faults.counts


# --- sampling ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(), max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_sample_holds_the_smaller_one(ids: list[str], one: float, other: float) -> None:
    """Because it goes by the id: what is told of a request does not depend on the process that tells it."""

    def sampled(share: float) -> set[str]:
        return {one for one in ids if LogTelemetry(sample=share)._sampled(one)}

    assert sampled(min(one, other)) <= sampled(max(one, other)) <= sampled(1.0) == set(ids)


def test_a_tenth_is_about_a_tenth_and_says_so(kept: list[Any]) -> None:
    tenth = LogTelemetry(sample=0.1)
    for number in range(5000):
        tenth.audit(record(id=f"req-{number}"), context())
    assert 400 < len(kept) < 600
    assert {one.clippy_sample for one in kept} == {0.1}


def test_what_went_wrong_is_told_whatever_the_sample(kept: list[Any]) -> None:
    none = LogTelemetry(sample=0.0)
    attempts = (AttemptRecord(1, "main", 503, ErrorInfo("transient")), AttemptRecord(2, "main", 200))
    for ended in ("answered", "cached", "failed", "refused", "cancelled", "abandoned"):
        none.audit(record(outcome=ended), context())
    none.audit(record(attempts=attempts), context())
    assert [one.clippy_outcome for one in kept] == ["failed", "refused", "cancelled", "abandoned", "answered"]


# --- what is not told -------------------------------------------------------------------------------------------------


def everything(kept: list[Any]) -> str:
    """All that a handler could write of these records."""
    return "\n".join(f"{JsonFormatter().format(one)} {one.getMessage()} {vars(one)}" for one in kept)


@pytest.mark.parametrize("colour", COLOURS)
def test_no_prompt_answer_key_tenant_or_message_of_an_error(colour: str, kept: list[Any]) -> None:
    body = b'{"error": {"message": "prompt-zq is not allowed with sk-of-zq", "code": "bad"}}'
    calling = caller(LogTelemetry(), colour, [Reply("answer-zq"), Fault.status(400, body=body)])
    with calling.host.scope(tenant="tenant-zq", user="user-zq", session="session-zq"):
        calling.chat("prompt-zq")
        with pytest.raises(ProviderError):
            calling.chat("prompt-zq")
        assert calling.stream("prompt-zq").text == "prompt-zq"
    assert len(kept) == 4
    assert "zq" not in everything(kept)
    assert "sk-test" not in everything(kept)


@pytest.mark.skipif(not SECRETS.exists(), reason="the corpus of secrets is not here")
def test_no_secret_of_the_corpus_from_any_place(kept: list[Any]) -> None:
    """In the prompt and the error's text it is left out with them; in a name it is taken out, or too long for one."""
    cases = [json.loads(line) for line in SECRETS.read_text().splitlines()]
    secrets = [case for case in cases if case["label"] == "attack"]
    assert secrets
    open_book, leaked = LogTelemetry(scope="hashed"), []
    for case in secrets:
        kept.clear()
        text = case["input"]
        error = ErrorInfo("permanent", text, code=text, message=text, request_id=text)
        scope = Scope(text, text, text)
        provenance = Provenance("plugin", by=text, reason=text)
        open_book.audit(
            record(
                id=text, outcome="failed", model=text, url=text, route=text, api=text, error=error, scope=scope,
                provenance=provenance, trace=(HookCall(text, "pre_request", "failed"),), finish_reason=text,
            ),
            context(),
        )  # fmt: skip
        open_book.post_attempt(Outcome("error", error), context())
        leaked += [case["id"] for secret in case["must_not_contain"] if secret in everything(kept)]
    assert leaked == []


@pytest.mark.parametrize(("scope", "shown"), [("omit", [None]), ("plain", ["acme ag\\n"])])
def test_a_tenant_is_shown_where_that_is_asked_for(scope: Any, shown: list[Any], kept: list[Any]) -> None:
    LogTelemetry(scope=scope).audit(record(scope=Scope("acme ag\n")), context())
    assert [getattr(one, "clippy_tenant", None) for one in kept] == shown


def test_a_hashed_tenant_is_the_same_where_the_key_is(kept: list[Any]) -> None:
    """And by default another one in each process, so that nobody finds it out by trying names."""
    for plugin in (LogTelemetry(scope="hashed", hash_key="k1"), LogTelemetry(scope="hashed", hash_key="k1")):
        plugin.audit(record(scope=Scope("acme", user="acme")), context())
    for plugin in (LogTelemetry(scope="hashed", hash_key="k2"), LogTelemetry(scope="hashed")):
        plugin.audit(record(scope=Scope("acme")), context())
    tenants = [one.clippy_tenant for one in kept]
    assert tenants[0] == tenants[1] == kept[0].clippy_user
    assert len(set(tenants)) == 3
    assert "acme" not in everything(kept)


# --- what cannot forge a line -----------------------------------------------------------------------------------------


ODD = st.text(alphabet="ab\\ \r\n\t\x00\x1b\x7f\x85\u2028\u2029\u202e\u2066\u200b\ufeff\ud800\U000e0041é", max_size=12)


@given(ODD, ODD)
def test_a_name_is_one_printable_line_and_two_of_them_are_two(one: str, other: str) -> None:
    from clippy_telemetry_log.names import name

    assert (name(one) or "").isprintable()
    assert (name(one) == name(other)) == (one == other)


def test_no_name_can_end_a_line_or_look_like_another_record(kept: list[Any]) -> None:
    """Neither in the message nor in a field that a program's own format shows."""
    forged = "m\n2026-01-02 INFO request answered\r\x1b[2K\u202e\u2028\U000e0041"
    error = ErrorInfo("permanent", forged, code=forged, request_id=forged)
    fields: dict[str, Any] = dict.fromkeys(("id", "model", "route", "api", "finish_reason", "parent", "method"), forged)
    odd = record(outcome="failed", error=error, provenance=Provenance("plugin", by=forged), **fields)
    LogTelemetry(scope="plain").audit(odd, context())
    LogTelemetry().post_attempt(Outcome("error", error), context(forged))
    for one in kept:
        assert one.getMessage().isprintable()
        assert all(value.isprintable() for value in told(one).values() if isinstance(value, str))
    assert kept[0].clippy_model == "m\\n2026-01-02 INFO request answered\\r\\x1b[2K\\u202e\\u2028\\U000e0041"


def test_what_is_too_long_for_a_name_is_left_out(kept: list[Any]) -> None:
    LogTelemetry().audit(record(model="prompt " * 100), context())
    assert kept[0].clippy_model == "[700 characters]"


def test_percent_signs_are_not_a_format(kept: list[Any]) -> None:
    LogTelemetry().audit(record(model="%s%(x)d%"), context())
    assert "%s%(x)d%" in kept[0].getMessage()


@pytest.mark.parametrize("usage", [None, Usage(0, 0, estimated=True)])
def test_numbers_that_are_none_are_left_out(usage: Usage | None, kept: list[Any]) -> None:
    LogTelemetry().audit(record(duration=float("nan"), first_token=float("inf"), usage=usage), context())
    assert {"clippy_duration", "clippy_first_token"}.isdisjoint(vars(kept[0]))


# --- the queue --------------------------------------------------------------------------------------------------------


class Gate:
    """A handler's work that takes until somebody lets it."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.open.wait(60)


def test_a_handler_that_hangs_delays_no_request_and_what_is_too_much_is_counted(handler: Hold) -> None:
    gate = handler.then = Gate()
    queued = LogTelemetry(queue=True, queue_size=3)
    calling = caller(queued, script=Reply("Hi"))
    calling.chat("Hello")
    assert gate.entered.wait(60)
    for _ in range(10):  # three of them find room
        assert calling.chat("Hello").text == "Hi"
    assert (handler.records, queued.lost) == ([], 7)
    gate.open.set()
    assert all(handler.arrived.acquire(timeout=30) for _ in range(4))
    calling.chat("Hello")
    calling.host.close()
    assert [getattr(one, "clippy_lost", None) for one in handler.records] == [None] * 4 + [7]
    assert queued.lost == 0


def test_closing_delivers_what_waits(handler: Hold) -> None:
    queued = LogTelemetry(queue=True)
    calling = caller(queued, script=Reply("Hi"))
    for _ in range(50):
        calling.chat("Hello")
    calling.host.close()
    assert len(handler.records) == 50
    assert "MainThread" in {one.threadName for one in handler.records}, "a record is of the thread of its request"


def test_closing_does_not_wait_for_a_handler_that_hangs(handler: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "CLOSING", 0.01)
    gate = handler.then = Gate()
    queued = LogTelemetry(queue=True)
    calling = caller(queued, script=Reply("Hi"))
    calling.chat("Hello")
    assert gate.entered.wait(60)
    calling.chat("Hello")
    [thread] = [one for one in threading.enumerate() if one.name == "clippy-telemetry-log"]
    calling.host.close()
    assert (handler.records, queued.lost) == ([], 1)
    gate.open.set()
    thread.join(60)
    assert len(handler.records) == 1, "what was given up does not come later"


def test_a_queue_serves_again_after_its_host_was_closed(handler: Hold) -> None:
    calling = caller(LogTelemetry(queue=True), script=Reply("Hi"))
    for _ in range(3):
        calling.chat("Hello")
        calling.host.close()
    assert len(handler.records) == 3


def test_two_hosts_tell_of_their_own_requests_once(handler: Hold) -> None:
    one, two = (caller(LogTelemetry(queue=True), script=Reply("Hi")) for _ in range(2))
    one.chat("Hello")
    two.chat("Hello")
    one.host.close()
    two.host.close()
    ids = [record.clippy_id for record in handler.records]
    assert sorted(ids) == sorted([one.records.last.id, two.records.last.id])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_tells_of_its_own_requests_only(handler: Hold) -> None:
    gate = handler.then = Gate()
    calling = caller(LogTelemetry(queue=True), script=Reply("Hi"))
    calling.chat("Hello")
    assert gate.entered.wait(60)
    calling.chat("Hello")  # waits in the queue while the process forks
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            handler.createLock()
            handler.then = lambda: None
            calling.chat("Hello")
            calling.host.close()
            same = [one.clippy_id for one in handler.records] == [calling.records.last.id]
            os.write(writing, b"one" if same else repr(handler.records).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1000) == b"one"
    gate.open.set()
    calling.host.close()
    assert len(handler.records) == 2


# --- what every plugin must be, with a thread of its own --------------------------------------------------------------


class TestQueuedLogTelemetryAsPlugin(PluginContract):
    def make(self) -> LogTelemetry:
        return LogTelemetry(queue=True, scope="hashed")


class TestQueuedLogTelemetry(ObserverContract):
    def make(self) -> LogTelemetry:
        return LogTelemetry(queue=True, scope="plain", attempt="warning")


def test_a_failed_attempt_that_nobody_classified_is_unknown(kept: list[Any]) -> None:
    LogTelemetry().post_attempt(Outcome("error"), context())
    assert (kept[0].clippy_category, kept[0].clippy_kind) == ("unknown", "unknown")
