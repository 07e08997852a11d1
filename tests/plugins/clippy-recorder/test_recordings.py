"""Files of recorded calls: read without trusting them, by every later version."""

from __future__ import annotations

import contextlib
import json
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clippy_hookspecs import Scope, Usage
from clippy_recorder import (
    Asked,
    Attempt,
    Exchange,
    Message,
    Piece,
    Step,
    StrangeRecording,
    document,
    exchange_of,
    from_har,
    read,
    to_har,
    write,
)
from clippy_recorder.cleaning import cleaned
from clippy_recorder.files import Appender
from hypothesis import example, given, settings
from hypothesis import strategies as st

DATA = Path(__file__).with_name("data")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
offsets = st.integers(0, 10**9)
pairs = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
bodies = st.binary(max_size=30)
messages = st.builds(Message, pairs, bodies, offsets, st.none() | st.integers(100, 599))
errors = st.none() | st.dictionaries(texts.filter(bool), texts.filter(bool), min_size=1, max_size=2)
attempts = st.builds(
    Attempt, st.integers(1, 9), texts, offsets, texts, messages, st.none() | offsets, st.none() | messages,
    st.none() | offsets, texts, errors, offsets,
)  # fmt: skip
steps = st.builds(
    Step, offsets, texts, texts, texts, offsets, st.integers(1, 50), st.none() | texts.filter(bool),
    st.none() | texts.filter(bool),
)  # fmt: skip
kinds = st.sampled_from(["bytes", "chunk_in", "chunk_out"])
pieces = st.builds(Piece, offsets, kinds, bodies, st.dictionaries(texts, texts, max_size=2), offsets)
names = st.none() | texts.filter(bool)
exchanges = st.builds(
    Exchange,
    id=texts.filter(bool),
    began=st.floats(0, 4e9),
    parent=names,
    api=texts,
    url=texts,
    model=names,
    stream=st.booleans(),
    scope=st.builds(Scope, names, names, names),
    state=st.sampled_from(["running", "answered", "cached", "failed"]),
    status=st.none() | st.integers(100, 599),
    usage=st.none() | st.builds(Usage, offsets, offsets, estimated=st.booleans()),
    error=errors,
    came=messages,
    answered=st.none() | messages,
    attempts=st.lists(attempts, max_size=2).map(tuple),
    steps=st.lists(steps, max_size=2).map(tuple),
    pieces=st.lists(pieces, max_size=3).map(tuple),
    lost=offsets,
    asked=st.none() | st.builds(Asked, texts, texts, messages),
)


@settings(max_examples=40)
@given(exchanges)
def test_a_call_comes_back_from_its_document_as_it_was(call: Exchange):
    """Whatever is in it; through JSON text."""
    assert document(exchange_of(json.loads(json.dumps(document(call))))) == document(call)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(
    ["id", "began", "came", "asked", "attempts", "steps", "pieces", "usage", "scope", "status", "headers", "body"]
)


@given(st.dictionaries(fields, json_values, max_size=6) | json_values)
@example({"id": ""})
def test_any_other_document_is_refused_in_a_sentence(value: Any):
    """Or is a call; nothing else comes of it."""
    with contextlib.suppress(StrangeRecording):
        assert exchange_of(value).id


def call(request_id: str = "a", **more: Any) -> Exchange:
    return Exchange(request_id, 1.0, **more)


@pytest.mark.parametrize("suffix", ["jsonl", "sqlite"])
def test_two_writers_share_a_file(tmp_path, suffix):
    """Each appends whole calls."""
    path = tmp_path / f"calls.{suffix}"
    first, second = Appender(path), Appender(path)
    for number in range(5):
        first.append(call(f"first {number}"))
        second.append(call(f"second {number}"))
    first.close()
    second.close()
    assert len({one.id for one in read(path)}) == 10


def test_a_torn_line_is_passed_over_and_the_next_call_is_whole(tmp_path):
    """A process that died, a disk that was full."""
    path = tmp_path / "calls.jsonl"
    write(path, [call("a")])
    with path.open("ab") as file:
        file.write(b'{"id": "torn", "beg')
    appender = Appender(path)
    appender.append(call("b"))
    broken: list[int] = []
    assert [one.id for one in read(path, broken)] == ["a", "b"]
    assert broken == [3]


