"""Entries as bytes and back: what is written is read back exactly, and nothing else is read at all."""

from __future__ import annotations

import base64
import json
import os
import pickle
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from clippy_hookspecs import CacheEntry, CorruptEntry, Headers, Message, Response, Text, dump_entry, evolve, load_entry
from clippy_hookspecs.stored import MAX_BYTES, MAX_LINE_BYTES, SCHEMA, body_decoders, undecoded_entry
from hypothesis import given
from hypothesis import strategies as st

BLOBS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "blobs-dev.jsonl"
API = "test.stored"


def _decode(response: Response) -> Mapping[str, Any]:
    message = Message("assistant", (Text((response.raw or b"").decode(errors="replace")),))
    empty: Mapping[str, Any] = {
        "finish_reason": "stop",
        "usage": None,
        "id": None,
        "model": None,
        "more": (),
        "params": {},
    }
    return {**empty, "message": message}


@pytest.fixture(autouse=True)
def decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A wire API of our own, registered as the host's wire modules do it."""
    monkeypatch.setitem(body_decoders, API, _decode)
    yield
    assert "CLIPPY_CANARY" not in os.environ


def entry_of(body: bytes = b'{"id":"1"}', **changes: Any) -> CacheEntry:
    fields: dict[str, Any] = {
        "api": API,
        "status": 200,
        "headers": Headers([("Content-Type", "application/json"), ("x-request-id", "r"), ("X-Request-Id", "again")]),
        "events": (),
        "stored_at": 1_763_800_000.5,
        "expires_at": None,
        "tags": ("a", ""),
        "origin": "request-1",
    }
    return undecoded_entry(body, **{**fields, **changes})


def line_of(**changes: Any) -> list[Any]:
    """The JSON line of a good entry with a body of two bytes, with some of its parts replaced."""
    parts = {
        "schema": SCHEMA, "api": API, "status": 200, "headers": [["a", "b"]], "stored_at": 1.0, "expires_at": None,
        "tags": [], "origin": "", "sizes": [2],
    }  # fmt: skip
    assert not changes.keys() - parts.keys()
    return list({**parts, **changes}.values())


def blob_of(line: object, rest: bytes = b"{}") -> bytes:
    return json.dumps(line).encode() + b"\n" + rest


def same(a: CacheEntry, b: CacheEntry) -> bool:
    return a == b and a.response.raw == b.response.raw and a.response.headers.pairs == b.response.headers.pairs


texts = st.text(st.characters(), max_size=20)
times = st.floats(allow_nan=False, allow_infinity=False)
entries = st.builds(
    entry_of,
    st.binary(max_size=200),
    status=st.integers(100, 599),
    headers=st.lists(st.tuples(texts, texts), max_size=5).map(Headers),
    events=st.lists(st.binary(max_size=40), max_size=5).map(tuple),
    stored_at=times,
    expires_at=st.none() | times,
    tags=st.lists(texts, max_size=3).map(tuple),
    origin=texts,
)


@given(entries)
def test_what_is_written_is_read_back_exactly(entry: CacheEntry) -> None:
    """Body, events, headers with their order and repetition, times, tags and origin survive."""
    again = load_entry(dump_entry(entry))
    assert same(again, entry)
    assert again.response.text == entry.response.text


@given(entries)
def test_the_line_is_what_json_writes(entry: CacheEntry) -> None:
    """It is joined by hand, and files and servers that others fill hold lines that json wrote."""
    response = entry.response
    line = [SCHEMA, response.api, response.status, response.headers.pairs, entry.stored_at, entry.expires_at]
    sizes = [len(response.raw or b""), *map(len, entry.events)]
    written = json.dumps([*line, entry.tags, entry.origin, sizes], separators=(",", ":"))
    assert dump_entry(entry).partition(b"\n")[0] == written.encode()


nasty_pieces = st.sampled_from([b"9" * 400, b"1e999", b"NaN", b"[" * 40, b"null", b"\n"])


