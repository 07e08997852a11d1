"""What is recorded of streams, and that it plays again byte for byte with its timing."""

from __future__ import annotations

import gc
import gzip
import json
import stat
import tracemalloc
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from attrs import define
from calling import Caller
from click.testing import CliRunner
from clippy_hookspecs import Chunk, hookimpl
from clippy_stream_debug import Piece, StreamDebugger, load, replay

import clippy_core
from clippy_core.testing import FakeProvider, FakeServer, Fault, Raw, Reply, VirtualClock

TEXT = "one two three four five"


def script_of(path: Path) -> list[Any]:
    """The recorded answer as a fake provider's script."""
    pieces = [*replay(path)]
    waits = [Fault.stall(piece.wait, at_event=place) for place, piece in enumerate(pieces) if piece.wait]
    return [[*waits, Raw([piece.data for piece in pieces], headers=load(path).headers)]]


def recorded(caller: Caller, path: Path, script: Any, **settings: Any) -> StreamDebugger:
    """A stream, dumped."""
    debugger = StreamDebugger(**{"enabled": True, **settings})
    caller.start({"stream-debug": debugger}, script)
    caller.stream()
    debugger.dump(caller.records.last.id, path)
    return debugger


@pytest.mark.parametrize("faults", [[], [Fault.split_utf8()], [Fault.gzip()]], ids=["plain", "split", "gzip"])
def test_a_stream_plays_again_byte_for_byte_with_its_timing(caller: Caller, tmp_path: Path, faults: list[Any]) -> None:
    """Recorded, dumped, replayed, recorded, dumped: the second file says what the first does."""
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    recorded(caller, first, [[Fault.slow(0.25), *faults, Reply("grün wie der Tee", chunks=4)]])
    recorded(caller, second, script_of(first))
    one, two = load(first), load(second)
    assert [piece.data for piece in one.pieces] == [piece.data for piece in two.pieces]
    assert [piece.wait for piece in one.pieces] == pytest.approx([piece.wait for piece in two.pieces], abs=2e-6)
    assert sum(piece.wait for piece in one.pieces) == pytest.approx(0.25 * 6, abs=0.3)
    assert one.headers == two.headers
    assert ("content-encoding" in dict(one.headers)) == bool(faults and faults[0].kind == "gzip")


def test_what_the_sdk_reads_of_a_replay_is_what_it_read_first(tmp_path: Path) -> None:
    """The openai SDK through a host, from a server on loopback; then from the file, on a virtual clock."""
    path, debugger = tmp_path / "stream.jsonl", StreamDebugger(enabled=True)
    host = clippy_core.Host({"stream-debug": debugger})
    with FakeServer([[Fault.slow(0.02), Reply(TEXT)]]) as server, host:
        first = texts(host.wrap(openai.OpenAI(api_key="none", base_url=server.base_url)))
    debugger.dump(debugger.ids[-1], path)
    assert "".join(first) == TEXT

    clock = VirtualClock()
    provider, again = FakeProvider(script_of(path), clock=clock), clippy_core.Host({}, clock=clock)
    http, began = provider.client(httpx2), clock.now()
    second = texts(again.wrap(openai.OpenAI(api_key="none", base_url="http://fake.test/v1", http_client=http)))
    assert second == first
    assert clock.now() - began == pytest.approx(sum(piece.wait for piece in replay(path)), abs=1e-6)
    assert clock.now() - began > 0.02 * 5


def texts(client: openai.OpenAI) -> list[str]:
    with client:
        chunks = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True)
        return [text for chunk in chunks if chunk.choices and (text := chunk.choices[0].delta.content)]


def test_the_bytes_are_as_the_connection_brought_them(caller: Caller, tmp_path: Path) -> None:
    """Compressed if they were; the chunks are the decoded ones."""
    recorded(caller, tmp_path / "s", [[Fault.gzip(), Reply(TEXT)]])
    dump = load(tmp_path / "s")
    assert dump.pieces[0].data.startswith(b"\x1f\x8b")
    said = [line.what["chunk"].get("delta", "") for line in dump.lines if line.kind == "chunk_in"]
    assert "".join(said) == TEXT


def test_what_plugins_made_of_a_chunk_stands_beside_it(caller: Caller, tmp_path: Path) -> None:
    """chunk_in is the provider's, chunk_out what the caller got, at microseconds of the host's clock."""

    @define(eq=False)
    class Shout:
        @hookimpl
        def on_chunk(self, chunk: Chunk) -> Chunk | None:
            return Chunk(chunk.kind, chunk.delta.upper(), chunk.block) if chunk.kind == "text" else None

    debugger = StreamDebugger(enabled=True)
    caller.start({"shout": Shout(), "stream-debug": debugger}, [[Fault.slow(0.5), Reply("one two")]])
    caller.stream()
    debugger.dump(debugger.ids[-1], tmp_path / "s")
    lines = load(tmp_path / "s").lines
    told = [
        (line.at, line.kind, line.what["chunk"]["delta"]) for line in lines if "delta" in line.what.get("chunk", {})
    ]
    assert [one[1:] for one in told] == [
        ("chunk_in", "one "), ("chunk_out", "ONE "), ("chunk_in", "two"), ("chunk_out", "TWO"),
    ]  # fmt: skip
    assert told[2][0] - told[0][0] == 500_000
    assert [line.kind for line in lines][:2] == ["attempt", "head"]
    assert lines[-1].kind == "closed" or "closed" in [line.kind for line in lines]


