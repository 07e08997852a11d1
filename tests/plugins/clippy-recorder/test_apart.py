"""A recorder that would cost its program too much has a process of its own write: the same files, and nothing lost."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from attrs import define, evolve, fields
from clippy_cache_memory import MemoryCache
from clippy_errors import ErrorClassifier
from clippy_hookspecs import (
    AttemptRecord,
    AuditRecord,
    Chunk,
    ClippyError,
    Endpoint,
    ErrorInfo,
    Event,
    Headers,
    HookCall,
    Message,
    Outcome,
    Provenance,
    Refusal,
    Request,
    RequestContext,
    Response,
    Scope,
    Text,
    Usage,
    hookimpl,
)
from clippy_hookspecs.blocks import with_raw
from clippy_recorder import Recorder, apart, document, handing, keeping, read
from clippy_recorder.developing import develop
from clippy_recorder.framing import framed, next_of, opened
from clippy_recorder.handing import packed, unpacked
from clippy_recorder.tape import Tape
from clippy_retry import RetryPolicy
from hypothesis import given, settings
from hypothesis import strategies as st

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock

RECORD = AuditRecord("1", "answered", 1.0, 1.0)
KEY = "sk-proj-canary0123456789abcdefghijklmnop"
ROUTE = {"routes": {"main": {"base_url": "http://provider.test/v1", "key": KEY}}}


@define(eq=False)
class Busy:
    """Changes questions and answers, and refuses what speaks of war."""

    @hookimpl
    def pre_request(self, request: Any, ctx: RequestContext) -> Any:
        if any("war" in message.text for message in request.messages):
            raise Refusal("not of that")
        return evolve(request, messages=(*request.messages, Message("user", (Text(f"please, {KEY}"),))))

    @hookimpl
    def on_response(self, response: Any, ctx: RequestContext) -> Any:
        return None if ctx.stream else evolve(response, finish_reason="stop")


@pytest.mark.parametrize("level", ["minimal", "standard", "detailed"])
def test_what_is_handed_over_says_the_same_of_every_kind_of_call(level):
    """Plain, streamed, repeated, stored, changed, refused and failed calls, with half a letter and a key in them."""
    failed = Fault.status(503, body=f"{KEY} is wrong")
    never = Fault.status(401, body=f"{KEY} is wrong")
    replies = [Reply("Hi"), failed, Reply("a \udc81 b", chunks=("a ", "\udc81 b")), never, Reply("one two")]
    recorder = Recorder(enabled=True, level=level)
    plugins = [recorder, Busy(), RetryPolicy(), ErrorClassifier(), MemoryCache()]
    with clippy_core.Host(plugins, config=ROUTE, clock=VirtualClock()) as host:
        client = clippy_core.Client(host, FakeProvider(replies).client(httpx2))
        for question, stream in [("Hello", False), ("Hello", False), ("Go on", True), ("Go on", True), ("war", False)]:
            _asked(client, question, stream)
        _asked(client, "Fail", False)
        _asked(client, "At last", True)
    tapes = [*recorder._shelf.tapes()]
    assert {tape.record.outcome for tape in tapes} == {"answered", "cached", "refused", "failed"}
    came = tapes[0].events[0]  # of a request that the host translated: its caller wrote another
    tapes[0].events[0] = evolve(came, value=evolve(came.data, api="anthropic.messages", url=f"http://x/?key={KEY}"))
    handed = [document(develop(unpacked(packed(tape)), level)) for tape in tapes]
    assert handed[0]["asked"]["api"] == "anthropic.messages"
    assert handed == [document(develop(tape, level)) for tape in tapes]
    assert KEY not in repr(handed)


def test_what_the_contract_says_of_a_call_is_handed_over_or_known_not_to_be_recorded():
    """A field that a later contract adds would be in what the program itself writes, and missing in the other's."""
    parts = {"usage", "request", "response", "error", "attempts", "scope", "provenance", "trace"}  # told beside them
    not_recorded = {"committed", "partial", "should_retry", "outage", "scope", "request_id"}  # of a failure
    handed = [
        (AuditRecord, handing._RECORD, parts), (AttemptRecord, handing._ATTEMPT, {"error"}),
        (ErrorInfo, handing._ERROR, not_recorded), (Scope, handing._SCOPE, set()), (Usage, handing._USAGE, {"extra"}),
        (Provenance, handing._PROVENANCE, set()),
    ]  # fmt: skip
    for value, names, left_out in handed:
        assert {one.name for one in fields(value)} - {*names.__reduce__()[1]} == left_out, value
    called = HookCall(*[one.name for one in fields(HookCall)])
    chunk = Chunk(**{one.name: one.name for one in fields(Chunk) if one.init and one.name not in ("usage", "extra")})
    given = Tape("1", None, 0, 1.0, 100, None, [Event("chunk_in", 1, chunk)], [called], record=RECORD)
    came = unpacked(packed(given))
    assert (came.trace, came.events) == ([called], given.events)


