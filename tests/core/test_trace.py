"""CLIPPY_TRACE: one readable block for each request of any host, without a word of what was said in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from attrs import define, field
from clippy_hookspecs import (
    AttemptRefused,
    AuditRecord,
    Chunk,
    ConfigError,
    ErrorInfo,
    ProviderError,
    Refusal,
    Request,
    RequestContext,
    Retry,
    hookimpl,
)
from hypothesis import given
from hypothesis import strategies as st

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply, Script, VirtualClock
from clippy_core.trace import document, lines

SECRETS = ("sk-secret", "the question", "the answer", "the failure", "acme")
ROUTES = {"main": {"base_url": "http://fake.test/v1", "key": "sk-secret", "model": "gpt-6-luna", "default": True}}


@define(eq=False)
class Again:
    """Tries once more after half a second, and looks at each chunk."""

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        return Retry(after=0.5) if ctx.route_attempt == 1 else None

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
        return None


@define(eq=False)
class No:
    """Lets nothing through."""

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        raise Refusal("the failure", code="no")


@pytest.fixture(autouse=True)
def _untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPY_TRACE", raising=False)


def ask(plugins: Mapping[str, object], script: Any, *, stream: bool = False, **config: Any) -> None:
    """One question on the main route of a new host, whatever comes of it."""
    clock = VirtualClock()
    provider = FakeProvider(script, clock=clock)
    host = clippy_core.Host(plugins, config={"routes": ROUTES, **config}, clock=clock)
    with host, host.scope(tenant="acme"), clippy_core.Client(host, provider.client()) as client:
        try:
            if stream:
                assert "".join(client.stream("the question").text()) == "the answer"
            else:
                client.chat("the question")
        except (ProviderError, Refusal):
            return


# --- what it says ----------------------------------------------------------------------------------------------------


def test_a_block_tells_outcome_model_attempts_plugins_and_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    """The attempts with their failures and waits, each plugin's decisions with their microseconds."""
    ask({"again": Again()}, [Fault.status(503), Reply("the answer")], trace=True)
    out, err = capsys.readouterr()
    assert out == ""
    summary, first, second, plugin = err.splitlines()
    words = summary.split()
    assert words[0] == "clippy"
    assert len(words[1]) == 16
    assert words[2:6] == ["answered", "200", "gpt-6-luna", "openai.chat"]
    assert words[-1] == "tokens"
    assert first.split()[:5] == ["attempt", "1", "main", "503", "unknown/unknown"]
    assert second.split() == ["attempt", "2", "main", "200", "ok", "0.000s", "after", "0.500s"]
    assert plugin.startswith("  again  on_error retry ")
    assert plugin.endswith("us")


@define(eq=False)
class Held:
    """Lets the first attempt not go."""

    @hookimpl
    def pre_attempt(self, ctx: RequestContext) -> None:
        if ctx.attempt == 1:
            raise AttemptRefused(ErrorInfo("transient", "held"))


def test_an_attempt_that_was_not_sent_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """To a person and to a program."""
    for form in (True, "json"):
        ask({"again": Again(), "held": Held()}, Reply("the answer"), trace=form)
    *block, document = capsys.readouterr().err.splitlines()
    assert block[1].split() == ["attempt", "1", "main", "transient/held", "not", "sent", "0.000s"]
    assert "not sent" not in block[2]
    assert [one["sent"] for one in json.loads(document)["attempts"]] == [False, True]


def test_chunks_are_one_line_with_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    """What runs for every chunk is summed up."""
    ask({"again": Again()}, Reply("the answer", chunks=5), stream=True, trace=True)
    summary, plugin = capsys.readouterr().err.splitlines()
    assert " stream " in summary
    assert "(first token " in summary
    assert plugin.startswith("  again  on_chunk passed ")
    assert int(plugin.rpartition(" x")[2]) > 5


def test_json_is_one_document_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The same for a program."""
    ask({"again": Again()}, [Fault.status(503), Reply("the answer")], trace="json")
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["outcome"], said["status"], said["model"], said["route"]) == ("answered", 200, "gpt-6-luna", "main")
    assert [attempt["status"] for attempt in said["attempts"]] == [503, 200]
    assert said["attempts"][1]["waited_ms"] == 500
    (call,) = said["plugins"]
    assert (call["plugin"], call["hook"], call["did"], call["calls"]) == ("again", "on_error", "retry", 1)
    assert said["tokens"]["output"] > 0


@pytest.mark.parametrize("form", [True, "json"])
@pytest.mark.parametrize(
    ("plugins", "script"),
    [
        ({"again": Again()}, [Fault.status(503, body='{"error": {"message": "the failure"}}'), Reply("the answer")]),
        ({"again": Again()}, Script(then=Fault.status(400, body='{"error": {"message": "the failure"}}'))),
        ({"no": No()}, None),
    ],
    ids=["answered", "failed", "refused"],
)
def test_no_content_no_key_and_no_tenant_is_told(
    capsys: pytest.CaptureFixture[str], form: Any, plugins: Mapping[str, object], script: Any
) -> None:
    """Neither what was asked nor what was answered, nor the words of a failure; also where records hold content."""
    ask(plugins, script, trace=form, audit={"content": True})
    said = capsys.readouterr().err
    assert said
    assert [] == [word for word in SECRETS if word in said]


def test_an_unknown_call_is_told_without_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    """Some services take their key in the address."""
    host = clippy_core.Host(config={"trace": True})
    with host, host.wrap(FakeProvider().client()) as client:
        client.get("http://user:sk-secret@api.test/bot-sk-secret/updates?key=sk-secret")
    said = capsys.readouterr().err
    assert " GET api.test " in said
    assert "sk-secret" not in said


@given(st.text(), st.text())
def test_names_of_others_cannot_act_on_a_terminal(model: str, reason: str) -> None:
    """A model's name and a finish reason are the caller's and the provider's own words."""
    record = AuditRecord("1", "answered", 0.0, 0.0, "openai.chat", model=model, finish_reason=reason)
    assert all(line.isprintable() and len(line) < 500 for line in lines(record))
    said = document(record)
    assert all(said[name].isprintable() for name in ("model", "finish_reason"))