@given(entries, st.data())
def test_a_mutation_is_corrupt_or_an_entry_and_nothing_else(entry: CacheEntry, data: st.DataObject) -> None:
    """Flipping, inserting, deleting and cutting bytes never raises anything but CorruptEntry."""
    blob = bytearray(dump_entry(entry))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(blob)))
        piece = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"9" * 400, b"1e999", b"NaN", b"[" * 40, b"null", b"\n"])
        )
        blob[at : at + data.draw(st.integers(0, 3))] = piece
    try:
        loaded = load_entry(bytes(blob))
    except CorruptEntry:
        return
    assert dump_entry(load_entry(dump_entry(loaded))) == dump_entry(loaded)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.integers(0, 8), json_values)
def test_any_json_in_any_place_is_corrupt_or_an_entry(place: int, value: object) -> None:
    """Every part of the line is checked for its type."""
    line = line_of()
    line[place] = value
    try:
        loaded = load_entry(blob_of(line))
    except CorruptEntry:
        return
    assert dump_entry(load_entry(dump_entry(loaded))) == dump_entry(loaded)


@given(
    st.binary(max_size=300) | st.text(max_size=100).map(str.encode) | json_values.map(lambda v: json.dumps(v).encode())
)
def test_bytes_that_nobody_dumped_are_corrupt(blob: bytes) -> None:
    """Random bytes, text and JSON are never an entry."""
    with pytest.raises(CorruptEntry):
        load_entry(blob)
    with pytest.raises(CorruptEntry):
        load_entry(blob + b"\n{}")


class Exploit:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("__import__('os').environ.update(CLIPPY_CANARY='unpickled')",)


DEEP = b"[" * 100_000
ATTACKS = {
    "empty": b"",
    "only a line feed": b"\n",
    "pickle": pickle.dumps(Exploit()),
    "pickle, protocol 0": pickle.dumps(Exploit(), 0),
    "pickle with a line feed and a body": pickle.dumps(Exploit()) + b"\n{}",
    "zlib": zlib.compress(blob_of(line_of())),
    "yaml": b"!!python/object/apply:os.system ['true']\n{}",
    "xml": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>\n{}',
    "a type tag": blob_of({"__class__": "subprocess.Popen", "args": ["true"]}),
    "an object of nine fields": blob_of({str(n): n for n in range(9)}),
    "a string of nine letters": blob_of("123456789"),
    "deep arrays": DEEP + b"\n{}",
    "deep arrays in a part": json.dumps(line_of())[:-1].encode() + b"," + DEEP + b"\n{}",
    "deep objects": b'{"a":' * 100_000 + b"\n{}",
    "bom": b"\xef\xbb\xbf" + blob_of(line_of()),
    "utf-16": json.dumps(line_of()).encode("utf-16") + b"\n{}",
    "space before": b" " + blob_of(line_of()),
    "something after the line's array": json.dumps(line_of()).encode() + b" 1\n{}",
    "carriage return": json.dumps(line_of()).encode() + b"\r\n{}",
    "no body": json.dumps(line_of()).encode(),
    "one byte too few": blob_of(line_of(), b"{"),
    "one byte too many": blob_of(line_of(), b"{} "),
    "one part too many": blob_of([*line_of(), 1]),
    "one part too few": blob_of(line_of()[:-1]),
    "another version": blob_of(line_of(schema=SCHEMA + 1)),
    "version as a float": blob_of(line_of(schema=1.0)),
    "version as a boolean": blob_of(line_of(schema=True)),
    "version as a string": blob_of(line_of(schema="1")),
    "huge version": blob_of(line_of(schema=10**4000)),
    "integer beyond the digit limit": b"[" + b"9" * 5000 + b"]\n{}",
    "huge status": blob_of(line_of(status=10**400)),
    "boolean status": blob_of(line_of(status=True)),
    "huge time": blob_of(line_of(stored_at=10**400)),
    "infinite time": json.dumps(line_of()).replace("1.0", "1e999").encode() + b"\n{}",
    "not a number": blob_of(line_of(stored_at=float("nan"))),
    "infinity": blob_of(line_of(expires_at=float("-inf"))),
    "boolean time": blob_of(line_of(expires_at=True)),
    "no time": blob_of(line_of(stored_at=None)),
    "headers as an object": blob_of(line_of(headers={"a": "b"})),
    "a header of three": blob_of(line_of(headers=[["a", "b", "c"]])),
    "a header of two letters": blob_of(line_of(headers=["ab"])),
    "a header without a value": blob_of(line_of(headers=[["a", None]])),
    "tags as a string": blob_of(line_of(tags="ab")),
    "a tag that is a number": blob_of(line_of(tags=[1])),
    "origin null": blob_of(line_of(origin=None)),
    "api null": blob_of(line_of(api=None)),
    "no sizes": blob_of(line_of(sizes=[]), b""),
    "negative sizes": blob_of(line_of(sizes=[4, -2])),
    "huge sizes": blob_of(line_of(sizes=[10**4000])),
    "sizes that wrap around": blob_of(line_of(sizes=[2**64 + 2])),
    "float sizes": blob_of(line_of(sizes=[2.0])),
    "boolean sizes": blob_of(line_of(sizes=[True, True])),
    "size null": blob_of(line_of(sizes=None)),
}


