"""Recordings that were cut, forged or written by several at once: read as far as they can be, and harmless."""

from __future__ import annotations

import contextlib
import gzip
import json
import multiprocessing
import shlex
import sqlite3
from datetime import datetime
from pathlib import Path

import pytest
from attrs import evolve
from click.testing import CliRunner
from clippy_hookspecs import Scope, Usage
from clippy_recorder import Attempt, Exchange, Message, Piece, StrangeRecording, read, to_curl, to_python, write
from clippy_recorder.commands import recordings_group
from clippy_recorder.files import Appender
from clippy_recorder.replaying import recorded

HEAD = b'{"clippy_recording": 1}\n'


def call(name: str) -> Exchange:
    """A small call with a stream."""
    body = b'{"model":"m"}'
    pieces = (Piece(5, "bytes", b"data: [DONE]\n\n", size=14),)
    url = "http://provider.test/v1/chat/completions"
    came = Message((("x-a", "b"),), body, len(body))
    return Exchange(
        name, 1.0, api="openai.chat", url=url, model="m", stream=True, state="answered", status=200, came=came,
        pieces=pieces,
    )  # fmt: skip


def test_a_recording_cut_at_any_byte_gives_the_calls_before_the_cut(tmp_path):
    """Or is no recording, where not even its first line is there."""
    path = tmp_path / "calls.jsonl"
    write(path, [call("a"), call("b")])
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        if cut < len(HEAD) - 1:
            with pytest.raises(StrangeRecording, match="no recording"):
                list(read(path))
            continue
        there = sum(end - 1 <= cut for end in ends[1:])  # the last line may lack its end
        assert [one.id for one in read(path)] == ["a", "b"][:there]


def test_a_database_cut_anywhere_is_refused_in_a_sentence(tmp_path):
    """SQLite says what it makes of it."""
    path, cut = tmp_path / "calls.sqlite", tmp_path / "cut.sqlite"
    write(path, [call("a")])
    whole = path.read_bytes()
    for end in range(0, len(whole), 997):
        cut.write_bytes(whole[:end])
        with pytest.raises(StrangeRecording):
            list(read(cut))


STRANGE = {
    "a later kind of piece": b'{"id":"new","pieces":[{"at":1,"kind":"video"}]}',
    "lists without end": b"[" * 100_000,
    "objects without end": b'{"a":' * 100_000,
    "a number beyond any": b'{"id":"x","began":1e400}',
    "a whole number beyond any": b'{"id":"x","cost":1' + b"0" * 400 + b"}",
    "a number of too many digits": b'{"id":"x","status":' + b"9" * 5000 + b"}",
    "an id of a path and an escape": b'{"id":"../../etc/\\u0000passwd\\u001b[2J\\ud800","url":"\\u001b]0;x\\u0007"}',
    "the last date": b'{"id":"x","began":1e308,"status":99999999999999999999}',
    "a duration beyond any": b'{"id":"x","duration":1' + b"0" * 400 + b"}",
    "a status beyond any": b'{"id":"x","status":1' + b"0" * 400 + b"}",
    "a time before all": b'{"id":"x","began":-1e300,"duration":-5,"pieces":[{"at":-9,"kind":"bytes"}]}',
    "an age that is none": b'{"id":"x","provenance":{"age":"x"}}',
    "a chunk of a strange kind": b'{"id":"x","pieces":[{"kind":"chunk_in","chunk":{"kind":[1]}}]}',
    "asked in no API": b'{"id":"x","asked":{"url":5,"message":[]}}',
    "deep content": b'{"id":"ok","error":' + b'{"a":' * 900 + b"1" + b"}" * 901,
}