# --- which hosts, and where to ---------------------------------------------------------------------------------------


def test_a_host_that_is_not_traced_says_nothing_and_has_no_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Off costs nothing: the chain is as empty as without the feature."""
    ask({"again": Again()}, Reply("the answer"))
    assert capsys.readouterr() == ("", "")
    host = clippy_core.Host()
    assert (host.chains.audit, host.chains.idle, host.chains.timed) == ((), True, False)


@pytest.mark.parametrize("module", [httpx, httpx2], ids=lambda module: module.__name__)
def test_the_variable_traces_hosts_that_read_nothing_else_from_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    """A wrapped client of a host made by hand, without a plugin: the switch is for whoever looks for a fault."""
    monkeypatch.setenv("CLIPPY_TRACE", "1")
    host = clippy_core.Host()
    with host, host.wrap(FakeProvider(Reply("the answer")).client(module)) as client:
        client.post("http://fake.test/v1/chat/completions", json={"model": "m", "messages": []})
    assert capsys.readouterr().err.startswith("clippy ")


def test_what_the_configuration_says_wins_over_the_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Argument before environment, as everywhere."""
    monkeypatch.setenv("CLIPPY_TRACE", "1")
    ask({}, Reply("the answer"), trace=False)
    assert capsys.readouterr().err == ""


def test_the_variable_is_a_setting_like_any_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``clippy config show`` knows it, with its origin."""
    monkeypatch.chdir(tmp_path)
    here = ("./t.jsonl", tmp_path / "t.jsonl")
    for text, value in (("1", True), ("0", False), ("json", "json"), ("./a/b.log", Path("a/b.log")), here):
        monkeypatch.setenv("CLIPPY_TRACE", text)
        config = clippy_core.load_config()
        assert (config.host.trace, config.origin("trace")) == (value, "environment CLIPPY_TRACE")


@pytest.mark.parametrize("text", ["jsn", "2", "verbose"])
@pytest.mark.parametrize("by_hand", [True, False])
def test_a_word_that_means_nothing_is_an_error_and_no_file_of_that_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, by_hand: bool
) -> None:
    """Whichever way the host was made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPPY_TRACE", text)
    with pytest.raises(ConfigError, match="environment CLIPPY_TRACE"):
        clippy_core.Host() if by_hand else clippy_core.Host.from_config()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "reads"), [("trace.log", str), ("trace.jsonl", json.loads)])
def test_a_file_is_appended_to_and_is_its_owners(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, reads: Any
) -> None:
    """Blocks of text, or lines of JSON where the name says so; mode 0600."""
    for _ in range(2):
        ask({}, Reply("the answer"), trace=str(tmp_path / name))
    assert capsys.readouterr().err == ""
    assert len([reads(line) for line in (tmp_path / name).read_text().splitlines()]) == 2
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_loses_no_answer(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """It is a failure that is skipped, logged by the name that the user gave it: nobody named an audit."""
    file = tmp_path / "missing" / "trace.log"
    ask({}, Reply("the answer"), trace=str(file))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"the trace could not be written to {file} (No such file or directory;")
    assert "audit" not in record.getMessage()


def test_a_program_without_a_stderr_is_traced_into_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python gives a program without a terminal no stderr."""
    monkeypatch.setattr(sys, "stderr", None)
    ask({}, Reply("the answer"), trace=True)


def test_tracing_changes_no_cache_key() -> None:
    """Who looks for a fault must find the same stored answers."""

    @define(eq=False)
    class Keys:
        seen: list[str] = field(init=False, factory=list)

        @hookimpl
        def cache_lookup(self, key: str) -> None:
            self.seen.append(key)

        @hookimpl
        def pre_request(self, request: Request) -> None:
            return None

    keys = Keys()
    for trace in (False, "json"):
        host = clippy_core.Host({"keys": keys}, config={"routes": ROUTES, "trace": trace})
        with host, clippy_core.Client(host, FakeProvider().client()) as client:
            client.chat("the question")
    assert keys.seen[0] == keys.seen[1]