@pytest.mark.parametrize("blob", ATTACKS.values(), ids=ATTACKS.keys())
def test_what_dump_entry_does_not_write_is_corrupt(blob: bytes) -> None:
    """Other formats, other versions, other types: a CorruptEntry, quickly, and nothing is executed."""
    with pytest.raises(CorruptEntry):
        load_entry(blob)


def test_a_good_line_is_an_entry() -> None:
    """The attacks above are refused for what was changed in them."""
    assert load_entry(blob_of(line_of())).response.raw == b"{}"
    assert load_entry(blob_of(line_of(stored_at=5, expires_at=7))).expires_at == 7.0


@pytest.mark.parametrize("value", ["text", None, 5, bytearray(b"[]\n"), memoryview(b"[]\n")])
def test_what_is_not_bytes_is_corrupt(value: Any) -> None:
    """A damaged database hands out any type."""
    with pytest.raises(CorruptEntry, match=type(value).__name__):
        load_entry(value)


def test_more_bytes_than_allowed_are_refused_unread() -> None:
    """The limit counts the whole blob and is exact."""
    blob = dump_entry(entry_of(b"x" * 1000))
    assert load_entry(blob, max_bytes=len(blob)).response.raw == b"x" * 1000
    with pytest.raises(CorruptEntry, match=str(len(blob))):
        load_entry(blob, max_bytes=len(blob) - 1)
    with pytest.raises(CorruptEntry, match="allowed"):
        load_entry(dump_entry(entry_of(b"x" * MAX_BYTES)))


