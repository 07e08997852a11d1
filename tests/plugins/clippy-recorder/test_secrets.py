"""No key is in a recording, however an answer was cut, encoded or wherever a file came from."""

from __future__ import annotations

import contextlib
import gzip
import json
from typing import Any

import httpx2
import pytest
from clippy_hookspecs import Headers, Scope
from clippy_recorder import Attempt, Exchange, Message, Piece, Recorder, Step, document, from_har, to_har
from clippy_recorder.secrets import Secrets
from clippy_recorder.streams import bytes_say_a_secret

import clippy_core

CANARY = "canary7Hq2vXw9TzLk4Rb8"
KEY = f"sk-proj-{CANARY}"
HALVES = (KEY[:16], KEY[16:])
CLEAN = Secrets((KEY,))
URL = "https://api.openai.com/v1/completions"


def events(*texts: str) -> bytes:
    """Server-sent events of an API that nobody decodes."""
    return b"".join(b"data: %s\n\n" % json.dumps({"n": n, "say": text}).encode() for n, text in enumerate(texts))


def through(pieces: list[bytes], head: dict[str, str], url: str = URL) -> Exchange:
    """A stream, as a rule of events that the host has no words for, and what was recorded of it."""
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=head, content=iter(pieces)))
    recorder = Recorder(enabled=True)
    with clippy_core.Host([recorder]) as host:
        transport = clippy_core.transport(host, module=httpx2, inner=answer)
        with httpx2.Client(transport=transport) as http:
            asked = {"model": "m", "prompt": "speak", "messages": [], "stream": True}
            with contextlib.suppress(httpx2.HTTPError):  # of a stream that breaks off
                http.post(url, headers={"authorization": f"Bearer {KEY}"}, json=asked).read()
    (call,) = recorder.latest()
    return call


def everything(call: Exchange) -> str:
    return json.dumps(document(call), ensure_ascii=False)


SAID = {
    "two events": [events("your key is " + HALVES[0], HALVES[1] + " it seems")],
    "two events of a whole stream": [events(*HALVES), b"data: [DONE]\n\n"],
    "two pieces": [events(f"it is {KEY}")[:40], events(f"it is {KEY}")[40:]],
    "two events in many pieces": [bytes([one]) for one in events(*HALVES)],
    "one letter an event": [events(*KEY)],
    "escaped": [events(*HALVES).replace(b"sk-", rb"\u0073\u006b\u002d")],
    "plain events": [b"data: %s\n\n" % half.encode() for half in HALVES],
    "broken off in it": [events("it is " + HALVES[0]).removesuffix(b'"}\n\n')],
}


@pytest.mark.parametrize("pieces", SAID.values(), ids=SAID)
def test_a_key_in_the_parts_of_a_stream_that_nobody_decodes_is_not_in_its_recording(pieces):
    """No piece of that stream keeps what it said; their sizes and times stay."""
    call = through(pieces, {"content-type": "text/event-stream"})
    came = [piece for piece in call.pieces if piece.kind == "bytes"]
    assert [piece.data for piece in came] == [b""] * len(came)
    assert [piece.size for piece in came] == [len(piece) for piece in pieces[: len(came)]] != []
    told = everything(call)
    assert HALVES[0] not in told
    assert HALVES[1] not in told


def test_a_stream_without_a_key_keeps_its_pieces_though_nobody_decodes_it():
    """Byte for byte."""
    pieces = [events("nothing", "to hide")[:30], events("nothing", "to hide")[30:]]
    call = through(pieces, {"content-type": "text/event-stream"})
    assert b"".join(piece.data for piece in call.pieces) == b"".join(pieces)


def test_an_encoded_body_is_looked_into_or_not_kept():
    """What is compressed is not in clear, but anybody can undo it."""
    whole = gzip.compress(events(*HALVES))
    assert bytes_say_a_secret(whole, "gzip", CLEAN)
    assert not bytes_say_a_secret(gzip.compress(events("fine")), "gzip", CLEAN)
    assert bytes_say_a_secret(whole, "br", CLEAN)
    assert bytes_say_a_secret(whole, "", CLEAN)
    assert bytes_say_a_secret(b"".join(b'{"say": "%s"}\n' % half.encode() for half in HALVES), "", CLEAN)
    assert bytes_say_a_secret(whole[:9], "gzip, br", CLEAN)
    assert bytes_say_a_secret(gzip.compress(b"x" * (17 << 20)), "gzip", CLEAN)


