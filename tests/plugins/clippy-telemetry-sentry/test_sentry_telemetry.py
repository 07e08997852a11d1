"""A request that failed is an event in Sentry, by the real sentry_sdk and over a socket."""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import anyio
import httpx
import httpx2
import openai
import pytest
import sentry_sdk
from attrs import define
from calling import COLOURS, Again, Caller
from clippy_hookspecs import (
    AttemptRecord,
    AuditRecord,
    ErrorInfo,
    HookCall,
    Outcome,
    Provenance,
    ProviderError,
    Refusal,
    Request,
    RequestContext,
    RouteInfo,
    Scope,
    Switch,
    Usage,
    hookimpl,
)
from clippy_telemetry_sentry import SentryTelemetry, telemetry
from sentry_endpoint import SentryEndpoint, sentry_endpoint
from sentry_sdk.transport import Transport

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock

SECRETS = Path(__file__).parents[4] / "shared" / "data" / "secrets-dev.jsonl"
QUIET = {"default_integrations": False, "auto_enabling_integrations": False}


@pytest.fixture
def sentry() -> Iterator[SentryEndpoint]:
    with sentry_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def program(sentry: SentryEndpoint) -> Iterator[SentryEndpoint]:
    """A program that has initialised Sentry itself."""
    sentry_sdk.init(sentry.dsn, **QUIET)
    try:
        yield sentry
    finally:
        forget()


def forget() -> None:
    """As if Sentry had never been initialised."""
    sentry_sdk.get_client().close(timeout=0.0)
    sentry_sdk.get_global_scope().set_client(None)
    for scope in (sentry_sdk.get_global_scope(), sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()):
        scope.clear()


def caller(telemetry: SentryTelemetry, colour: str = "sync", script: object = None, **others: object) -> Caller:
    return Caller(colour, httpx).start({"telemetry-sentry": telemetry, **others}, script)


def fail(calling: Caller, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ProviderError):
            calling.chat("Hello")


def context(clock: VirtualClock | None = None) -> RequestContext:
    unused = cast(Any, None)
    return RequestContext(
        "req-1", Scope("acme"), clock=clock or VirtualClock(), services=unused, route=RouteInfo("main"), flow=unused
    )


def record(**fields: Any) -> AuditRecord:
    given = {"id": "req-1", "outcome": "failed", "time": 1700000000.0, "duration": 0.25} | fields
    return AuditRecord(**given)


def reported(telemetry: SentryTelemetry, *records: AuditRecord) -> None:
    """Hand *records* to a plugin in an open host, and close it."""
    with telemetry.lifespan(cast(Any, None)):
        for one in records:
            telemetry.audit(one, context())


# --- what is told -----------------------------------------------------------------------------------------------------


def test_an_attempt_that_was_not_sent_is_listed_as_such_and_not_counted(program: SentryEndpoint) -> None:
    attempts = (AttemptRecord(1, "main", error=ErrorInfo("transient", "open"), sent=False), AttemptRecord(2, "spare"))
    reported(SentryTelemetry(), record(attempts=attempts))
    told = program.events[0]["contexts"]["clippy"]
    assert (told["attempts"], [one.get("sent") for one in told["attempt_list"]]) == (1, [False, None])


