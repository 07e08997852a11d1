"""What clippy-stream-debug dumped, as a recording."""

from __future__ import annotations

import json

import httpx2
import pytest
from click.testing import CliRunner
from clippy_recorder import StrangeRecording, read
from clippy_recorder.commands import recordings_group
from clippy_recorder.dumps import from_dump, is_dump
from clippy_stream_debug import StreamDebugger

import clippy_core
from clippy_core.testing import FakeProvider, Reply

KEY = "sk-proj-canary7Hq2vXw9TzLk4Rb8"


@pytest.fixture
def dumped(tmp_path):
    """A stream that says a key in two halves, and what the debugger wrote of it."""
    debugger = StreamDebugger(enabled=True)
    provider = FakeProvider([Reply("one two", chunks=("one ", "two")), Reply(KEY, chunks=(KEY[:12], KEY[12:]))])
    route = {"routes": {"main": {"base_url": "http://provider.test/v1", "key": "sk-0123456789abc"}}}
    with clippy_core.Host([debugger], config=route) as host:
        client = clippy_core.Client(host, provider.client(httpx2))
        for text in ("a", "b"):
            assert "".join(client.stream(text, model="m").text())
    paths = [tmp_path / "plain.dump", tmp_path / "key.dump"]
    for request_id, path in zip(debugger.ids, paths, strict=True):
        debugger.dump(request_id, path)
    return paths


def test_a_dump_becomes_a_call_with_its_pieces_and_times(dumped, tmp_path):
    """With the same commands as any recording; it has no request to be asked for."""
    assert KEY[12:].encode() in b"".join(piece.data for piece in from_dump(dumped[1]).pieces)
    for path in dumped:
        done = CliRunner().invoke(recordings_group(), ["import", str(path), str(tmp_path / f"{path.stem}.jsonl")])
        assert (done.exit_code, done.output) == (0, "1 calls\n")
    (one,) = read(tmp_path / "plain.jsonl")
    assert (one.model, one.state, one.status, one.stream, len(one.attempts)) == ("m", "answered", 200, True, 1)
    assert b"".join(piece.data for piece in one.pieces).endswith(b"data: [DONE]\n\n")
    assert "".join(piece.chunk.get("delta", "") for piece in one.pieces if piece.kind == "chunk_out") == "one two"
    assert [piece.at for piece in one.pieces] == sorted(piece.at for piece in one.pieces)
    (other,) = read(tmp_path / "key.jsonl")
    assert KEY[12:] not in (tmp_path / "key.jsonl").read_text()
    assert {piece.data for piece in other.pieces} == {b""}


HEAD = {"v": 1, "id": "a", "model": "m", "time": 1.0, "lost": 0}
LINES = [
    {},
    [],
    {"at": 1},
    {"at": "x", "kind": "bytes", "data": "%"},
    {"at": 1, "kind": "chunk_in", "chunk": 3},
    {"at": 1, "kind": "attempt", "number": "one"},
]


@pytest.mark.parametrize("line", LINES, ids=json.dumps)
def test_any_other_line_is_refused_in_a_sentence(line, tmp_path):
    """And so is a later version."""
    path = tmp_path / "a.dump"
    path.write_text(f"{json.dumps(HEAD)}\n{json.dumps(line)}\n")
    assert is_dump(path)
    with pytest.raises(StrangeRecording, match="not of a recorded stream"):
        from_dump(path)
    path.write_text(json.dumps({**HEAD, "v": 2}))
    with pytest.raises(StrangeRecording, match="version 2"):
        from_dump(path)