def full_of_keys() -> Exchange:
    """A call as an enemy, or an older version, might have written it: a key in every field."""
    said = Message(
        (("authorization", f"Bearer {KEY}"), ("x-note", KEY)), json.dumps({"key": KEY, "a": [KEY]}).encode(), 9, 200
    )
    body = events(*HALVES)
    pieces = (
        Piece(1, "bytes", body[:20], size=20),
        Piece(2, "bytes", body[20:], size=20),
        *(
            Piece(3, "chunk_out", chunk={"kind": "text", "delta": half, "id": KEY, "more": {"k": [KEY]}})
            for half in HALVES
        ),
    )
    told = {"message": KEY, "deep": [{"api_key": KEY}]}
    attempt = Attempt(1, KEY, 0, f"https://x.test/?key={KEY}", said, 1, said, 2, KEY, told)
    step = Step(1, KEY, KEY, KEY, 1, 1, f'{{"api_key": "{KEY}"}}', KEY)
    return Exchange(
        f"id {KEY}", 1.0, KEY, KEY, "POST", f"https://u:{KEY}@x.test/{KEY}", KEY, True, Scope(KEY, KEY, KEY), KEY,
        "answered", 200, finish_reason=KEY, provenance=told, error=told, came=said, answered=said,
        attempts=(attempt,), steps=(step,), pieces=pieces,
    )  # fmt: skip


def archive(**more: Any) -> dict[str, Any]:
    """An archive whose own part says that it is one of ours."""
    made: dict[str, Any] = to_har([full_of_keys()])
    made["log"]["entries"][0].update(more)
    return made


@pytest.mark.parametrize("chunks", [[[1, 30], [2, 9999]], [[1, 10**9]], []])
def test_a_part_of_our_own_in_an_archive_is_made_clean_again(chunks):
    """Anybody can write one, and keys are in other tools' archives."""
    (call,) = from_har(archive(_chunks=chunks))
    told = everything(call)
    assert CANARY not in told
    assert HALVES[1] not in told
    assert (call.state, call.status, len(call.attempts)) == ("answered", 200, 1)


def test_a_key_in_two_events_of_another_tools_archive_is_not_taken_over():
    """As of a stream that was recorded here."""
    made = archive()
    del made["log"]["entries"][0]["_clippy"]
    made["log"]["entries"][0]["response"]["content"].update(text=events(*HALVES).decode(), mimeType="text/event-stream")
    (call,) = from_har(made)
    assert HALVES[1] not in everything(call)
    assert call.stream


NAMED = {
    "a name that says key": b'{"tool": {"api_key": "hunter2hunter2A9"}}',
    "a name written with escapes": rb'{"api\u005fkey": "hunter2hunter2A9"}',
    "a name and its value": b'{"headers": [{"name": "x-api-key", "value": "hunter2hunter2A9"}]}',
    "a pair": b'{"headers": [["x-api-key", "hunter2hunter2A9"]]}',
    "a pair over lines": b'{"headers": [ [\n "x-api-key" ,\n "hunter2hunter2A9"]]}',
    "an option": b'{"argv": "--user ada:hunter2hunter2A9 https://x.test"}',
    "behind a text that looks like a name": rb'{"a": "\":", "password": "hunter2hunter2A9"}',
}


@pytest.mark.parametrize("body", NAMED.values(), ids=NAMED)
def test_a_body_is_walked_through_where_a_name_says_what_its_text_does_not(body):
    """Most are not, since no name in them says anything; their bytes stay."""
    assert b"hunter2" not in Secrets().body(body)
    harmless = b'{"model": "m", "max_tokens":  9, "messages": [{"role": "user", "content": "my \\"word\\": yes"}]}'
    assert Secrets().body(harmless) == harmless


@pytest.mark.parametrize("name", ["apikey", "x-apikey", "x-accesskey", "ocp-apim-subscription-key"])
def test_a_key_in_a_header_or_an_address_of_any_name_that_says_so_is_looked_for_elsewhere(name):
    """What is taken out of the header must not stand in the provider's complaint about it."""
    for headers, url in ((Headers({name: "qwertz-93"}), ""), (Headers(), f"https://x.test/?{name}=qwertz-93")):
        assert "qwertz-93" not in Secrets.of([(headers, url)]).text("no such key: qwertz-93")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("authorization", "Basic bWU6aHVudGVyMnNlY3JldA==", "hunter2secret"),
        ("cookie", "sid=hunter2secret; theme=dark", "hunter2secret"),
        ("cookie", "theme=dark; sid=hunter2secret", "hunter2secret"),
    ],
)
def test_what_a_credential_says_is_looked_for_as_well(name, value, said):
    """A proxy complains of the password, and not of its base64."""
    assert said not in Secrets.of([(Headers({name: value}), "")]).text(f"wrong password {said}")


def test_a_key_in_pieces_of_a_field_that_no_chunk_has_is_not_in_a_recording():
    """As a provider of its own mind tells the model's reasoning, token by token."""
    thoughts = b"".join(
        b'data: {"choices":[{"index":0,"delta":{"content":"a","thoughts":"%s"}}]}\n\n' % half.encode()
        for half in HALVES
    )
    done = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    call = through(
        [thoughts + done], {"content-type": "text/event-stream"}, URL.replace("/completions", "/chat/completions")
    )
    assert HALVES[1] not in everything(call)