@pytest.mark.parametrize("colour", COLOURS)
def test_a_request_that_failed_is_one_event(colour: str, sentry: SentryEndpoint) -> None:
    reporter = SentryTelemetry(dsn=sentry.dsn, environment="test", release="1.0")
    calling = caller(reporter, colour, Fault.status(503), again=Again())
    fail(calling)
    calling.host.close()
    (event,) = sentry.events
    assert (event["level"], event["logger"], event["environment"], event["release"]) == (
        "error", "clippy", "test", "1.0",
    )  # fmt: skip
    assert event["fingerprint"] == ["clippy", "failed", "transient", "fault", "main", "test-model"]
    assert event["exception"]["values"] == [
        {
            "type": "transient/fault",
            "value": "test-model by main, status 503, 3 attempts",
            "mechanism": {"type": "clippy", "handled": True},
        }
    ]
    assert event["tags"] == {
        "clippy.outcome": "failed",
        "clippy.category": "transient",
        "clippy.kind": "fault",
        "clippy.route": "main",
        "clippy.model": "test-model",
        "clippy.api": "openai.chat",
        "clippy.provider": "fake.test",
    }
    told = event["contexts"]["clippy"]
    assert (told["request_id"], told["status"], told["suppressed"]) == (calling.records.last.id, 503, 0)
    assert (told["attempts"], [one["waited"] for one in told["attempt_list"]]) == (3, [0.0, 1.0, 1.0])
    assert told["attempt_list"][0]["error"] == {
        "category": "transient", "kind": "fault", "status": 503, "retryable": True, "scope": "request",
        "outage": False, "committed": False,
    }  # fmt: skip


@pytest.mark.parametrize("colour", COLOURS)
def test_an_answer_and_what_a_retry_repaired_are_none(colour: str, sentry: SentryEndpoint) -> None:
    calling = caller(SentryTelemetry(dsn=sentry.dsn), colour, [Fault.status(503), Reply("Hi")], again=Again())
    calling.chat("Hello")
    calling.host.close()
    assert sentry.events == []


@pytest.mark.parametrize("colour", COLOURS)
def test_the_openai_sdk_under_a_host_is_told_of_as_well(colour: str, sentry: SentryEndpoint) -> None:
    provider = FakeProvider(Fault.status(500))
    host = clippy_core.Host({"telemetry-sentry": SentryTelemetry(dsn=sentry.dsn)})
    ask: dict[str, Any] = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}]}
    settings: dict[str, Any] = {"api_key": "sk-none", "base_url": "http://fake.test/v1", "max_retries": 0}

    async def main() -> None:
        http = httpx2.AsyncClient(transport=provider.async_transport(httpx2))
        async with host.wrap(openai.AsyncOpenAI(http_client=http, **settings)) as client:
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(**ask)
        await host.aclose()

    if colour == "sync":
        with httpx2.Client(transport=provider.transport(httpx2)) as http, host:
            with pytest.raises(openai.InternalServerError):
                host.wrap(openai.OpenAI(http_client=http, **settings)).chat.completions.create(**ask)
    else:
        anyio.run(main, backend=colour)
    (event,) = sentry.events
    assert (event["tags"]["clippy.model"], event["contexts"]["clippy"]["status"]) == ("gpt-6-luna", 500)
    assert event["exception"]["values"][0]["value"] == "gpt-6-luna, status 500", "there is no route to name"


def test_a_stream_that_broke_is_told_with_what_it_used(sentry: SentryEndpoint) -> None:
    calling = caller(SentryTelemetry(dsn=sentry.dsn), script=[Fault.reset(at_delta=2), Reply("one two three four")])
    assert calling.stream("Hello").error is not None
    calling.host.close()
    (event,) = sentry.events
    told = event["contexts"]["clippy"]
    assert (told["stream"], told["usage"]["estimated"], told["usage"]["output"] > 0) == (True, True, True)


def test_the_provider_s_own_id_and_code_are_told(sentry: SentryEndpoint) -> None:
    error = ErrorInfo("permanent", "x", code="bad_thing", request_id="req_9", retry_after=2.0, scope="key")
    calls = (HookCall("guard", "on_response", "failed"), HookCall("other", "on_response", "passed"))
    reported(SentryTelemetry(dsn=sentry.dsn), record(error=error, usage=Usage(1, 2), trace=calls, parent="req-0"))
    told = sentry.events[0]["contexts"]["clippy"]
    assert (told["error"]["code"], told["error"]["provider_request_id"]) == ("bad_thing", "req_9")
    assert (told["failed_plugins"], told["parent_id"]) == (["guard"], "req-0")