def test_a_file_has_no_secret_and_no_prompt_and_is_for_its_owner(caller: Caller, tmp_path: Path) -> None:
    """Not the key, not the question, not a cookie of the answer."""
    path = tmp_path / "s"
    reply = Reply(TEXT, headers=[("set-cookie", "session=verysecret"), ("openai-organization", "org-acme")])
    debugger = StreamDebugger(enabled=True)
    caller.start({"stream-debug": debugger}, reply)
    caller.stream("What is my password hunter2?")
    debugger.dump(debugger.ids[-1], path)
    text = path.read_text(encoding="utf-8")
    assert not [secret for secret in ("sk-test", "hunter2", "verysecret", "org-acme", "uthorization") if secret in text]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        debugger.dump(debugger.ids[-1], path)


def test_only_the_last_attempt_is_replayed(caller: Caller, tmp_path: Path) -> None:
    """What was retried unseen is in the file, and not in what the caller got."""
    from calling import Again

    debugger = StreamDebugger(enabled=True)
    script = [[Fault.reset(at_event=1), Reply("lost")], Reply(TEXT)]
    caller.start({"again": Again(), "stream-debug": debugger}, script)
    caller.stream()
    debugger.dump(debugger.ids[-1], tmp_path / "s")
    dump = load(tmp_path / "s")
    assert [line.what["number"] for line in dump.lines if line.kind == "attempt"] == [1, 2]
    assert b"".join(piece.data for piece in dump.pieces).count(b'"role"') == 1


def test_it_keeps_the_newest_streams_and_of_each_the_newest_bytes(sync_caller: Caller, tmp_path: Path) -> None:
    """Whatever runs through it, its memory is bounded; a stream whose beginning is gone is not replayed as a whole."""
    debugger = recorded(sync_caller, tmp_path / "s", Reply(words=400), streams=2, max_bytes=4096)
    for _ in range(4):
        sync_caller.stream()
    assert len(debugger.ids) == 2
    assert all(one._size <= 4096 for one in debugger._recordings)
    assert load(tmp_path / "s").lost > 0
    with pytest.raises(ValueError, match="max_bytes"):
        list(replay(tmp_path / "s"))
    with pytest.raises(LookupError, match=debugger.ids[0]):
        debugger.dump("nobody", tmp_path / "t")


def test_what_a_compressed_answer_unfolds_to_is_not_kept(sync_caller: Caller) -> None:
    """A few bytes on the wire may be many in memory, and the bound is for memory."""
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
    event = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], "padding": "x" * 100_000}
    body = gzip.compress((f"data: {json.dumps(event)}\n\n" * 200 + "data: [DONE]\n\n").encode())
    pieces = [body[at : at + 64] for at in range(0, len(body), 64)]
    debugger = StreamDebugger(enabled=True, max_bytes=1024 * 1024)
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    sync_caller.start({"stream-debug": debugger}, Raw(pieces, headers=headers))
    tracemalloc.start()
    try:
        assert sync_caller.stream().text == "a" * 200
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(debugger.ids) == 1
    assert kept < 4 * 1024 * 1024


def test_it_records_nothing_unless_it_is_told_to(caller: Caller) -> None:
    debugger = StreamDebugger()
    caller.start({"stream-debug": debugger}, Reply(TEXT))
    caller.stream()
    assert debugger.ids == ()
    assert debugger.idle == "enabled is not set"
    assert StreamDebugger(enabled=True).idle is None


def test_a_plain_call_is_no_stream(caller: Caller) -> None:
    debugger = StreamDebugger(enabled=True)
    caller.start({"stream-debug": debugger}, Reply(TEXT))
    caller.chat()
    assert debugger.ids == ()


HEAD = json.dumps({"v": 1, "id": "1", "model": "m", "time": 0, "lost": 0})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("[]", 1),
        (json.dumps({"v": 2}), 1),
        (f"{HEAD}\nnothing", 2),
        (f'{HEAD}\n{{"at": 1, "kind": "closed", "state": "ok"}}\n{{"at": 1, "kind": "bytes", "data": "***"}}', 3),
        (f'{HEAD}\n{{"at": "1", "kind": "bytes", "data": ""}}', 2),
        (f'{HEAD}\n{{"at": 1, "kind": "run"}}', 2),
        (f'{HEAD}\n{{"at": 1, "kind": "head", "status": "x", "headers": []}}', 2),
        (f'{HEAD}\n{{"at": 1, "kind": "chunk_in", "chunk": 1}}', 2),
        (f"{HEAD}\n[1]", 2),
    ],
)
def test_a_file_that_is_none_is_an_error_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    """It could be anybody's: nothing in it is trusted."""
    path = tmp_path / "s"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"line {line}: not of a recorded stream"):
        load(path)
    shown = command("show", str(path))
    assert shown.exit_code == 1
    assert "not of a recorded stream" in shown.output


def test_a_file_without_an_answer_has_nothing_to_replay(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text(HEAD, encoding="utf-8")
    assert (load(path).pieces, load(path).status, load(path).headers) == ((), 0, ())


def test_pieces_compare_by_what_they_are() -> None:
    assert Piece(0.5, b"x") == Piece(0.5, b"x")


# --- the command line ------------------------------------------------------------------------------------------------


def command(*words: str) -> Any:
    from clippy_core.cli import command_line

    return CliRunner().invoke(command_line(), ["stream-dump", *words])


def test_a_file_is_shown_without_letting_it_speak_to_the_terminal(sync_caller: Caller, tmp_path: Path) -> None:
    """Every chunk with its time; the bytes when they are asked for; escapes as text."""
    recorded(sync_caller, tmp_path / "s", Reply("\x1b]0;owned\x07 two", chunks=2))
    shown = command("show", str(tmp_path / "s"))
    assert shown.exit_code == 0, shown.output
    assert "status 200" in shown.output
    assert "chunk_in" in shown.output
    assert "\x1b" not in shown.output
    assert "data: " not in shown.output
    assert "data: " in command("show", "--bytes", str(tmp_path / "s")).output
