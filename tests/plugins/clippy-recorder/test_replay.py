"""Replaying a recording: as a provider, again on a route, and through other plugins."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import anyio
import httpx2
import openai
import pytest
from attrs import evolve
from click.testing import CliRunner
from clippy_cache_memory import MemoryCache
from clippy_hookspecs import Headers, RawRequest, Scope
from clippy_inspect import Inspect
from clippy_recorder import Exchange, Message, Recorder, document, exchange_of, read, to_curl, to_python, write
from clippy_recorder.other_plugins import plugin_named
from clippy_recorder.replaying import Cassette, Replay
from clippy_recorder.rerunning import rerun
from clippy_recorder.serving import pages_of
from clippy_retry import RetryPolicy
from clippy_serving import Server

import clippy_core
from clippy_core.cli import command_line
from clippy_core.driven import drive
from clippy_core.testing import FakeProvider, FakeServer, Fault, Reply, VirtualClock

KEY = "sk-proj-0123456789abcdefghijklmn"
MESSAGES: Any = [{"role": "user", "content": "Hello"}]


def recorded(*acts: Any, ask: Any) -> list[Exchange]:
    """What a recorder keeps of the calls that *ask* makes."""
    clock = VirtualClock()
    provider, recorder = FakeProvider(list(acts), clock=clock), Recorder(enabled=True)
    host = clippy_core.Host([recorder], clock=clock)
    ask(
        host.wrap(openai.OpenAI(api_key=KEY, max_retries=0, http_client=provider.client(httpx2))),
        host.wrap(anthropic.Anthropic(api_key=KEY, max_retries=0, http_client=provider.client(httpx2))),
    )
    return [*recorder.latest()]


def both(chat: openai.OpenAI, claude: anthropic.Anthropic) -> list[Any]:
    """The same four calls, whoever answers: plain and streamed, of two wire APIs."""
    said: list[Any] = [chat.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content]
    stream = chat.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    said.append([event.choices[0].delta.content for event in stream if event.choices])
    said.append(claude.messages.create(model="m", max_tokens=9, messages=MESSAGES).content[0].text)
    with claude.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as events:
        said.append(list(events.text_stream))
    return said


REPLY = Reply("one two three", chunks=("one ", "two ", "three"), chunk_delay=0.5)


@pytest.fixture
def served():
    """A recording as a provider on loopback, at once."""
    servers = []

    def serve(calls: list[Exchange], **how: Any) -> tuple[Replay, str]:
        replay = Replay(Cassette.of(calls), **{"speed": 0.0, **how})
        server = Server(pages_of(replay))
        server.start()
        servers.append(server)
        return replay, f"http://127.0.0.1:{server.port}"

    yield serve
    for server in servers:
        server.stop()


def test_the_official_sdks_get_from_a_recording_what_they_got_then(served):
    """Plain and streamed; nothing but the recording is asked."""
    first: list[Any] = []
    calls = recorded(REPLY, REPLY, REPLY, REPLY, ask=lambda *clients: first.extend(both(*clients)))
    _, url = served(calls)
    with httpx2.Client(trust_env=False) as http:
        chat = openai.OpenAI(api_key="another", base_url=f"{url}/v1", max_retries=0, http_client=http)
        claude = anthropic.Anthropic(api_key="another", base_url=url, max_retries=0, http_client=http)
        assert both(chat, claude) == first
        with pytest.raises(openai.NotFoundError, match="not in the recording"):
            chat.chat.completions.create(model="another", messages=MESSAGES)
        with pytest.raises(anthropic.NotFoundError, match="not in the recording"):
            claude.messages.create(model="another", max_tokens=9, messages=MESSAGES)


def test_many_threads_of_both_sdks_get_their_own_answers_in_any_order(served):
    """Each question its answer, and equal ones the recorded answers, each once before the last one comes again."""
    provider, recorder = FakeProvider([Reply(f"answer {number}") for number in range(16)]), Recorder(enabled=True)
    host = clippy_core.Host([recorder])
    chat = host.wrap(openai.OpenAI(api_key=KEY, max_retries=0, http_client=provider.client(httpx2)))
    claude = host.wrap(anthropic.Anthropic(api_key=KEY, max_retries=0, http_client=provider.client(httpx2)))

    def said(by: Any, text: str) -> str:
        question: list[Any] = [{"role": "user", "content": text}]
        if isinstance(by, openai.OpenAI):
            return by.chat.completions.create(model="m", messages=question).choices[0].message.content or ""
        answer: str = by.messages.create(model="m", max_tokens=9, messages=question).content[0].text
        return answer

    asked = [(by, text) for by in (chat, claude) for text in ("a", "b", "c", "d", "e", "same", "same", "same")]
    told = [said(*one) for one in asked]
    _, url = served([*recorder.latest()])
    with httpx2.Client(trust_env=False) as http, ThreadPoolExecutor(8) as threads:
        here = {
            openai.OpenAI: openai.OpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0, http_client=http),
            anthropic.Anthropic: anthropic.Anthropic(api_key="x", base_url=url, max_retries=0, http_client=http),
        }
        order = [*range(len(asked))][::-1]
        again = [*threads.map(lambda at: said(here[type(asked[at][0])], asked[at][1]), order)][::-1]
        assert said(here[openai.OpenAI], "same") == told[7]
    for start in (0, 8):
        assert again[start : start + 5] == told[start : start + 5]
        assert sorted(again[start + 5 : start + 8]) == sorted(told[start + 5 : start + 8])


def test_a_stream_comes_in_its_own_time_byte_for_byte():
    """On a clock of our own; twice as fast where that is asked."""
    calls = recorded(
        REPLY, ask=lambda chat, _: list(chat.chat.completions.create(model="m", messages=MESSAGES, stream=True))
    )
    asked = calls[0].attempts[0]
    for speed in (1.0, 2.0):
        waits: list[float] = []

        async def sleep(seconds: float, waits: list[float] = waits) -> None:
            waits.append(seconds)

        async def play(speed: float = speed, sleep: Any = sleep) -> list[bytes]:
            replay = Replay(Cassette.of(calls), speed, sleep=sleep)
            reply = await replay.answer(RawRequest("POST", asked.url, Headers(), asked.sent.body))
            assert not isinstance(reply.body, bytes)
            pieces = []
            while (piece := await reply.body.next()) is not None:
                pieces.append(piece)
            return pieces

        pieces = drive(play())
        assert pieces == [piece.data for piece in calls[0].pieces if piece.kind == "bytes"]
        recorded_time = (calls[0].pieces[-1].at - asked.at) / 1e6
        assert sum(waits) == pytest.approx(recorded_time / speed, abs=0.001)
        assert sum(waits) > 1.0 / speed


def test_equal_requests_get_the_recorded_answers_in_their_order_and_the_last_one_again():
    """As a program that polls would see it."""
    ask = lambda chat, _: [chat.chat.completions.create(model="m", messages=MESSAGES) for _ in range(2)]  # noqa: E731
    calls = recorded(Reply("first"), Reply("second"), ask=ask)
    cassette, asked = Cassette.of(calls), calls[0].attempts[0]
    request = RawRequest(
        "POST", asked.url, Headers(), json.dumps(dict(reversed(json.loads(asked.sent.body).items()))).encode()
    )
    found = [cassette.find(request) for _ in range(3)]
    assert [b"first" in one.pieces[0] for one in found] == [True, False, False]


def test_an_answer_that_broke_off_breaks_off_again(served, caplog):
    """What came before is the same; a line says so, for nothing failed here."""

    def ask(chat: openai.OpenAI, _: Any) -> None:
        with pytest.raises(openai.APIConnectionError):
            list(chat.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    calls = recorded(Fault.reset(at_delta=2), ask=ask)
    _, url = served(calls)
    with httpx2.Client(trust_env=False) as http:
        chat = openai.OpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0, http_client=http)
        stream = chat.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        assert next(iter(stream)).choices
        with pytest.raises((openai.APIConnectionError, httpx2.HTTPError)):
            list(stream)
    assert ["an answer broke off"] == [
        one.getMessage() for one in caplog.records if one.name.startswith(("clippy", "uvi"))
    ]
    assert all(one.exc_info is None for one in caplog.records)


@pytest.mark.parametrize("streamed", [False, True])
def test_to_what_was_not_recorded_the_connection_can_be_closed(served, streamed):
    """As a provider that cannot be reached looks; a status would be an answer."""
    replay, url = served([], extra="kill")
    with httpx2.Client(trust_env=False) as http:
        chat = openai.OpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0, http_client=http)
        with pytest.raises((openai.APIConnectionError, httpx2.HTTPError)):
            list(chat.chat.completions.create(model="m", messages=MESSAGES, stream=streamed))
    assert replay.missing == ["POST /v1/chat/completions"]


@pytest.mark.parametrize("streamed", [False, True])
def test_an_error_of_the_provider_is_the_same_error_again(served, streamed):
    """A refusal is a whole answer, also where a stream was asked for: the connection does not break."""

    def ask(chat: openai.OpenAI, _: Any) -> None:
        with pytest.raises(openai.RateLimitError):
            chat.chat.completions.create(model="m", messages=MESSAGES, stream=streamed)

    _, url = served(recorded(Fault.status(429), ask=ask))
    with httpx2.Client(trust_env=False) as http:
        ask(openai.OpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0, http_client=http), None)  # type: ignore[arg-type]


def stored_and_asked_again(first: bool, second: bool) -> list[Exchange]:
    """A call and an equal one that a cache answers, each streamed or plain."""
    provider, recorder = FakeProvider(REPLY, clock=(clock := VirtualClock())), Recorder(enabled=True)
    host = clippy_core.Host([recorder, MemoryCache()], clock=clock)
    chat = host.wrap(openai.OpenAI(api_key=KEY, max_retries=0, http_client=provider.client(httpx2)))
    for streamed in (first, second):
        answer = chat.chat.completions.create(model="m", messages=MESSAGES, temperature=0, stream=streamed)
        _ = list(answer)
    calls = [*recorder.latest()]
    assert [call.state for call in calls] == ["answered", "cached"]
    return calls


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_a_hit_is_answered_in_the_form_that_its_caller_got(first, second):
    """Also a stored stream that was given as a plain answer: its caller got bytes that no provider wrote."""
    cassette = Cassette.of(calls := stored_and_asked_again(first, second))
    for call, streamed in zip(calls, (first, second), strict=True):
        found = cassette.find(RawRequest("POST", call.url, Headers(), call.came.body))
        assert found is not None
        assert found.pieces[0].startswith(b"data: " if streamed else b"{")
        assert streamed or json.loads(found.pieces[0])["choices"][0]["message"]["content"] == "one two three"


@pytest.mark.parametrize("first", [False, True])
def test_a_recording_of_a_streamed_hit_alone_is_the_same_stream_again(served, first):
    """Yesterday's cache answered, and today's recording knows no provider."""
    _, hit = stored_and_asked_again(first, True)
    _, url = served([exchange_of(json.loads(json.dumps(document(hit))))])
    with httpx2.Client(trust_env=False) as http:
        chat = openai.OpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0, http_client=http)
        stream = chat.chat.completions.create(model="m", messages=MESSAGES, temperature=0, stream=True)
        assert "".join(event.choices[0].delta.content or "" for event in stream) == "one two three"


def test_a_call_recorded_without_content_is_counted_and_never_answered():
    """An empty answer would be a wrong one."""
    calls = recorded(REPLY, ask=lambda chat, _: chat.chat.completions.create(model="m", messages=MESSAGES))
    bare = evolve(calls[0], came=evolve(calls[0].came, body=b""), attempts=tuple(
        evolve(one, sent=evolve(one.sent, body=b""), answer=evolve(one.answer, body=b"")) for one in calls[0].attempts
    ))  # fmt: skip
    cassette = Cassette.of([bare])
    assert (len(cassette), cassette.unusable) == (0, 1)


def test_the_programs_that_are_exported_make_the_call_again(tmp_path):
    """In Python and in a shell; the key comes from the environment."""
    calls = recorded(REPLY, REPLY, REPLY, REPLY, ask=both)
    with FakeServer() as server:
        made = []
        for call in calls:
            at = server.base_url if call.api == "openai.chat" else server.anthropic_url
            origin = "https://api.openai.com/v1" if call.api == "openai.chat" else "https://api.anthropic.com"
            made.append(evolve(call, url=call.url.replace(origin, at)))
            (tmp_path / f"program{len(made)}.py").write_text(to_python(made[-1]))
        keys = {"OPENAI_API_KEY": "sk-of-mine", "ANTHROPIC_API_KEY": "sk-of-mine", "no_proxy": "127.0.0.1"}
        # Each as a program of its own, in one interpreter: importing the SDKs takes longer than all the rest.
        each = "import runpy, sys\nfor one in sys.argv[1:]: runpy.run_path(one, run_name='__main__')"
        done = subprocess.run(
            [sys.executable, "-c", each, *sorted(tmp_path.glob("program*.py"))],
            capture_output=True, text=True, timeout=300, env={**os.environ, **keys},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for call, here, sent in zip(calls, made, server.requests, strict=True):
            assert json.loads(sent.body) == json.loads(call.came.body)
            assert "sk-of-mine" in (sent.headers.get("authorization", "") + sent.headers.get("x-api-key", ""))
            words = shlex.split(to_curl(here))
            assert words[:4] == ["curl", "--globoff", "--url", here.url]
            assert words[words.index("--data-raw") + 1].encode() == call.came.body
            assert KEY not in to_curl(here) + to_python(here)


def test_nothing_in_an_exported_command_is_acted_upon():
    """A prompt is quoted, whatever is in it."""
    evil = "'; touch /tmp/never; echo `id` $(id) \\ \n"
    calls = recorded(
        REPLY, ask=lambda chat, _: chat.chat.completions.create(model="m", messages=[{"role": "user", "content": evil}])
    )
    words = shlex.split(to_curl(calls[0]))
    assert json.loads(words[words.index("--data-raw") + 1])["messages"][0]["content"] == evil
    compile(to_python(calls[0]), "program", "exec")


# --- the command line ---------------------------------------------------------------------------------------------


SHOUTS = '''
from attrs import define, evolve
from clippy_hookspecs import hookimpl

@define(eq=False)
class Shouts:
    """Asks otherwise."""

    @hookimpl
    def pre_request(self, request, ctx):
        return evolve(request, params={**request.params, "shouts": True})
'''


def run(*words: str) -> Any:
    return CliRunner().invoke(command_line(), [*words], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recording and a configuration of one route."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    ask = lambda chat, _: both(chat, _)[:0]  # noqa: E731
    write(tmp_path / "calls.jsonl", recorded(REPLY, REPLY, REPLY, REPLY, ask=ask))
    return tmp_path


def configured(folder: Path, server: FakeServer) -> None:
    (folder / "clippy.toml").write_text(
        'allow = ["recorder"]\n'
        f'[routes.chat]\nbase_url = "{server.base_url}"\nkey = "sk-route"\n'
        f'[routes.claude]\napi = "anthropic.messages"\nbase_url = "{server.anthropic_url}"\nkey = "sk-route"\n'
    )


def test_a_recording_is_made_again_on_its_routes_and_what_differs_is_shown(folder):
    """The same answers first, then another one."""
    with FakeServer(FakeProvider(Reply("one two three"))) as server:
        configured(folder, server)
        told = json.loads(run("replay", "calls.jsonl", "--live", "--json").output)
        assert (len(told["calls"]), told["same"], server.calls) == (4, 4, 4)
    with FakeServer(FakeProvider(Reply("one two four"))) as server:
        configured(folder, server)
        printed = run("replay", "calls.jsonl", "--live").output
    assert "-one two three" in printed
    assert "+one two four" in printed
    assert "0 of 4 calls have the same answer" in printed


@pytest.mark.parametrize("asked", [(), ("--with", "cache-sqlite")])
def test_calls_that_are_made_again_are_asked_anew_and_leave_the_cache_alone(folder, asked):
    """A provider that answers otherwise by now must not look the same because the answer of yesterday is stored."""
    with FakeServer(FakeProvider(Reply("one two three"))) as server:
        configured(folder, server)
        file = folder / "clippy.toml"
        text = file.read_text().replace('["recorder"]', '["recorder", "cache", "cache-sqlite"]')
        file.write_text(f'{text}[plugins.cache-sqlite]\npath = "answers.sqlite"\n')
        with clippy_core.Host.from_config(file) as host:
            ask = lambda: rerun([*read(folder / "calls.jsonl")], host, drive)  # noqa: E731
            ask()
            once = server.calls
            ask()
            assert server.calls == once, "the cache has them all"
        done = run("replay", "calls.jsonl", "--live", *asked, "--json")
        told = json.loads(done.stdout)
        assert ("cache-sqlite is left out: --live asks the provider" in done.stderr) == bool(asked)
        assert (len(told["calls"]), server.calls - once) == (4, 4)


@pytest.mark.parametrize("asked", [(), ("--with", "inspect")])
def test_calls_that_are_made_again_open_no_pages(folder, monkeypatch, asked):
    """A debugger that the configuration has would take its port and print a link, for a second."""
    open_hosts: list[Any] = []
    monkeypatch.setattr(Inspect, "_has_a_port", lambda self: open_hosts.append(self))
    with FakeServer(FakeProvider(Reply("one two three"))) as server:
        configured(folder, server)
        file = folder / "clippy.toml"
        text = file.read_text().replace('["recorder"]', '["recorder", "inspect"]')
        file.write_text(f"{text}[plugins.inspect]\nenabled = true\n")
        done = run("replay", "calls.jsonl", "--live", *asked, "--json")
    assert json.loads(done.stdout)["same"] == 4
    assert "inspect is left out: it talks to other processes" in done.stderr
    assert open_hosts == []


def test_calls_that_are_made_again_are_no_news_for_the_programs_that_run(folder):
    """A replay of failures opened the breaker of a gateway, and stood in its audit log."""
    with FakeServer(FakeProvider([Fault.status(503)] * 40)) as server:
        configured(folder, server)
        file = folder / "clippy.toml"
        shared = '["recorder", "audit", "breaker", "state-sqlite", "errors"]'
        text = file.read_text().replace('["recorder"]', shared)
        file.write_text(f'{text}[plugins.audit]\npath = "audit.jsonl"\n[plugins.state-sqlite]\npath = "state.sqlite"\n')
        before = {*folder.rglob("*")}
        told = json.loads(run("replay", "calls.jsonl", "--live", "--json").stdout)
        assert (told["again"]["failed"], server.calls > 0) == (4, True)
    assert {*folder.rglob("*")} == before


def test_yesterdays_calls_go_through_another_plugin_and_nobody_is_asked(folder, monkeypatch):
    """A plugin that changes the question gets the recorded answer all the same."""
    (folder / "shouting.py").write_text(SHOUTS)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(folder)  # where the command runs, which is not among the installed places
    with FakeServer() as server:
        configured(folder, server)
        done = run("replay", "calls.jsonl", "--with", "shouting:Shouts", "--json")
        assert done.exit_code == 0, done.output
        told = json.loads(done.output)
        assert not server.requests
    assert told["same"] == 4
    assert told["again"]["attempts"] == 4
    assert told["again"]["input"] == told["configured"]["input"] > 0


EVERYTHING = """
[plugins.audit]
path = "audit.jsonl"
[plugins.cache-sqlite]
path = "answers.sqlite"
[plugins.inspect]
enabled = true
port = 1
"""


def test_what_is_compared_leaves_nothing_behind_and_comes_out_the_same_each_time(folder):
    """The stores of the program are neither read nor written: not its cache, its breaker's state, its audit log."""
    (folder / "clippy.toml").write_text(EVERYTHING)
    before = {*folder.rglob("*")}
    first, second = (run("replay", "calls.jsonl", "--without", "retry", "--json") for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    assert first.stdout == second.stdout
    told = json.loads(first.stdout)
    assert (told["same"], told["configured"]["failed"]) == (4, 0)
    assert told["notes"] == ["inspect is left out of both runs: it talks to other processes (its setting port)"]
    assert {*folder.rglob("*")} == before


def test_waits_are_over_at_once_and_count_as_they_were(folder):
    """Calls come in their own time by the clock of the run: a breaker that ten failures opened has closed by then."""

    def ask(chat: openai.OpenAI, _: anthropic.Anthropic) -> None:
        for _ in range(10):
            with pytest.raises(openai.InternalServerError):
                chat.chat.completions.create(model="m", messages=MESSAGES)
        chat.chat.completions.create(model="m", messages=MESSAGES)

    calls = recorded(*[Fault.status(503)] * 10, REPLY, ask=ask)
    failed = {}
    for seconds in (0, 3600):
        again = [evolve(one, began=calls[0].began + seconds * number) for number, one in enumerate(calls)]
        write(folder / f"{seconds}.jsonl", again)
        told = json.loads(run("replay", f"{seconds}.jsonl", "--without", "retry", "--json").stdout)
        failed[seconds] = told["again"]["failed"]
        assert told["again"]["latency"] == pytest.approx(sum(one.duration or 0 for one in calls) / 1e6, rel=0.5)
    assert failed == {0: 11, 3600: 10}


def test_what_is_logged_of_simulated_calls_is_told_after_the_result_and_times_have_a_unit(folder):
    """Read on a screen, a failure that is played again is not one that happens, and ten of them hide the result."""
    (folder / "clippy.toml").write_text("[plugins.telemetry-log]\nanswered = 'error'\n")
    log, heard, said = logging.getLogger("clippy"), logging.Handler(), []
    heard.emit = lambda record: said.append(record.getMessage())
    log.addHandler(heard)
    try:
        done = run("replay", "calls.jsonl", "--without", "retry")
        log.error("after it")
    finally:
        log.removeHandler(heard)
    assert said == ["after it"]
    told = [line for line in done.stderr.splitlines() if "logged" in line]
    assert len(told) == 1
    assert "times: request answered: " in told[0]
    assert done.output.index("calls have the same answer") < done.output.index("times: request answered: ")
    assert "latency, s" in done.stdout


def test_a_plugin_that_does_nothing_makes_no_difference(folder):
    """Failures that are played again are waited for alike in both runs, however the waits are drawn."""

    def ask(chat: openai.OpenAI, _: anthropic.Anthropic) -> None:
        for _ in range(3):
            with pytest.raises(openai.InternalServerError):
                chat.chat.completions.create(model="m", messages=MESSAGES)

    write(folder / "failed.jsonl", recorded(*[Fault.status(500)] * 3, ask=ask))
    (folder / "clippy.toml").write_text("[plugins.throttle]\nenabled = false\n")
    told = json.loads(run("replay", "failed.jsonl", "--with", "throttle", "--json").stdout)
    assert told["again"]["attempts"] > 3
    assert told["again"] == told["configured"]


def test_calls_without_what_was_said_are_not_made_again(folder):
    """They would be asked without a question, and answered alike by that."""
    calls = [evolve(one, attempts=tuple(evolve(a, sent=Message(size=70)) for a in one.attempts), came=Message(size=70))
             for one in read(folder / "calls.jsonl")]  # fmt: skip
    write(folder / "standard.jsonl", calls)
    why = 'what was said in it was not recorded; record with level = "detailed"'
    for how in (("--with", "throttle"), ("--live",)):
        done = run("replay", "standard.jsonl", *how)
        assert (done.exit_code, f"no call can be made again: {why}" in done.stderr) == (1, True)
    write(folder / "some.jsonl", [*read(folder / "calls.jsonl"), evolve(calls[0], id="bare")])
    done = run("replay", "some.jsonl", "--without", "retry")
    assert f"1 calls are left out: {why}" in done.stderr
    assert "4 of 4 calls have the same answer" in done.stdout


def test_plugins_that_are_not_there_or_do_nothing_are_told_of(folder):
    (folder / "clippy.toml").write_text("")
    wrong = run("replay", "calls.jsonl", "--without", "rety")
    assert (wrong.exit_code, "--without rety: no such plugin is active; did you mean retry?" in wrong.output) == (
        1,
        True,
    )
    idle = run("replay", "calls.jsonl", "--with", "cache-semantic")
    assert "cache-semantic does nothing: mode is off" in idle.stderr


def test_calls_that_nobody_waited_for_are_left_out_and_counted(folder):
    calls = [*read(folder / "calls.jsonl")]
    write(folder / "left.jsonl", [evolve(calls[0], state="cancelled"), *calls[1:]])
    done = run("replay", "left.jsonl", "--without", "retry", "--json")
    assert json.loads(done.stdout)["same"] == 3
    assert "1 calls got no whole answer then, and are left out" in done.stderr


def test_each_tenants_calls_stay_its_own(folder):
    """Two tenants who ask the same get an answer each; a cache that crossed them would show here as a hit."""
    call = next(iter(read(folder / "calls.jsonl")))
    asked = [evolve(call, id=f"{tenant}-{turn}", scope=Scope(tenant)) for turn in range(2) for tenant in ("a", "b")]
    write(folder / "two.jsonl", asked)
    told = json.loads(run("replay", "two.jsonl", "--without", "retry", "--json").stdout)
    assert (told["configured"]["attempts"], told["configured"]["cached"]) == (2, 2)


FAILS = '''
from attrs import define
from clippy_hookspecs import hookimpl

@define(eq=False)
class Fails:
    """Breaks each call."""

    @hookimpl
    def pre_request(self, request, ctx):
        raise ValueError("not today")

@define(eq=False)
class Needs:
    """Has a setting without a default."""

    word: str
'''


def test_a_plugin_that_fails_is_shown_beside_what_was_recorded(folder, monkeypatch):
    """As its calls would have failed; one that cannot be made is a sentence."""
    (folder / "failing.py").write_text(FAILS)
    (folder / "broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(folder)
    with FakeServer() as server:
        configured(folder, server)
        done = run("replay", "calls.jsonl", "--with", "failing:Fails", "--json")
        assert done.exit_code == 0, done.output
        told = json.loads(done.output)
        assert not server.requests
        for plugin, why in (("failing:Needs", "default settings"), ("broken:It", "imported"), ("none", "no installed")):
            done = run("replay", "calls.jsonl", "--with", plugin)
            assert (done.exit_code, why in done.output) == (1, True), done.output
    assert (told["same"], told["configured"]["failed"], told["again"]["failed"]) == (0, 0, 4)


def test_files_are_listed_shown_and_turned_into_others(folder):
    """And back, by way of an archive."""
    calls = [*read(folder / "calls.jsonl")]
    assert run("recordings", "list", "calls.jsonl").output.count("answered") == 4
    shown = run("recordings", "show", "calls.jsonl", calls[1].id).output
    assert "attempt 1" in shown
    assert "[DONE]" in shown
    assert run("recordings", "export", "calls.jsonl", "-o", "calls.har").exit_code == 0
    assert run("recordings", "import", "calls.har", "back.sqlite").output == "4 calls\n"
    back = [*read(folder / "back.sqlite")]
    assert {one.id for one in back} == {one.id for one in calls}
    assert [piece.data for piece in next(one for one in back if one.id == calls[1].id).pieces] == [
        piece.data for piece in calls[1].pieces if piece.kind == "bytes"
    ]


def test_a_list_takes_the_filter_of_the_pages_and_says_what_it_cannot_read(folder):
    """A term that nothing can fit is not an empty answer."""
    calls = [*read(folder / "calls.jsonl")]
    write(folder / "some.jsonl", [evolve(calls[0], state="failed", status=503), *calls[1:]])
    for words, lines in (
        (("-q", "status:>=500"), 1),
        (("-q", "-failed HELLO"), 3),
        (("-m", "M*"), 4),
        (("-m", "m", "-q", "failed"), 1),
        (("-m", "a model"), 0),
    ):
        done = run("recordings", "list", "some.jsonl", *words)
        assert (done.exit_code, len(done.stdout.splitlines())) == (0, lines), words
        assert ("none of 4 calls fits" in done.stderr) == (lines == 0)
    for words, why in (("status:>=x", '"x" is none.'), ("state:nope", 'There is no state "nope".')):
        done = run("recordings", "list", "some.jsonl", "-q", words)
        assert (done.exit_code, why in done.stderr) == (2, True)


def test_calls_that_an_export_has_no_form_for_are_named_and_the_others_written(folder):
    """One list of models among a thousand calls would keep all of them from being exported."""
    calls = [*read(folder / "calls.jsonl")]
    bare = evolve(calls[1], came=Message(size=70), attempts=())
    withheld = evolve(bare, id="refused", state="refused")
    write(folder / "mixed.jsonl", [calls[0], evolve(calls[1], id="models", api="", method="GET"), bare, withheld])
    for form, left in (("python", 3), ("curl", 2)):
        done = run("recordings", "export", "mixed.jsonl", "--format", form)
        assert done.exit_code == 0
        assert f"{left} of 4 calls are left out" in done.stderr
        assert f'{bare.id}: what was said in it was not recorded; record with level = "detailed"' in done.stderr
        assert "refused: what is said in a call that was refused is withheld" in done.stderr
        assert ("models: there is no SDK for this call; export it as curl" in done.stderr) == (form == "python")
        assert done.stdout.startswith(to_python(calls[0]) if form == "python" else to_curl(calls[0]))
    alone = run("recordings", "export", "mixed.jsonl", "--format", "python", "--id", "models", "-o", "models.py")
    assert (alone.exit_code, "no call of mixed.jsonl can be written as python" in alone.stderr) == (1, True)
    assert not (folder / "models.py").exists()


def test_what_a_model_said_cannot_act_on_a_terminal(folder):
    """Escapes are written out; text in any script is not."""
    kept = "✓ 日本語 \u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f467"
    evil = f"\x1b[2Jgone \x9b31m \u202e \x7f {kept}"
    ask = lambda chat, _: chat.chat.completions.create(model="m", messages=[{"role": "user", "content": evil}])  # noqa: E731
    write(folder / "evil.jsonl", recorded(Reply(evil), ask=ask))
    request_id = next(iter(read(folder / "evil.jsonl"))).id
    show = ["show", "evil.jsonl", request_id]
    for words in (show, [*show, "--json"], ["list", "evil.jsonl"]):
        printed = run("recordings", *words).output
        assert not {"\x1b", "\x9b", "\u202e", "\x7f"} & set(printed)
    assert kept in run("recordings", *show).output


def test_a_replay_as_a_process_ends_when_it_is_told(folder):
    """It says where it listens; SIGTERM ends it in good order.  No key is needed for answers that are there."""
    (folder / "clippy.toml").write_text(
        '[routes.main]\nbase_url = "https://api.openai.com/v1"\nkey = { env = "A_KEY_THAT_IS_NOT_SET" }\n'
    )
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "clippy_core.cli", "replay", "calls.jsonl", "--speed", "0"],
        stdout=subprocess.PIPE, text=True, cwd=folder,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = line.split()[6]
            with httpx2.Client(trust_env=False, timeout=20) as http:
                chat = openai.OpenAI(api_key="x", base_url=url, max_retries=0, http_client=http)
                answer = chat.chat.completions.create(model="m", messages=MESSAGES)
            assert answer.choices[0].message.content == "one two three"
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_replay_stands_in_for_a_provider_on_any_event_loop(backend):
    """As an Upstream of a host."""
    calls = recorded(REPLY, ask=lambda chat, _: chat.chat.completions.create(model="m", messages=MESSAGES))
    asked = calls[0].attempts[0]

    async def work() -> int:
        replay = Replay(Cassette.of(calls), 0.0)
        return (await replay.send(RawRequest("POST", asked.url, Headers(), asked.sent.body), {})).status

    assert anyio.run(work, backend=backend) == 200


def test_for_a_plugin_that_is_installed_nothing_is_looked_for_where_the_command_runs(tmp_path, monkeypatch):
    """A file there would stand for what an installed module imports if it can."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert isinstance(plugin_named("clippy_retry:RetryPolicy"), RetryPolicy)
    assert str(tmp_path) not in sys.path
