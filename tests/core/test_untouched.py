"""Untouched in, untouched out: what no plugin changed leaves as the bytes that came."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest
from attrs import define, evolve, fields
from calling import Again, Calls, Keep
from clippy_hookspecs import Chunk, Headers, Request, RequestContext, Response, hookimpl

from clippy_core.testing import Fault, Raw, Reply
from clippy_core.untouched import retouch
from clippy_core.wire import APIS, decode_request, decode_response

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
PLUGINS = {"none": [], "watching": [Calls()], "all": [Calls(), Again(), Keep()]}

BODIES = {
    "odd spacing": b'{ "model" : "m",\n "messages":[{"role":"user","content":"caf\\u00e9"}] , "x": 1.0 }',
    "malformed": b'{"model": "m", "messages": [',
    "not an object": b"[1, 2]",
    "not json": b"\x00\xff\xfe binary",
    "empty": b"",
    "nan": b'{"model": "m", "messages": [], "temperature": NaN}',
    "big int": b'{"model": "m", "messages": [], "seed": 123456789012345678901234567890}',
    "lone surrogate": b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}',
    "10 MB": json.dumps({**CHAT, "pad": "x" * 10_000_000}).encode(),
}


@pytest.mark.parametrize("plugins", PLUGINS)
@pytest.mark.parametrize("body", BODIES)
def test_the_provider_sees_the_bytes_that_the_caller_sent(any_caller, plugins, body):
    """Whatever the body is, and whatever plugins look at it."""
    if body == "10 MB" and any_caller.colour == "trio":
        pytest.skip("asyncio covers the async way; ten megabytes once more say nothing new")
    any_caller.start(PLUGINS[plugins], Reply("Hi"))
    request = {"content": BODIES[body], "headers": {"content-type": "application/json", "x-own": "1"}}
    any_caller.send(bare=True, **request)
    any_caller.send(**request)
    bare, ours = any_caller.provider.requests[0], any_caller.provider.requests[-1]
    assert bare is not ours
    assert bare.body == ours.body == BODIES[body]
    assert bare.headers.pairs == ours.headers.pairs


ANSWERS = {
    "plain": Reply("Hi"),
    "html": Raw(b"<html>busy</html>", headers={"content-type": "text/html"}),
    "binary": Raw(bytes(range(256)), headers={"content-type": "application/octet-stream"}),
    "malformed": Raw(b'{"choices": [', headers={"content-type": "application/json"}),
    "odd spacing": Raw(b'{ "choices" : [ ] , "x" : 1.0}', headers={"content-type": "application/json"}),
    "empty": Raw(b"", status=204, headers={}),
    "redirect": Raw(b"", status=307, headers={"location": "/elsewhere"}),
    "error": Raw(b'{"error": {"message": "no"}}', status=400),
    "10 MB": Raw(json.dumps({"pad": "y" * 10_000_000}).encode()),
}


@pytest.mark.parametrize("plugins", ["none", "watching"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_the_caller_gets_the_bytes_that_the_provider_sent(any_caller, plugins, answer):
    """Whatever the answer is: the status, the body, and the headers that describe it."""
    bare = any_caller.start([], ANSWERS[answer]).send(bare=True, json=CHAT)
    ours = any_caller.start(PLUGINS[plugins], ANSWERS[answer]).send(json=CHAT)
    assert (bare.status, bare.body) == (ours.status, ours.body)
    assert bare.headers.get("content-type") == ours.headers.get("content-type")
    assert type(bare.error) is type(ours.error)


def test_a_compressed_answer_that_nobody_reads_stays_compressed(any_caller):
    """Head and body pass through undecoded."""
    packed = gzip.compress(b'{"choices": []}')
    headers = {"content-type": "application/json", "content-encoding": "gzip"}

    @define(eq=False)
    class Tag:
        @hookimpl
        def pre_request(self, request: Request) -> Request:
            return evolve(request, headers=request.headers.replace("x-tag", "1"))

    any_caller.start([Tag()], Raw(packed, headers=headers), record=False)
    ours = any_caller.send(json=CHAT)
    assert (packed, "gzip") == (ours.body, ours.headers["content-encoding"])
    assert "1" == any_caller.provider.requests[-1].headers["x-tag"]


def test_a_compressed_answer_that_somebody_reads_is_handed_on_decoded(any_caller):
    """Decoded bytes, and a head that says so."""
    packed = gzip.compress(b'{"choices": []}')
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    any_caller.start([Calls()], Raw(packed, headers=headers))
    ours = any_caller.send(json=CHAT)
    assert b'{"choices": []}' == ours.body
    assert "content-encoding" not in ours.headers


def test_a_compression_that_we_cannot_undo_is_never_asked_for(any_caller):
    """accept-encoding is cut where an answer will be read."""
    any_caller.start([Calls()], Reply("Hi"))
    any_caller.send(json=CHAT, headers={"accept-encoding": "br, gzip;q=0.8, zstd"})
    assert "gzip;q=0.8" == any_caller.provider.requests[-1].headers["accept-encoding"]


def test_an_answer_in_a_compression_that_we_cannot_undo_passes_untouched(any_caller):
    """Where nobody has to look into it, it is as it was."""
    headers = {"content-type": "application/json", "content-encoding": "x-own"}
    any_caller.start([], Raw(b"\x01\x02", headers=headers))
    ours = any_caller.send(json=CHAT)
    assert (b"\x01\x02", "x-own") == (ours.body, ours.headers["content-encoding"])


def test_an_answer_in_a_compression_that_we_cannot_undo_passes_no_guard_unseen(any_caller):
    """A filter that cannot look into an answer must not be passed by it."""
    headers = {"content-type": "application/json", "content-encoding": "x-own"}
    any_caller.start([Calls()], Raw(b"\x01\x02", headers=headers))
    ours = any_caller.send(json=CHAT)
    assert isinstance(ours.error, any_caller.module.RemoteProtocolError)


@pytest.mark.parametrize("plugins", ["none", "watching"])
def test_a_stream_keeps_its_bytes(any_caller, plugins):
    """Also its comments, its spacing and what we do not know."""
    events = (
        b": hello\n\n",
        b'data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\r\n\r\n',
        b'event: own\ndata: {"own": [1.0]}\n\n',
        b'data:{"id":"1" , "choices":[{"index":0,"delta":{"content":"Hi",'
        b'"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}]}}]}\n\n',
        b'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
        b"data: [DONE]\n\n",
        b": bye\n\n",
    )
    any_caller.start(PLUGINS[plugins], Raw(events, headers={"content-type": "text/event-stream"}))
    ours = any_caller.send(json={**CHAT, "stream": True})
    assert b"".join(events) == ours.body
    assert ours.error is None


@define(eq=False)
class Evolves:
    """Changes one thing of each request, answer or chunk."""

    what: str

    @hookimpl
    def pre_request(self, request: Request) -> Request | None:
        if self.what == "header":
            return evolve(request, headers=request.headers.replace("x-new", "1"))
        if self.what == "param":
            return evolve(request, params={**request.params, "seed": 7})
        return None

    @hookimpl
    def on_response(self, response: Response) -> Response | None:
        if self.what != "answer":
            return None
        block = evolve(response.message.blocks[0], text="changed")
        return evolve(response, message=evolve(response.message, blocks=(block,)))

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> Chunk | None:
        return evolve(chunk, delta=chunk.delta.upper()) if self.what == "chunk" and chunk.kind == "text" else None


def test_a_changed_header_leaves_the_body_alone(any_caller):
    """The header goes upstream, the body is byte for byte what it was."""
    any_caller.start([Evolves("header")], Reply("Hi"))
    any_caller.send(content=BODIES["odd spacing"], headers={"content-type": "application/json"})
    seen = any_caller.provider.requests[-1]
    assert (BODIES["odd spacing"], "1") == (seen.body, seen.headers["x-new"])


def test_a_changed_body_is_written_anew_with_its_length(any_caller):
    """What was not changed is still there, and content-length is that of what is sent."""
    any_caller.start([Evolves("param")], Reply("Hi"))
    any_caller.send(content=BODIES["odd spacing"], headers={"content-type": "application/json"})
    seen = any_caller.provider.requests[-1]
    assert {**json.loads(BODIES["odd spacing"]), "seed": 7} == seen.json
    assert str(len(seen.body)) == seen.headers["content-length"]


def test_a_changed_answer_never_carries_the_original(any_caller):
    """No byte of what was replaced reaches the caller."""
    any_caller.start([Evolves("answer")], Reply("the original"))
    sent = any_caller.send(json=CHAT)
    assert "changed" == json.loads(sent.body)["choices"][0]["message"]["content"]
    assert b"original" not in sent.body


def test_a_changed_chunk_never_carries_the_original(any_caller):
    """No byte of what was replaced reaches the caller, in a stream either."""
    any_caller.start([Evolves("chunk")], Reply("the original"))
    sent = any_caller.send(json={**CHAT, "stream": True})
    assert b"original" not in sent.body
    assert b"ORIGINAL" in sent.body


def test_a_body_nobody_can_read_may_not_be_changed(caller):
    """A plugin that tries gets told so, and nothing is sent."""
    caller.start([Evolves("param")], Reply("Hi"))
    sent = caller.send(content=b"\x00\x01", headers={"content-type": "application/json"})
    assert 500 == sent.status
    assert b"not a JSON object" in sent.body
    assert 0 == caller.provider.calls


def test_a_signed_body_may_not_be_changed(caller):
    """The provider would refuse it for a reason nobody understands."""
    caller.start([Evolves("param")], Reply("Hi"))
    sent = caller.send(json=CHAT, headers={"authorization": "AWS4-HMAC-SHA256 Credential=x"})
    assert 500 == sent.status
    assert b"signed" in sent.body
    assert 0 == caller.provider.calls


def test_an_upload_is_passed_on_piece_by_piece(any_caller):
    """A body of an endpoint that we do not know is streamed, never read, and the hooks that apply see the call."""
    calls = Calls()
    any_caller.start([calls], Reply("Hi"))
    sent = any_caller.send(path="/files", files={"file": ("a.bin", b"\x00" * 100_000)}, data={"purpose": "x"})
    assert 200 == sent.status
    assert 100_000 < len(any_caller.provider.requests[-1].body)
    assert ["pre_request", "pre_attempt", "post_attempt ok", "audit answered"] == calls.hooks


def test_our_own_headers_never_go_upstream(any_caller):
    """X-Clippy-User says who asks; the provider is not told."""
    any_caller.start([Calls()], Reply("Hi"), trust_headers=True)
    any_caller.send(json=CHAT, headers={"X-Clippy-User": "ann"})
    assert "x-clippy-user" not in any_caller.provider.requests[-1].headers
    assert "ann" == any_caller.records.last.scope.user


def test_scope_headers_are_not_believed_unless_the_configuration_says_so(sync_caller):
    """Anybody can send a header."""
    sync_caller.start([Calls()], Reply("Hi"))
    sync_caller.send(json=CHAT, headers={"X-Clippy-User": "ann"})
    assert sync_caller.records.last.scope.user is None


def test_a_websocket_passes_by(sync_caller):
    """An upgrade is none of our business."""
    sync_caller.start([Calls()], Reply("Hi"))
    sync_caller.send("GET", "/realtime", headers={"upgrade": "websocket", "connection": "upgrade"})
    assert [] == sync_caller.records.records


def test_a_stranger_sdk_sees_the_context_of_its_request(sync_caller):
    """response.extensions["clippy"] leads to the id, the flow and the trace."""
    sync_caller.start([Calls()], Reply("Hi"))
    sent = sync_caller.send(json=CHAT)
    context = sent.extensions["clippy"]
    assert isinstance(context, RequestContext)
    assert context.id == sync_caller.records.last.id


def test_the_sdk_does_not_repeat_what_we_gave_up_on(sync_caller):
    """A failed answer says x-should-retry: false; a repeated network failure gets the same one at once."""
    sync_caller.start([Again()], Fault.connect_error())
    client = sync_caller.host.wrap(httpx.Client(transport=sync_caller.provider.transport()))
    for count in ("0", "1", "2"):
        with pytest.raises(httpx.ConnectError):
            client.post("http://fake.test/v1/chat/completions", json=CHAT, headers={"x-stainless-retry-count": count})
    assert 3 == sync_caller.provider.calls
    assert 1 == len(sync_caller.records.records)
    sync_caller.start([Again()], Fault.status(503))
    assert "false" == sync_caller.send(json=CHAT).headers["x-should-retry"]


@pytest.mark.parametrize("depth", [900, 1000, 1020, 5000, 100_000])
def test_a_body_nested_deeper_than_we_can_write_passes_and_is_not_cached(depth, sync_caller):
    """It can be read, or not even that; no key is made of it, and the caller hears nothing of ours."""
    body = b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "x": ' + b"[" * depth + b"]" * depth + b"}"
    keep = Keep()
    sync_caller.start([keep], Raw(b'{"fine": true}'))
    for _ in range(2):
        sent = sync_caller.send(content=body, headers={"content-type": "application/json"})
        assert sent.error is None
    assert [body] * 2 == [seen.body for seen in sync_caller.provider.requests]


@pytest.mark.parametrize("kind", [Request, Response])
@pytest.mark.parametrize("looked", [False, True], ids=["unread", "read"])
def test_a_value_with_another_head_is_the_same_in_all_else(kind, looked):
    """Whether somebody has looked into its body or not: nothing is lost, and nothing is read for it."""
    said = {"id": "a", "model": "m", "stream": True, "messages": CHAT["messages"], "seed": 7}
    said["choices"] = [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]
    body, head, url = json.dumps(said).encode(), Headers({"x-own": "1"}), "https://api.test/v1/chat/completions"
    if kind is Request:
        value = decode_request("POST", url, "a=b", head, body)
    else:
        value = decode_response(APIS["openai.chat"], 201, head, body, {"trace": 1})
    if looked:
        assert value.messages if kind is Request else value.params
    other = retouch(value, headers=Headers({"x-own": "2"}))
    assert other.decoded is value.decoded is looked
    for one in fields(kind):
        if one.name not in ("headers", "decoder"):
            assert getattr(other, one.name) == getattr(value, one.name)
    assert (type(other), dict(other.headers)) == (kind, {"x-own": "2"})