def test_a_line_that_is_too_long_is_refused_unparsed() -> None:
    """Parsed JSON takes many times its text: ten megabytes of empty lists must not become hundreds."""
    with pytest.raises(CorruptEntry, match="line"):
        load_entry(b"[" + b"[]," * (MAX_BYTES // 4) + b"[]]\n{}")
    with pytest.raises(ValueError, match="are allowed"):
        dump_entry(entry_of(headers=Headers([("a", "b" * MAX_LINE_BYTES)])))


def test_the_time_to_refuse_does_not_depend_on_the_body() -> None:
    """A body is cut, not parsed: one that would explode as JSON is as cheap as any other."""
    blob = dump_entry(entry_of(b"[" * (MAX_BYTES - 1000)))
    start = time.process_time()
    assert load_entry(blob).response.raw == b"[" * (MAX_BYTES - 1000)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    "changes",
    [{"status": 99}, {"status": 600}, {"stored_at": float("nan")}, {"expires_at": float("inf")}],
    ids=lambda changes: str(changes),
)
def test_what_could_not_be_read_back_is_not_written(changes: dict[str, Any]) -> None:
    """dump_entry refuses with a ValueError what load_entry would call corrupt."""
    with pytest.raises(ValueError):
        dump_entry(entry_of(**changes))


def test_an_answer_that_a_plugin_changed_is_not_written() -> None:
    """It has no wire form any more; what is stored is what the provider sent."""
    entry = entry_of()
    with pytest.raises(ValueError, match="changed by a plugin"):
        dump_entry(evolve(entry, response=evolve(entry.response, message=Message("assistant"))))


def test_an_entry_is_decoded_when_somebody_looks_and_not_before() -> None:
    """Passing an entry on costs no decoding; two entries from one blob are two values."""
    blob = dump_entry(entry_of(b"hello"))
    first, second = load_entry(blob), load_entry(blob)
    assert first.response.text == "hello"
    assert first.response.decoded
    assert not second.response.decoded
    assert first.response.extensions is not second.response.extensions


def test_every_field_of_an_undecoded_entry_is_filled() -> None:
    """undecoded_entry fills the slots itself, so a field that is added to the contract must be added there."""
    entry = entry_of()
    assert attrs.asdict(entry, recurse=False).keys() == {a.name for a in attrs.fields(CacheEntry)}
    made = Response.undecoded(_decode, b"{}", api=API)
    for name in [a.name for a in attrs.fields(Response)]:
        filled = [_is_filled(value, name) for value in (made, entry.response)]
        assert filled[0] == filled[1], name
    assert entry.response == Response(
        api=API, headers=entry.response.headers, message=entry.response.message, finish_reason="stop"
    )


def test_an_undecoded_entry_is_frozen_like_any_other() -> None:
    """It is filled as a draft, and nothing of that is left: not its class, not its openness."""
    entry = load_entry(dump_entry(entry_of()))
    for value, kind in ((entry, CacheEntry), (entry.response, Response)):
        assert type(value) is kind
        for change in (lambda value=value: setattr(value, "origin", ""), lambda value=value: delattr(value, "api")):
            with pytest.raises(attrs.exceptions.FrozenInstanceError):
                change()


def _is_filled(response: Response, name: str) -> bool:
    try:
        object.__getattribute__(response, name)
    except AttributeError:
        return False
    return True


def test_a_body_of_an_unknown_api_says_so_when_it_is_read() -> None:
    """The entry can be listed and passed on; only reading its fields needs the wire module."""
    entry = load_entry(dump_entry(entry_of(api="nobody.knows")))
    assert entry.response.raw == b'{"id":"1"}'
    with pytest.raises(CorruptEntry, match="no wire module"):
        _ = entry.response.message


def test_messages_hold_nothing_of_what_was_stored() -> None:
    """A prompt or a key must not reach a log line through an error."""
    for blob in (
        blob_of(["sk-secret"] * 9),
        blob_of(line_of(headers=[["authorization", 1, "sk-secret"]])),
        b"sk-secret\n",
    ):
        with pytest.raises(CorruptEntry) as caught:
            load_entry(blob)
        assert "sk-secret" not in str(caught.value)


def test_the_corpus_of_blobs_is_refused() -> None:
    """Every blob of the corpus comes out as expected, and none of them was executed."""
    if not BLOBS.exists():
        pytest.skip("the corpus blobs-dev.jsonl is not beside this checkout")
    wrong = []
    for line in BLOBS.read_text().splitlines():
        case = json.loads(line)
        try:
            load_entry(base64.b64decode(case["blob_b64"]))
            got = "accept"
        except CorruptEntry:
            got = "reject"
        if got not in case.get("expect_accept", [case["expect"]]):
            wrong.append(case["id"])
    assert not wrong
    assert "CLIPPY_CANARY" not in os.environ