@pytest.mark.parametrize("head", [b"", b"hello\n", b"[]\n", b'{"v": 1}\n', b"\x80\x05.\n"])
def test_what_is_no_recording_is_told_in_a_sentence(tmp_path, head):
    """Whatever it is."""
    path = tmp_path / "calls.jsonl"
    path.write_bytes(head)
    with pytest.raises(StrangeRecording, match="is no recording"):
        list(read(path))


@pytest.mark.parametrize("number", ["2", "true", '"1"', "0", "-1", "1e99"])
def test_a_later_format_asks_for_an_upgrade(tmp_path, number):
    """Rather than to be misread."""
    path = tmp_path / "calls.jsonl"
    path.write_text(f'{{"clippy_recording": {number}}}\n')
    with pytest.raises(StrangeRecording, match="upgrade"):
        list(read(path))
    database = tmp_path / "calls.sqlite"
    write(database, [call()])
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(StrangeRecording, match="upgrade"):
        list(read(database))


def test_the_first_format_opens_in_this_version():
    """A file that the first version wrote; it is never written anew."""
    calls = [*read(DATA / "recording-v1.jsonl")]
    assert [(one.id, one.state, one.stream) for one in calls] == [
        ("5d6c1f0e2a3b4c5d", "answered", False), ("6e7d2a1f3b4c5d6e", "answered", True)
    ]  # fmt: skip
    assert b"".join(piece.data for piece in calls[1].pieces).endswith(b"data: [DONE]\n\n")


def test_a_full_disk_is_an_error_and_what_was_written_before_stays_readable(tmp_path):
    """As the kernel says it: a file that may not grow."""
    program = f"""
import resource, signal
from pathlib import Path
from clippy_recorder import Exchange, Message
from clippy_recorder.cleaning import cleaned
from clippy_recorder.files import Appender
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
appender, failed = Appender(Path({str(tmp_path / "calls.jsonl")!r})), 0
for number in range(40):
    try:
        appender.append(Exchange(str(number), 1.0, came=Message(body=b"x" * 1000)))
    except OSError:
        failed += 1
print(failed)
"""
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    assert int(done.stdout) > 0
    kept = [one.id for one in read(tmp_path / "calls.jsonl")]
    assert kept == [str(number) for number in range(len(kept))]
    assert len(kept) > 10


@settings(max_examples=25)
@given(st.lists(exchanges, max_size=2))
def test_an_archive_brings_back_what_was_sent_and_answered(calls: list[Exchange]):
    """Requests, answers and the bytes of streams; what HAR has no word for under our own names."""
    back = from_har(json.loads(json.dumps(to_har(calls))))
    assert [(one.id, one.came, one.attempts, one.steps) for one in back] == [
        (one.id, one.came, one.attempts, one.steps) for one in map(cleaned, map(exchange_of, map(document, calls)))
    ]


@given(
    json_values | st.fixed_dictionaries({"log": st.fixed_dictionaries({"entries": st.lists(json_values, max_size=3)})})
)
def test_any_archive_is_read_or_refused_in_a_sentence(value: Any):
    """From any tool, and from any enemy."""
    with contextlib.suppress(StrangeRecording):
        assert all(one.id for one in from_har(value))


def test_an_archive_of_a_browser_becomes_calls_without_its_keys():
    """Other tools leave keys in."""
    key = "sk-proj-fromabrowser0123456789abcd"
    entry = {
        "startedDateTime": "2026-01-02T03:04:05.678Z", "time": 12.5,
        "request": {"method": "POST", "url": f"https://api.openai.com/v1/chat/completions?api_key={key}",
                    "headers": [{"name": "Authorization", "value": f"Bearer {key}"}],
                    "postData": {"text": json.dumps({"model": "m", "user": key})}},
        "response": {"status": 200, "headers": [{"name": "set-cookie", "value": "session=12345678"}],
                     "content": {"mimeType": "text/event-stream", "text": "data: [DONE]\n\n"}},
        "timings": {"wait": 10},
    }  # fmt: skip
    (one,) = from_har({"log": {"entries": [entry]}})
    assert (one.api, one.model, one.stream, one.status, one.duration) == ("openai.chat", "m", True, 200, 12500)
    assert key not in json.dumps(document(one))
    assert "12345678" not in json.dumps(document(one))


def test_a_recording_is_named_by_a_text_too(tmp_path):
    write(tmp_path / "calls.jsonl", [])
    assert [*read(str(tmp_path / "calls.jsonl"))] == []