TEXTS = st.text(st.sampled_from('aé\udc81\n\0"漢'), max_size=3)
BODIES = st.binary(max_size=4)
NUMBERS = st.integers(-(2**70), 2**70)
HEADERS = st.lists(st.tuples(TEXTS, TEXTS), max_size=2).map(Headers)
USAGES = st.none() | st.builds(Usage, NUMBERS, NUMBERS)
REQUESTS = st.builds(
    lambda raw, *values: with_raw(Request("openai.chat", Endpoint("", streams=True), "POST", *values), raw),
    st.none() | BODIES, TEXTS, TEXTS, HEADERS, TEXTS,
)  # fmt: skip
CHUNKS = st.builds(
    lambda raw, usage, *values: with_raw(evolve(Chunk(*values), usage=usage), raw),
    st.none() | BODIES, USAGES, st.sampled_from(["text", "tool_call", "end"]), TEXTS, st.integers(0, 1),
    st.integers(0, 1), st.none() | TEXTS, st.none() | TEXTS, st.none() | TEXTS,
)  # fmt: skip
OUTCOMES = st.builds(lambda kind, words: Outcome("error", ErrorInfo("server", kind, message=words)), TEXTS, TEXTS)
ANSWERS = st.builds(lambda raw, headers: with_raw(Response(headers=headers), raw), st.none() | BODIES, HEADERS)
FOLDED = st.sampled_from(["pre_request", "pre_attempt", "on_response", "audit"])


@st.composite
def tapes(draw: st.DrawFn) -> Tape:
    """Whatever events in whatever order, some told of the same value, as a host or a plugin may yet come to tell."""
    chunks, requests = draw(st.lists(CHUNKS, min_size=1, max_size=3)), draw(st.lists(REQUESTS, min_size=1, max_size=2))
    calls = [HookCall(*each) for each in draw(st.lists(st.tuples(TEXTS, FOLDED, TEXTS, NUMBERS), max_size=3))]
    some = {
        "request": st.tuples(st.sampled_from(requests), st.none() | st.sampled_from(requests)),
        "attempt": st.tuples(st.sampled_from(requests)),
        "head": st.tuples(st.tuples(st.integers(100, 599), HEADERS)),
        "bytes": st.tuples(BODIES),
        "chunk_in": st.tuples(st.sampled_from(chunks)),
        "chunk_out": st.tuples(st.sampled_from(chunks)),
        "closed": st.tuples(st.none() | OUTCOMES),
        **({"hook": st.tuples(st.sampled_from(calls), st.none() | REQUESTS | ANSWERS)} if calls else {}),
    }
    kinds = draw(st.lists(st.sampled_from(sorted(some)), max_size=12))
    events = [Event(kind, 1000 * at, *draw(some[kind])) for at, kind in enumerate(kinds)]
    record = evolve(RECORD, usage=draw(USAGES), response=draw(st.none() | ANSWERS), stream=draw(st.booleans()))
    return Tape("1", None, 0, 1.0, 100, None, events, calls, [(0, draw(NUMBERS))], record=record)


@settings(deadline=None)
@given(tapes(), st.sampled_from(["standard", "detailed"]))
def test_whatever_is_on_a_tape_says_the_same_on_the_other_side(tape, level):
    """Half letters, great numbers, bodies that are equal, empty or not there, chunks that come again."""
    assert document(develop(unpacked(packed(tape)), level)) == document(develop(tape, level))


def test_a_pipe_brings_frames_one_after_the_other_and_none_that_is_torn():
    """A program may be killed anywhere."""
    frames = [framed(["\udc81", 2**70], (b"a\n", b"", b"c")), framed(None), framed("last", (b"long", b""))]
    whole = [b"".join(one) for one in frames]
    for end in range(sum(map(len, whole)) + 1):
        source, came = io.BytesIO(b"".join(whole)[:end]), []
        while (one := next_of(source)) is not None:
            came.append(one)
        full = sum(end >= sum(map(len, whole[: count + 1])) for count in range(len(whole)))
        assert came == [opened(one) for one in frames[:full]]