def test_who_ended_a_request_is_a_tag(sentry: SentryEndpoint) -> None:
    ended = record(outcome="cancelled", ended_by="operator")
    reported(SentryTelemetry(dsn=sentry.dsn, outcomes=("cancelled", "failed")), ended, record())
    assert [event["tags"].get("clippy.ended_by") for event in sentry.events] == ["operator", None]


# --- which ones -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "told"),
    [
        ("transient", True), ("permanent", True), ("plugin", True), ("unknown", True),
        ("rate_limit", False), ("auth", False), ("validation", False), ("cancelled", False),
    ],
)  # fmt: skip
def test_a_failure_is_reported_by_its_category(category: Any, told: bool, sentry: SentryEndpoint) -> None:
    reported(SentryTelemetry(dsn=sentry.dsn), record(error=ErrorInfo(category)))
    assert len(sentry.events) == told


def test_the_categories_are_a_setting(sentry: SentryEndpoint) -> None:
    only = SentryTelemetry(dsn=sentry.dsn, categories=("validation",))
    reported(only, record(error=ErrorInfo("validation")), record(error=ErrorInfo("transient")), record())
    assert [event["tags"]["clippy.category"] for event in sentry.events] == ["validation"]


def test_a_failure_that_nobody_explains_is_unknown(sentry: SentryEndpoint) -> None:
    reported(SentryTelemetry(dsn=sentry.dsn), record())
    assert sentry.events[0]["exception"]["values"][0]["type"] == "unknown/unknown"


@define(eq=False)
class Refuse:
    @hookimpl
    def pre_request(self, request: Request) -> None:
        raise Refusal("not this one", code="not_allowed")


def test_a_refusal_is_reported_where_that_is_asked_for(sentry: SentryEndpoint) -> None:
    for outcomes in (("failed",), ("refused",)):
        calling = caller(SentryTelemetry(dsn=sentry.dsn, outcomes=outcomes), refuse=Refuse())
        with pytest.raises(Refusal):
            calling.chat("Hello")
        calling.host.close()
    (event,) = sentry.events
    assert (event["level"], event["exception"]["values"][0]["type"]) == ("warning", "refused: permanent/not_allowed")


@define(eq=False)
class Broken:
    @hookimpl
    def on_response(self) -> None:
        raise RuntimeError("prompt-zq")


def test_a_plugin_that_failed_is_reported_by_its_hook(sentry: SentryEndpoint) -> None:
    calling = caller(SentryTelemetry(dsn=sentry.dsn), script=Reply("Hi"), broken=Broken())
    with pytest.raises(Exception, match="broken"):
        calling.chat("Hello")
    calling.host.close()
    (event,) = sentry.events
    assert (event["tags"]["clippy.category"], event["tags"]["clippy.kind"]) == ("plugin", "on_response")
    assert event["contexts"]["clippy"]["failed_plugins"] == ["broken"]


# --- how many ---------------------------------------------------------------------------------------------------------


def test_an_outage_of_a_thousand_requests_is_five_events_and_then_a_count(sentry: SentryEndpoint) -> None:
    calling = caller(SentryTelemetry(dsn=sentry.dsn), script=lambda _: Fault.status(503))
    fail(calling, 1000)
    calling.clock.advance(60.0)
    fail(calling)
    calling.host.close()
    assert [event["contexts"]["clippy"]["suppressed"] for event in sentry.events] == [0, 0, 0, 0, 0, 995]
    reporter = cast(SentryTelemetry, calling.host.plugins["telemetry-sentry"])
    assert (reporter.sent, reporter.suppressed) == (6, 995)


def test_a_thousand_different_failures_are_sixty_events(sentry: SentryEndpoint) -> None:
    """A caller that makes up models cannot get around the bound."""
    calling = caller(SentryTelemetry(dsn=sentry.dsn), script=lambda _: Fault.status(503))
    for number in range(1000):
        with pytest.raises(ProviderError):
            calling.chat("Hello", model=f"model-{number}")
    calling.host.close()
    assert len(sentry.events) == 60


