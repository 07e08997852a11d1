"""A fault in process and the same fault over loopback are the same to the HTTP module's client."""

from __future__ import annotations

import gzip
import json
import threading
from functools import partial

import anyio
import httpx
import httpx2
import pytest
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import meanwhile, until

from clippy_core.testing import FakeProvider, FakeServer, Fault, Raw, Reply, VirtualClock

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
REPLY = Reply("Grüße an alle, überall")
ENDLESS = {"stall before head", "stall at event", "read timeout"}
FAULTS = {
    "none": [],
    "status": [Fault.status(503, {"x-seen": "1"}, retry_after=2)],
    "status 529": [Fault.status(529)],
    "reset before head": [Fault.reset()],
    "reset at event": [Fault.reset(at_event=3)],
    "reset at delta": [Fault.reset(at_delta=2)],
    "reset at byte": [Fault.reset(at_byte=100)],
    "reset at the very start": [Fault.reset(at_event=0)],
    "reset beyond the end": [Fault.reset(at_event=999)],
    "hangup before head": [Fault.hangup()],
    "hangup at event": [Fault.hangup(at_event=3)],
    "hangup at byte": [Fault.hangup(at_byte=1)],
    "stall before head": [Fault.stall()],
    "stall at event": [Fault.stall(at_event=2)],
    "short stall": [Fault.stall(0.01, at_event=2)],
    "read timeout": [Fault.read_timeout()],
    "truncated": [Fault.truncated_json()],
    "error event": [Fault.error_event(at_event=2)],
    "split": [Fault.split_utf8()],
    "html": [Fault.content_type("text/html")],
    "no terminal": [Fault.no_terminal()],
    "no done": [Fault.no_terminal(keep_finish=True)],
    "gzip": [Fault.gzip()],
    "gzip split reset": [Fault.gzip(), Fault.split_utf8(), Fault.reset(at_delta=1)],
    "slow": [Fault.slow(0.001)],
}
RAISES = {
    "reset before head": "ReadError",
    "reset at event": "ReadError",
    "hangup before head": "RemoteProtocolError",
    "hangup at event": "RemoteProtocolError",
    "stall before head": "ReadTimeout",
    "stall at event": "ReadTimeout",
    "read timeout": "ReadTimeout",
    "gzip split reset": "ReadError",
    "none": None,
    "no terminal": None,
    "split": None,
    "short stall": None,
}


@frozen
class Got:
    """What a client made of an answer."""

    error: type[BaseException] | None = None
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes = b""


def asked(stream: bool, patience: float = 5.0) -> dict:
    return {"json": {**ASK, "stream": stream}, "timeout": patience}


def read(client, url: str, stream: bool, patience: float = 5.0) -> Got:
    got = Got()
    try:
        with client.stream("POST", url, **asked(stream, patience)) as answer:
            got = evolve(got, status=answer.status_code, headers=tuple(answer.headers.multi_items()))
            for piece in answer.iter_raw():
                got = evolve(got, raw=got.raw + piece)
    except Exception as error:
        return evolve(got, error=type(error))
    return got


async def read_async(client, url: str, stream: bool, patience: float = 5.0) -> Got:
    got = Got()
    try:
        async with client.stream("POST", url, **asked(stream, patience)) as answer:
            got = evolve(got, status=answer.status_code, headers=tuple(answer.headers.multi_items()))
            async for piece in answer.aiter_raw():
                got = evolve(got, raw=got.raw + piece)
    except Exception as error:
        return evolve(got, error=type(error))
    return got


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def module(request):
    return request.param


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_the_same_in_process_and_over_loopback(module, name, stream):
    """Same exception class of the same module, same head, same bytes before it."""
    script = [[*FAULTS[name], REPLY]]
    patience = 0.06 if name in ENDLESS else 5.0
    provider = FakeProvider(script, clock=VirtualClock())
    inside = read(provider.client(module), "http://fake.test/v1/chat/completions", stream, patience)
    with FakeServer(script) as server, module.Client(verify=False, trust_env=False) as client:
        outside = read(client, f"{server.base_url}/chat/completions", stream, patience)
    assert inside == outside
    if name in RAISES:
        assert inside.error is (RAISES[name] and getattr(module, RAISES[name]))


@pytest.mark.parametrize("name", ["reset at event", "hangup at event", "stall at event", "reset before head", "gzip"])
async def test_a_fault_is_the_same_for_async_clients(module, name):
    """Under asyncio and trio too."""
    script = [[*FAULTS[name], REPLY]]
    patience = 0.06 if name in ENDLESS else 5.0
    provider = FakeProvider(script, clock=VirtualClock())
    async with provider.async_client(module) as client:
        inside = await read_async(client, "http://fake.test/v1/chat/completions", True, patience)
    with FakeServer(script) as server:
        async with module.AsyncClient(verify=False, trust_env=False) as client:
            outside = await read_async(client, f"{server.base_url}/chat/completions", True, patience)
    assert inside == outside
    if name in RAISES:
        assert inside.error is (RAISES[name] and getattr(module, RAISES[name]))