def test_equal_pieces_of_a_stored_stream_are_each_on_its_time_line():
    """Which chunks came in one piece is told by its being the same one."""
    one, other = (with_raw(Chunk("text", "ha"), bytes(bytearray(b"data: ha\n\n"))) for _ in range(2))
    events = [Event("chunk_in", 1000, one), Event("chunk_in", 2000, other)]
    tape = Tape("1", None, 0, 1.0, 100, None, events, record=RECORD)
    for side in (tape, unpacked(packed(tape))):
        pieces = develop(side, "detailed").pieces
        assert [piece.data for piece in pieces if piece.kind == "bytes"] == [b"data: ha\n\n"] * 2


def test_what_is_no_body_is_not_handed_over():
    """Which bytes an object of a plugin's own would give is not known."""
    tape = Tape("1", None, 0, 1.0, 100, None, record=evolve(RECORD, response=with_raw(Response(), bytearray(b"a"))))
    with pytest.raises(TypeError, match="a bytearray cannot be handed to another process"):
        packed(tape)


def test_a_batch_of_more_pieces_than_the_system_takes_at_once_arrives(tmp_path, monkeypatch):
    """Also where a signal interrupts what is written."""
    monkeypatch.setattr("os.writev", lambda pipe, pieces: os.write(pipe, b"".join(pieces)[:10_001]))
    monkeypatch.setattr(apart, "_BUFFERS", 10)
    writer = apart.Writer(tmp_path / "calls.jsonl", "detailed", ())
    until(lambda: writer.hear() or writer.ready)
    sent = [with_raw(Request("", Endpoint(""), "POST", "http://x/"), b"%06d" % n * 3000) for n in range(30)]
    events = [[Event("request", 0, one)] for one in sent]
    writer.hand([packed(Tape(str(n), None, 0, 1.0, 9, None, events[n], record=RECORD)) for n in range(30)])
    assert writer.close() == [[]]
    assert [one.came.body for one in read(tmp_path / "calls.jsonl")] == [one.raw for one in sent]


def _asked(client: clippy_core.Client, question: str, stream: bool) -> None:
    with suppress(ClippyError) if question in ("war", "Fail") else nullcontext():
        if stream:
            list(client.stream(question, model="m"))
        else:
            client.chat(question, model="m")