# --- nobody waits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_an_endpoint_that_does_not_answer_delays_no_request(colour: str) -> None:
    """All of them have failed as they do without it before it has answered once."""
    with sentry_endpoint(slow=True) as slow:
        calling = caller(SentryTelemetry(dsn=slow.dsn, burst=20), colour, lambda _: Fault.status(503))
        fail(calling, 20)
        assert (len(calling.records.records), slow.envelopes) == (20, [])
        slow.open.set()
        calling.host.close()
        assert len(slow.events) == 20


def test_closing_waits_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "CLOSING", 0.01)
    with sentry_endpoint(slow=True) as slow:
        calling = caller(SentryTelemetry(dsn=slow.dsn), script=lambda _: Fault.status(503))
        fail(calling)
        calling.host.close()
        assert slow.envelopes == []


def test_it_waits_two_seconds_at_most() -> None:
    assert telemetry.CLOSING == 2.0


@pytest.mark.parametrize("colour", COLOURS)
def test_where_nobody_listens_requests_fail_as_they_do_without_it(colour: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    calling = caller(SentryTelemetry(dsn=f"http://key@127.0.0.1:{port}/1"), colour, lambda _: Fault.status(503))
    fail(calling, 20)
    calling.host.close()
    assert calling.records.outcomes == ["failed"] * 20
    assert not calling.host.faults.counts


# --- what is not told -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_no_prompt_answer_key_tenant_or_message_of_an_error(colour: str, sentry: SentryEndpoint) -> None:
    body = b'{"error": {"message": "prompt-zq is not allowed with sk-of-zq", "code": "bad"}}'
    reporter = SentryTelemetry(dsn=sentry.dsn, categories=telemetry.KINDS)
    calling = caller(reporter, colour, [Fault.status(500, body=body), Fault.reset(at_delta=2), Reply("answer-zq two")])
    with calling.host.scope(tenant="tenant-zq", user="user-zq", session="session-zq"):
        with pytest.raises(ProviderError):
            calling.chat("prompt-zq")
        assert calling.stream("prompt-zq").error is not None
    calling.host.close()
    assert len(sentry.events) == 2
    assert all(b"zq" not in envelope and b"sk-test" not in envelope for envelope in sentry.envelopes)


@pytest.mark.skipif(not SECRETS.exists(), reason="the corpus of secrets is not here")
def test_no_secret_of_the_corpus_from_any_place(program: SentryEndpoint) -> None:
    """In the prompt and the error's text it is left out with them; in a name it is taken out, or too long for one."""
    cases = [json.loads(line) for line in SECRETS.read_text().splitlines()]
    secrets = [case for case in cases if case["label"] == "attack"]
    reporter = SentryTelemetry(most_per_minute=1000)
    for case in secrets:
        text = case["input"]
        error = ErrorInfo("permanent", text, code=text, message=text, request_id=text)
        ctx = context()
        ctx.route = RouteInfo(text, text, text)
        reporter.post_attempt(Outcome("error", error), ctx)
        reporter.audit(
            record(
                id=text, model=text, url=f"https://{text}", route=text, api=text, error=error, parent=text,
                scope=Scope(text, text, text), provenance=Provenance("plugin", by=text, reason=text),
                trace=(HookCall(text, "pre_request", "failed"),), finish_reason=text,
                attempts=(AttemptRecord(1, text, 500, error),),
            ),
            ctx,
        )  # fmt: skip
    sentry_sdk.flush()
    assert len(program.events) == len(secrets)
    sent = b"\n".join(program.envelopes).decode() + json.dumps(program.events, ensure_ascii=False)
    assert [case["id"] for case in secrets for secret in case["must_not_contain"] if secret in sent] == []


def test_a_client_that_attaches_stacks_sends_no_local_variables(sentry: SentryEndpoint) -> None:
    """They hold what the program was about to send."""
    sentry_sdk.init(sentry.dsn, attach_stacktrace=True, include_local_variables=True, **QUIET)
    try:
        prompt = "prompt-zq"
        calling = caller(SentryTelemetry(), script=Fault.status(503))
        with pytest.raises(ProviderError):
            calling.chat(prompt)
        calling.host.close()
    finally:
        forget()
    assert len(sentry.events) == 1
    assert not any(b"zq" in envelope for envelope in sentry.envelopes)


# --- the program's own Sentry -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_it_reports_through_the_program_s_client_and_in_its_scope(colour: str, program: SentryEndpoint) -> None:
    sentry_sdk.set_tag("page", "checkout")
    calling = caller(SentryTelemetry(), colour, Fault.status(503))
    fail(calling)
    calling.host.close()
    (event,) = program.events
    assert (event["tags"]["page"], event["tags"]["clippy.kind"]) == ("checkout", "unknown")


def test_a_dsn_of_its_own_goes_before_and_leaves_the_program_s_client_alone(program: SentryEndpoint) -> None:
    client = sentry_sdk.get_client()
    with sentry_endpoint() as own:
        calling = caller(SentryTelemetry(dsn=own.dsn), script=Fault.status(503))
        sentry_sdk.set_tag("page", "checkout")
        fail(calling)
        calling.host.close()
        assert sentry_sdk.get_client() is client
        assert client.is_active()
        assert client.transport is not None
        (event,) = own.events
    assert "page" not in event["tags"]
    calling.host.plugins["telemetry-sentry"].audit(record(), context())  # type: ignore[attr-defined]
    sentry_sdk.flush()
    assert program.events == []


@define(eq=False)
class Elsewhere:
    """Tries twice, then asks the other route."""

    @hookimpl(tryfirst=True)
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Switch | None:
        return Switch("other") if ctx.route.name == "main" and ctx.route_attempt == 2 else None


@pytest.mark.parametrize("colour", COLOURS)
def test_what_the_program_reports_next_says_what_was_tried(colour: str, program: SentryEndpoint) -> None:
    route = {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "test-model"}
    calling = Caller(colour, httpx).start(
        {"telemetry-sentry": SentryTelemetry(), "again": Again(), "elsewhere": Elsewhere()},
        [Fault.status(503), Fault.status(503), Reply("Hi")],
        routes={"main": {**route, "default": True}, "other": route},
        order=["again", "elsewhere"],
    )
    if colour == "sync":
        calling.chat("Hello")
        sentry_sdk.capture_message("the program's own")
    else:

        async def main() -> None:
            async with clippy_core.AsyncClient(calling.host, calling._http()) as client:
                await client.chat("Hello")
                sentry_sdk.capture_message("the program's own")

        anyio.run(main, backend=colour)
    sentry_sdk.flush()
    (event,) = program.events
    crumbs = [one for one in event["breadcrumbs"]["values"] if one["category"].startswith("clippy")]
    assert [(one["category"], one["level"], one["message"]) for one in crumbs] == [
        ("clippy.attempt", "warning", "attempt 1 on main: transient/fault"),
        ("clippy.attempt", "warning", "attempt 2 on main: transient/fault"),
        ("clippy.switch", "info", "attempt 3 went from main to other"),
    ]
    assert crumbs[0]["data"] == {"request_id": calling.records.last.id, "status": 503, "duration": 0.0}


def test_a_breadcrumb_names_no_route_where_there_is_none(program: SentryEndpoint) -> None:
    ctx = context()
    ctx.route, ctx.attempt = RouteInfo(""), 1
    SentryTelemetry().post_attempt(Outcome("error", ErrorInfo("transient", "reset")), ctx)
    sentry_sdk.capture_message("the program's own")
    sentry_sdk.flush()
    assert [one["message"] for one in program.events[0]["breadcrumbs"]["values"]] == ["attempt 1: transient/reset"]


def test_breadcrumbs_can_be_left_out(program: SentryEndpoint) -> None:
    caller(SentryTelemetry(breadcrumbs=False), script=[Fault.status(503), Reply("Hi")], again=Again()).chat("Hello")
    sentry_sdk.capture_message("the program's own")
    sentry_sdk.flush()
    assert not program.events[0].get("breadcrumbs", {}).get("values")


class Stumbling(Transport):
    """A transport of the program's that is broken."""

    def capture_envelope(self, envelope: Any) -> None:
        raise RuntimeError("no")


def test_a_client_that_raises_does_not_reach_the_request() -> None:
    sentry_sdk.init("http://key@127.0.0.1:9/1", transport=Stumbling, **QUIET)
    try:
        calling = caller(SentryTelemetry(), script=Fault.status(503))
        fail(calling)
        assert not calling.host.faults.counts
        assert cast(SentryTelemetry, calling.host.plugins["telemetry-sentry"]).raised == 1
    finally:
        forget()


# --- idle -------------------------------------------------------------------------------------------------------------


def test_it_is_idle_where_nobody_said_where_to_report() -> None:
    assert "no dsn is set" in (SentryTelemetry().idle or "")


def test_it_is_not_idle_with_a_dsn_or_in_a_program_that_reports(program: SentryEndpoint) -> None:
    assert SentryTelemetry().idle is None
    assert SentryTelemetry(dsn="https://key@sentry.example/1").idle is None


def test_idle_it_does_not_even_import_sentry() -> None:
    code = "import sys, clippy_core; from clippy_telemetry_sentry import SentryTelemetry as S; "
    code += "h = clippy_core.Host({'telemetry-sentry': S()}); h.open(); h.close(); print('sentry_sdk' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert run.stdout == "False\n"


@pytest.mark.parametrize(
    "dsn",
    [
        "sentry.example", "https://sentry.example/1", "https://key@sentry.example/", "https://key@sentry.example/one",
        "ftp://key@sentry.example/1", "https://key@[sentry.example/1", "https://key@sentry.example℀/1",
    ],
)  # fmt: skip
def test_a_dsn_that_is_none_is_a_mistake_that_does_not_show_it(dsn: str) -> None:
    with pytest.raises(ValueError, match="expected https://KEY@HOST/NUMBER") as raised:
        SentryTelemetry(dsn=dsn)
    assert "sentry.example" not in str(raised.value)


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_reports_through_a_client_of_its_own(sentry: SentryEndpoint) -> None:
    calling = caller(SentryTelemetry(dsn=sentry.dsn), script=lambda _: Fault.status(503))
    fail(calling)
    child = os.fork()
    if not child:
        try:
            fail(calling)
            calling.host.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    calling.host.close()
    assert len({event["event_id"] for event in sentry.events}) == len(sentry.events) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_does_not_send_what_its_parent_has_yet_to_send() -> None:
    """One event is on its way and one waits in the queue, of which the child has a copy; it collects its garbage."""
    seldom = gc.get_threshold()
    with sentry_endpoint(slow=True) as sentry:
        calling = caller(SentryTelemetry(dsn=sentry.dsn), script=lambda _: Fault.status(503))
        fail(calling, 2)
        gc.set_threshold(1, 1, 1)
        try:
            child = os.fork()
        finally:
            gc.set_threshold(*seldom)
        if not child:
            try:
                fail(calling)
                calling.host.close()
            finally:
                os._exit(0)
        sentry.open.set()
        os.waitpid(child, 0)
        calling.host.close()
        assert len({event["event_id"] for event in sentry.events}) == len(sentry.events) == 3


def test_it_reports_again_after_its_host_was_closed(sentry: SentryEndpoint) -> None:
    calling = caller(SentryTelemetry(dsn=sentry.dsn), script=lambda _: Fault.status(503))
    for _ in range(3):
        fail(calling)
        calling.host.close()
    assert len(sentry.events) == 3