async def test_a_refused_connection_is_a_connect_error(module):
    """In process by the fault; over loopback at an address where nobody listens."""
    provider = FakeProvider(Fault.connect_error())
    url = "http://fake.test/v1/chat/completions"
    inside = read(provider.client(module), url, False)
    async with provider.async_client(module) as client:
        inside_async = await read_async(client, url, False)
    with FakeServer() as server, module.Client(verify=False, trust_env=False) as client:
        outside = read(client, f"{server.refusing_url}/chat/completions", False)
    assert inside == inside_async == outside == Got(module.ConnectError)


def test_connecting_can_take_too_long(module):
    """The client's own connect timeout passes on the clock."""
    clock = VirtualClock()
    before = clock.now()
    client = FakeProvider(Fault.connect_timeout(), clock=clock).client(module, timeout=module.Timeout(9, connect=4))
    with pytest.raises(module.ConnectTimeout):
        client.post("http://fake.test/v1/chat/completions", json=ASK)
    assert clock.now() - before == 4


def test_errors_know_their_request(module):
    """As with the real transport."""
    client = FakeProvider(Fault.reset(at_event=1)).client(module)
    with pytest.raises(module.ReadError) as caught:
        client.post("http://fake.test/v1/chat/completions", json={**ASK, "stream": True})
    assert caught.value.request.url.path == "/v1/chat/completions"


def test_stalls_and_delays_pass_on_the_virtual_clock(module):
    """Waits that the client can bear are as long as they say; a longer one ends when its patience does."""
    clock = VirtualClock()
    provider = FakeProvider(
        [
            [Fault.stall(20, at_event=2), Fault.slow(1), Reply("a b", delay=5)],
            Fault.stall(31, at_event=1),
        ],
        clock=clock,
    )
    client = provider.client(module, timeout=30)
    start = clock.now()
    answer = client.post("http://fake.test/v1/chat/completions", json={**ASK, "stream": True})
    events = answer.text.count("data: ")
    assert clock.now() - start == 5 + 20 + (events - 1)
    assert clock.sleeps == []
    start = clock.now()
    with pytest.raises(module.ReadTimeout):
        client.post("http://fake.test/v1/chat/completions", json={**ASK, "stream": True})
    assert clock.now() - start == 30


def test_an_endless_stall_without_any_patience_still_ends():
    """A client without a read timeout gets one in virtual time: nothing else could end the wait."""
    client = FakeProvider(Fault.stall(at_event=1), clock=VirtualClock()).client(timeout=None)
    with pytest.raises(httpx.ReadTimeout):
        client.post("http://fake.test/v1/chat/completions", json={**ASK, "stream": True})


@pytest.mark.parametrize("api", ["chat/completions", "responses", "messages"])
def test_at_delta_counts_content_and_nothing_else(api):
    """at_delta=0 breaks before the first content of every wire API, at_delta=2 after two pieces."""
    told = []
    for count in (0, 2):
        provider = FakeProvider([[Fault.hangup(at_delta=count), Reply("one two three")]])
        got = read(provider.client(), f"http://fake.test/v1/{api}", True)
        assert got.error is httpx.RemoteProtocolError
        told.append([word in got.raw for word in (b"one", b"two", b"three")])
    assert told == [[False, False, False], [True, True, False]]


def test_pieces_end_inside_code_points():
    """Decoding piece by piece fails, decoding the whole does not."""
    with (
        FakeProvider([[Fault.split_utf8(), REPLY]])
        .client()
        .stream("POST", "http://fake.test/v1/chat/completions", **asked(True)) as answer
    ):
        pieces = list(answer.iter_raw())
    assert REPLY.text.split()[0] in b"".join(pieces).decode()
    with pytest.raises(UnicodeDecodeError):
        [piece.decode() for piece in pieces]


def test_compressed_answers_are_the_same_answers():
    """The body is gzip as it comes, and what it was when decoded; a stream can be read piece by piece."""
    provider = FakeProvider([REPLY, [Fault.gzip(), REPLY]], seed=3)
    url = "http://fake.test/v1/chat/completions"
    plain, pressed = (read(provider.client(), url, True) for _ in range(2))
    assert ("content-encoding", "gzip") in pressed.headers
    bare = [line.partition(b'"model"')[2] for line in plain.raw.splitlines()]
    assert [line.partition(b'"model"')[2] for line in gzip.decompress(pressed.raw).splitlines()] == [
        line.replace(b"fp_" + fingerprint(plain.raw), b"fp_" + fingerprint(gzip.decompress(pressed.raw)))
        for line in bare
    ]


def fingerprint(raw: bytes) -> bytes:
    return raw.partition(b'"fp_')[2][:10]