@pytest.fixture
def always_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorders for which the least work is too much."""
    monkeypatch.setattr(keeping, "BUSY", -1.0)
    monkeypatch.setattr(keeping, "_LOOKED_AT", 0.0)
    monkeypatch.setattr("clippy_recorder.recorder.possible", lambda: True)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "nothing came of it in a minute"
        time.sleep(0.02)


@define
class Asking:
    """A host with a recorder that hands over, and a client."""

    recorder: Recorder
    client: clippy_core.Client
    asked: int = 0

    def ask(self, times: int) -> None:
        for _ in range(times):
            self.client.chat(f"question {self.asked}: {KEY}", model="m")
            self.asked += 1

    @property
    def keeper(self) -> keeping.Keeper:
        assert self.recorder._keeper is not None
        return self.recorder._keeper

    def until_handed_over(self) -> None:
        def handed_over() -> bool:
            self.ask(1)
            return self.keeper.hands_over

        until(handed_over)

    def in_file(self) -> list[str]:
        calls = sorted(read(self.recorder.path), key=lambda one: one.began)
        return [call.attempts[0].sent.body.partition(b"question ")[2].partition(b":")[0].decode() for call in calls]


@pytest.mark.parametrize("suffix", ["jsonl", "sqlite"])
def test_each_call_is_in_the_file_once_whoever_wrote_it_and_no_key_is(suffix, always_busy, tmp_path):
    """A forked child that lives on keeps nobody waiting; the process ends with its host."""
    recorder = Recorder(enabled=True, path=tmp_path / f"calls.{suffix}", keep=5000)
    with clippy_core.Host([recorder], config=ROUTE) as host, FakeProvider(Reply("Hi")).client(httpx2) as inner:
        asking = Asking(recorder, clippy_core.Client(host, inner))
        asking.until_handed_over()
        child = os.fork()
        if not child:
            signal.alarm(120)
            signal.pause()
        asking.ask(150)
        process = asking.keeper._writer._process
    assert process.poll() is not None
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert asking.in_file() == [str(number) for number in range(asking.asked)]
    assert [document(call) for call in sorted(read(recorder.path), key=lambda one: one.began)] == [
        document(call) for call in recorder.latest(5000)
    ]
    assert KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_a_process_that_is_killed_loses_nothing_and_the_thread_goes_on(always_busy, tmp_path, caplog):
    """What it did not say that it wrote is written by the program, which says so."""
    recorder = Recorder(enabled=True, path=tmp_path / "calls.sqlite", keep=5000)
    with (
        caplog.at_level(logging.WARNING, "clippy.recorder"),
        clippy_core.Host([recorder], config=ROUTE) as host,
        FakeProvider(Reply("Hi")).client(httpx2) as inner,
    ):
        asking = Asking(recorder, clippy_core.Client(host, inner))
        asking.until_handed_over()
        os.kill(asking.keeper._writer._process.pid, signal.SIGSTOP)
        asking.ask(100)
        os.kill(asking.keeper._writer._process.pid, signal.SIGKILL)
        asking.ask(10)
        keeper = asking.keeper
        until(lambda: keeper._writer is None)
        asking.ask(10)
    assert asking.in_file() == [str(number) for number in range(asking.asked)]
    assert keeper.lost == 0
    assert [record.getMessage() for record in caplog.records] == [
        "the process that writes recordings ended; this one writes them from now on"
    ]


def test_that_a_process_was_killed_is_noticed_without_another_call(always_busy, tmp_path, caplog):
    """The last calls of a busy hour are in the file soon, and not only with the next one or at the end."""
    recorder = Recorder(enabled=True, path=tmp_path / "calls.jsonl", keep=5000)
    with clippy_core.Host([recorder], config=ROUTE) as host, FakeProvider(Reply("Hi")).client(httpx2) as inner:
        asking = Asking(recorder, clippy_core.Client(host, inner))
        asking.until_handed_over()
        keeper = asking.keeper
        until(lambda: not keeper._writer.owes)  # or what it wrote and did not say yet is written twice
        os.kill(keeper._writer._process.pid, signal.SIGSTOP)
        asking.ask(10)
        until(lambda: not keeper._waiting and keeper._writer.owes)
        os.kill(keeper._writer._process.pid, signal.SIGKILL)
        until(lambda: keeper._writer is None)
        until(lambda: len(asking.in_file()) == asking.asked)
    assert asking.in_file() == [str(number) for number in range(asking.asked)]


def test_what_a_process_loses_is_told_without_another_call(always_busy, tmp_path):
    """A full disk at night is no news of the morning."""
    (tmp_path / "calls.jsonl").symlink_to("/dev/full")
    recorder = Recorder(enabled=True, path=tmp_path / "calls.jsonl", keep=5000)
    with clippy_core.Host([recorder], config=ROUTE) as host, FakeProvider(Reply("Hi")).client(httpx2) as inner:
        asking = Asking(recorder, clippy_core.Client(host, inner))
        asking.until_handed_over()
        asking.ask(20)
        until(lambda: asking.keeper.lost == asking.asked)
        assert "No space left" in asking.keeper.status().rows[0][1]


def test_that_a_process_ended_is_no_sign_that_the_disk_has_room_again(always_busy, tmp_path, caplog):
    """It leaves nothing to write, so nothing was tried."""
    (tmp_path / "calls.jsonl").symlink_to("/dev/full")
    recorder = Recorder(enabled=True, path=tmp_path / "calls.jsonl", keep=5000)
    with clippy_core.Host([recorder], config=ROUTE) as host, FakeProvider(Reply("Hi")).client(httpx2) as inner:
        asking = Asking(recorder, clippy_core.Client(host, inner))
        asking.until_handed_over()
        until(lambda: asking.keeper.lost == asking.asked)
        os.kill(asking.keeper._writer._process.pid, signal.SIGKILL)
        asking.ask(1)
        until(lambda: asking.keeper._writer is None)
    assert "recorded again" not in caplog.text


def test_a_fault_of_handing_over_ends_no_recording(always_busy, monkeypatch, tmp_path, caplog):
    """It costs the calls of that moment; the thread writes what comes after it."""
    recorder = Recorder(enabled=True, path=tmp_path / "calls.jsonl", keep=5000)
    with clippy_core.Host([recorder], config=ROUTE) as host, FakeProvider(Reply("Hi")).client(httpx2) as inner:
        asking = Asking(recorder, clippy_core.Client(host, inner))
        asking.until_handed_over()
        keeper = asking.keeper
        monkeypatch.setattr(apart.Writer, "hand", lambda *_: 1 // 0)
        asking.ask(1)
        until(lambda: keeper._writer is None)
        before = asking.asked
        asking.ask(20)
    assert keeper.lost > 0
    assert set(map(str, range(before, asking.asked))) <= set(asking.in_file())
    assert "calls were not recorded" in caplog.text


def test_what_a_killed_program_had_handed_over_is_written(tmp_path):
    """The process writes it and ends, since nobody holds the other end of its pipe."""
    program = f"""