def test_strange_lines_harm_no_command_and_no_other_call(tmp_path):
    """Whatever is in them: the calls before and after are listed, exported, imported."""
    path = tmp_path / "calls.jsonl"
    write(path, [call(str(number)) for number in range(len(STRANGE) + 1)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(
        b"".join([*lines[:2], *(line + b"\n" + whole for line, whole in zip(STRANGE.values(), lines[2:], strict=True))])
    )
    broken: list[int] = []
    list(read(path, broken))
    assert len(broken) >= len(STRANGE) - 2
    good = {str(number) for number in range(len(STRANGE) + 1)}
    assert good <= {one.id for one in read(path)}
    asked = [["list"], ["list", "--json"], *(["export", "--format", form] for form in ("har", "jsonl", "curl"))]
    for command, *more in asked:
        done = CliRunner().invoke(recordings_group(), [command, str(path), *more])
        assert (done.exit_code, done.exception) == (0, None), (command, more, done.output[-300:])
        assert command == "export" or "\x1b" not in done.output
    for suffix in ("jsonl", "sqlite"):
        copy = tmp_path / f"copy.{suffix}"
        done = CliRunner().invoke(recordings_group(), ["import", str(path), str(copy)])
        assert (done.exit_code, done.exception) == (0, None), done.output[-300:]
        assert good <= {one.id for one in read(copy)}


def test_a_line_of_a_later_format_asks_for_an_upgrade_wherever_it_stands(tmp_path):
    """Two versions that wrote one file."""
    path = tmp_path / "calls.jsonl"
    write(path, [call("a")])
    with path.open("ab") as file:
        file.write(b'{"clippy_recording": 2}\n')
    with pytest.raises(StrangeRecording, match="upgrade"):
        list(read(path))
    database = tmp_path / "calls.sqlite"
    write(database, [])
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO calls VALUES ('later', 1.0, ?)", (json.dumps({"id": 7}),))
    broken: list[int] = []
    assert ([*read(database, broken)], len(broken)) == ([], 1)


def _writes(path: Path, name: str) -> None:
    appender = Appender(path)
    for number in range(20):
        appender.append(*(call(f"{name} {number} {part}") for part in range(5)))
    appender.close()


@pytest.mark.parametrize("suffix", ["jsonl", "sqlite"])
def test_two_processes_write_into_one_file_and_every_call_is_whole(suffix, tmp_path):
    """From its first line on, at the same time."""
    path = tmp_path / f"calls.{suffix}"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_writes, args=(path, name)) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    broken: list[int] = []
    assert len({one.id for one in read(path, broken)}) == 200
    assert broken == []


def test_a_row_that_is_torn_costs_none_of_the_others(tmp_path):
    """A disk gave back other bytes than it was given."""
    path = tmp_path / "calls.sqlite"
    write(path, [Exchange("a", 1.0), Exchange("b", 2.0), Exchange("c", 3.0)])
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE calls SET document = CAST(x'7bff' AS TEXT) WHERE id = 'b'")
    broken: list[int] = []
    assert [one.id for one in read(path, broken)] == ["a", "c"]
    assert broken == [2]


@pytest.mark.parametrize("content", [b'{"training": "data"}\n', b'{"clippy_recording": 2}\n{"id": "x"}\n', b"no end"])
def test_nothing_is_added_to_lines_that_are_no_recording_of_this_version(content, tmp_path):
    """A path that was mistyped, or a file of a version to come."""
    path = tmp_path / "calls.jsonl"
    path.write_bytes(content)
    with pytest.raises(OSError, match="left as it is"):
        Appender(path).append(Exchange("a", 1.0))
    assert path.read_bytes() == content


def test_nothing_is_added_to_the_database_of_another_program(tmp_path):
    """Its application_id and version are its own, and how its journal is kept."""
    path = tmp_path / "app.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE customers (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(OSError, match="another program"):
        Appender(path).append(Exchange("a", 1.0))
    assert path.read_bytes() == before


EVIL = [
    ("https://h.invalid/v1", b"@/etc/passwd"),
    ("-o/tmp/never", b"{}"),
    ("https://h.invalid/{a,b}?key=[redacted]", b"{}"),
]


@pytest.mark.parametrize(("url", "body"), EVIL)
def test_curl_takes_nothing_of_a_call_for_a_file_an_option_or_a_pattern(url, body):
    """A call may come from an archive that a stranger sent."""
    call = Exchange(
        "a", 1.0, api="openai.chat", url=url, came=Message((("@/etc/passwd", ""), ("x", "1\r\ny: 2")), body)
    )
    words = shlex.split(to_curl(call).replace("\\\n", ""))
    assert words[:6] == ["curl", "--globoff", "--url", url, "-X", "POST"]
    assert words[6:] == ["-H", "x: 1 y: 2", "--data-raw", body.decode()]


@pytest.mark.parametrize(
    "body", [b"", b'{"temperature": NaN}', b'{"messages": ' + b"[" * 900 + b"]" * 900 + b"}", b"[]"]
)
def test_a_program_that_python_could_not_read_is_refused_in_a_sentence(body):
    """Rather than written, or a traceback."""
    with pytest.raises(ValueError, match=r"export it as curl|not recorded"):
        to_python(Exchange("a", 1.0, api="openai.chat", url="https://h.invalid/v1", came=Message((), body)))


def listed(path: Path, *more: str) -> str:
    done = CliRunner().invoke(recordings_group(), ["list", str(path), *more])
    assert done.exit_code == 0, done.output
    return str(done.stdout)


def test_what_is_exported_as_lines_is_a_recording_again(tmp_path):
    """A selection of one call, as the pages give it, as well as all of them."""
    path = tmp_path / "calls.jsonl"
    write(path, [call("a"), call("b")])
    for name, more in (("all", []), ("one", ["--id", "b"])):
        copy = tmp_path / f"{name}.jsonl"
        words = ["export", str(path), "--format", "jsonl", *more, "-o", str(copy)]
        assert CliRunner().invoke(recordings_group(), words).exit_code == 0
    assert listed(tmp_path / "all.jsonl") == listed(path)
    assert [line.split()[0] for line in listed(tmp_path / "one.jsonl").splitlines()] == ["b"]


def test_the_list_says_when_whose_and_what_is_a_guess(tmp_path):
    """A count that nobody told us is marked, as in the lines that a program writes while it runs."""
    path = tmp_path / "calls.jsonl"
    write(
        path,
        [
            Exchange("a", 1e9, scope=Scope("acme"), usage=Usage(3, 4, estimated=True)),
            Exchange("b", 1e9, usage=Usage(3, 4)),
        ],
    )
    first, second = listed(path).splitlines()
    assert first.split("  ")[0] == "a"
    assert first.split("  ")[1].startswith(datetime.fromtimestamp(1e9).astimezone().isoformat(" ", "seconds"))
    assert "about 3+4 tokens" in first
    assert first.endswith("tenant acme")
    assert "  3+4 tokens" in second
    assert json.loads(listed(path, "--json"))[0]["scope"] == {"tenant": "acme"}


def test_a_text_is_found_as_it_is_read_however_it_was_sent(tmp_path):
    """Escaped, in other letters, in two pieces of a stream."""
    path = tmp_path / "calls.jsonl"
    asked = Exchange("asked", 1.0, came=Message((), b'{"messages":[{"content":"Caf\\u00e9 \\"au lait\\"\\nplease"}]}'))
    halves = (
        b'data: {"choices":[{"delta":{"content":"rain in S',
        b'pain"}}]}\n\ndata: {"choices":[{"delta":{"content":"!!"}}]}\n\n',
    )
    heard = Exchange("heard", 2.0, pieces=tuple(Piece(1, "bytes", half, size=9) for half in halves))
    deep = Exchange("deep", 3.0, came=Message((), b"[" * 100_000))
    write(path, [asked, heard, deep])
    found = {
        text: [line.split()[0] for line in listed(path, "-q", text).splitlines()]
        for text in ('"café \\"AU"', "SPAIN!!", "[[[", "tea")
    }
    assert found == {'"café \\"AU"': ["asked"], "SPAIN!!": ["heard"], "[[[": ["deep"], "tea": []}


def answered(status: int, *headers: tuple[str, str]) -> Exchange:
    sent = Message((), b'{"model":"m"}', 13)
    told = Attempt(1, "", 0, "http://x.test/v1/chat/completions", sent, 5, Message(headers, b"{}", 2, status), 9, "ok")
    return Exchange("a", 1.0, url=told.url, state="answered", status=status, came=sent, attempts=(told,), duration=9)


def test_an_answer_that_http_has_no_form_for_is_not_replayed():
    """The server would end the connection; of a head that is strange in part the rest is given."""
    assert [recorded(answered(status)) for status in (-5, 0, 101, 600, 99999)] == [None] * 5
    heads = [("x-good", "caf\xe9"), ("x-a", "b\r\nset-cookie: evil=1"), ("x\r\ny", "b"), ("x-half", "\ud800"), ("", "")]
    found = recorded(answered(200, *heads))
    assert found is not None
    assert [*found.headers.pairs] == heads[:1]


@pytest.mark.parametrize(("undone", "kept"), [(False, "gzip"), (True, None)])
def test_a_stream_that_came_encoded_is_replayed_as_what_it_is(undone, kept):
    """Its bytes say nothing without their encoding; the archive of a browser has it undone and still names it."""
    call = answered(200, ("content-type", "text/event-stream"), ("content-encoding", "gzip"))
    body = b"data: [DONE]\n\n" if undone else gzip.compress(b"data: [DONE]\n\n")
    found = recorded(evolve(call, stream=True, pieces=(Piece(6, "bytes", body, size=len(body)),)))
    assert found is not None
    assert (found.pieces, found.headers.get("content-encoding")) == ((body,), kept)