def test_truncated_json_is_whole_http_and_broken_json():
    """One event cannot be parsed, those around it can."""
    got = read(FakeProvider(Fault.truncated_json(at_event=1)).client(), "http://fake.test/v1/chat/completions", True)
    broken = []
    for event in got.raw.split(b"\n\n")[:-2]:
        try:
            json.loads(event.removeprefix(b"data: "))
        except ValueError:
            broken.append(event)
    assert len(broken) == 1
    assert got.raw.endswith(b"data: [DONE]\n\n")


def test_raw_answers_are_given_as_they_are():
    """Transcripts can be replayed in any pieces, with faults between them."""
    pieces = [b'data: {"a"', b": 1}\n\nda", b"ta: [DONE]\n\n"]
    raw = Raw(pieces, headers={"content-type": "text/event-stream"})
    provider = FakeProvider([raw, [Fault.reset(at_event=2), raw], Raw(b"\xff\x00", 418)])
    url = "http://fake.test/anything"
    first, second, third = (read(provider.client(), url, False) for _ in range(3))
    assert first.raw == b"".join(pieces)
    assert (second.raw, second.error) == (b"".join(pieces[:2]), httpx.ReadError)
    assert (third.status, third.raw) == (418, b"\xff\x00")


def test_who_closes_early_is_on_record():
    """A stream closed before its end is counted, with the pieces it got; one read to its last event is not."""
    provider = FakeProvider(Reply("one two three"))
    client = provider.client()
    url = "http://fake.test/v1/chat/completions"
    with client.stream("POST", url, **asked(True)) as answer:
        next(answer.iter_raw())
    read(client, url, True)
    assert provider.closed_early == [1]
    assert provider.pieces[1] == 1 < provider.pieces[2]
    assert (provider.counters["completed"], provider.counters["closed_early"]) == (1, 1)


def test_another_thread_may_close_a_stalled_stream():
    """Without a clock a stall is real; closing the stream ends it with a ReadError, as shutting a socket does."""
    provider = FakeProvider(Fault.stall(at_event=1))
    client = provider.client(timeout=None)
    with client.stream("POST", "http://fake.test/v1/chat/completions", json={**ASK, "stream": True}) as answer:
        pieces = answer.iter_raw()
        next(pieces)

        def close_amid_the_read() -> None:
            assert until(lambda: answer.stream._stream._closed._cond._waiters)
            answer.stream.close()

        threading.Thread(target=close_amid_the_read).start()
        with pytest.raises(httpx.ReadError):
            next(pieces)
    assert provider.closed_early == [1]


async def test_who_is_cancelled_closes_early():
    """A cancelled read of a stalled answer is recorded, in real time without a clock."""
    provider = FakeProvider(Fault.stall(at_event=1))
    async with provider.async_client() as client:
        async with anyio.create_task_group() as tasks:
            ask = partial(client.post, json={**ASK, "stream": True})
            tasks.start_soon(ask, "http://fake.test/v1/chat/completions")
            assert await meanwhile(lambda: provider.calls)
            tasks.cancel_scope.cancel()
    assert provider.closed_early == [1]


def test_connections_are_kept_and_dropped_as_by_a_pool():
    """A whole answer leaves its connection to the next request, a broken or unread one does not."""
    provider = FakeProvider([Reply("a"), Reply("b"), Fault.reset(), Reply("c")])
    client = provider.client()
    for _ in range(4):
        read(client, "http://fake.test/v1/chat/completions", True)
    assert [request.connection for request in provider.requests] == [1, 1, 1, 2]


def test_requests_are_kept_with_their_bytes():
    """Method, address, headers, body and what an HTTP/1.1 client would have sent."""
    provider = FakeProvider()
    provider.client(headers={"X-Own": "1"}).post("http://fake.test/v1/chat/completions?v=2", json=ASK)
    (request,) = provider.requests
    assert (request.method, request.path, request.query) == ("POST", "/v1/chat/completions", {"v": "2"})
    assert (request.json, request.api, request.headers["x-own"]) == (ASK, "openai.chat", "1")
    assert request.raw == request.head + request.body
    assert request.head.startswith(b"POST /v1/chat/completions?v=2 HTTP/1.1\r\nHost: fake.test\r\n")


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, 4000), kind=st.sampled_from([Fault.reset, Fault.hangup]), stream=st.booleans())
def test_a_break_at_byte_n_gives_the_first_n_bytes(at, kind, stream):
    """For any position; beyond the end it is just before the last byte."""
    url = "http://fake.test/v1/chat/completions"
    whole = read(FakeProvider(REPLY).client(), url, stream).raw
    got = read(FakeProvider([[kind(at_byte=at), REPLY]]).client(), url, stream)
    assert got.raw == whole[: min(at, len(whole) - 1)]
    assert got.error in (httpx.ReadError, httpx.RemoteProtocolError)