import os, signal, sys, time
from pathlib import Path
from clippy_recorder.apart import Writer
from clippy_recorder.handing import packed
from clippy_recorder.tape import Tape
from clippy_hookspecs import AuditRecord
writer = Writer(Path({str(tmp_path / "calls.jsonl")!r}), "detailed", ())
while not writer.ready:
    writer.hear()
    time.sleep(0.01)
def tape(number):
    return Tape(str(number), None, 0, 1.0 + number, 100, None, record=AuditRecord(str(number), "answered", 1.0, 1.0))
for number in range(300):
    writer.hand([packed(tape(number))])
print(writer._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    until(lambda: not _lives(int(done.stdout)))
    assert [one.id for one in read(tmp_path / "calls.jsonl")] == [str(number) for number in range(300)]


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text("ascii").split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("name", "value"), [("executable", "/usr/bin/uwsgi"), ("executable", None), ("frozen", True)])
def test_a_program_whose_executable_is_no_interpreter_is_not_started_once_more(name, value, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    assert apart.possible()
    monkeypatch.setattr(sys, name, value, raising=False)
    assert not apart.possible()


def test_a_disk_that_is_full_is_said_once_by_whoever_writes(always_busy, tmp_path, caplog):
    """What was lost is counted."""
    (tmp_path / "calls.jsonl").symlink_to("/dev/full")
    recorder = Recorder(enabled=True, path=tmp_path / "calls.jsonl", keep=5000)
    with (
        caplog.at_level(logging.WARNING, "clippy.recorder"),
        clippy_core.Host([recorder], config=ROUTE) as host,
        FakeProvider(Reply("Hi")).client(httpx2) as inner,
    ):
        asking = Asking(recorder, clippy_core.Client(host, inner))
        asking.until_handed_over()
        asking.ask(20)
        keeper = asking.keeper
    assert keeper.lost == asking.asked
    assert ["No space left" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("end", ["", "flush=True"])
def test_what_an_environment_prints_at_each_start_of_python_is_not_taken_for_what_the_process_says(
    end, tmp_path, monkeypatch
):
    """It would end the thread, and with it the recording."""
    (tmp_path / "sitecustomize.py").write_text(f"print('hello', end='', {end})\n", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    writer = apart.Writer(tmp_path / "calls.jsonl", "detailed", ())
    until(lambda: writer.hear() or writer.ready)
    tape = Tape("1", None, 0, 1.0, 100, None, record=AuditRecord("1", "answered", 1.0, 1.0))
    writer.hand([packed(tape)])
    assert writer.close() == [[]]
    assert [one.id for one in read(tmp_path / "calls.jsonl")] == ["1"]


def test_a_program_that_is_kept_from_its_environment_has_a_process_that_is(tmp_path):
    """``python -I`` runs nothing that a variable or a home names, nor does what it starts by itself."""
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", "utf-8")
    program = f"""
import time
from pathlib import Path
from clippy_recorder.apart import Writer
writer = Writer(Path({str(tmp_path / "calls.jsonl")!r}), "detailed", ())
while not writer.ready:
    writer.hear()
    time.sleep(0.01)
writer.close()
"""
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-I", "-c", program], env=environ, check=True, timeout=300)
    assert not (tmp_path / "ran").exists()


def test_what_else_stands_among_the_places_of_modules_is_left_out(tmp_path, monkeypatch):
    """Imports pass over what is no text; a process that could not be started for it would end the thread."""
    monkeypatch.setattr(sys, "path", [*sys.path, None, 7])
    writer = apart.Writer(tmp_path / "calls.jsonl", "detailed", ())
    until(lambda: writer.hear() or writer.ready)
    assert writer.close() == []
