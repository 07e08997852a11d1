"""The loopback server: exact bytes, real connections, other addresses, and an end of its own accord."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import socket
import ssl
import struct
import subprocess
import time
from contextlib import suppress

import httpx
import httpx2
import openai
import pytest
from patience import PATIENCE, until

from clippy_core.testing import FakeProvider, FakeServer, Fault, Reply

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def client():
    with httpx.Client(verify=False, trust_env=False, timeout=PATIENCE) as http:
        yield http


def talk(server: FakeServer, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as raw:
        raw.sendall(sent)
        got = b""
        while piece := raw.recv(65536):
            got += piece
    return got


def test_the_exact_bytes_of_a_request_are_kept():
    """Head with its odd case and spaces, chunked body with its framing, and the body without it."""
    head = b"POST /v1/echo?a=1 HTTP/1.1\r\nHost: x\r\nX-oDD:  two  spaces \r\n"
    head += b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    framed = b"3;note=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
    with FakeServer() as server:
        answer = talk(server, head + framed)
        (request,) = server.requests
    assert (request.head, request.body, request.raw) == (head, b"abcde", head + framed)
    assert request.headers["x-odd"] == "two  spaces"
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (told["size"], told["sha256"]) == (5, hashlib.sha256(b"abcde").hexdigest())


def test_connections_stay_alive_and_are_counted(client):
    """Three requests on one connection; a reset one is replaced."""
    with FakeServer([Reply("a"), Reply("b"), Fault.reset(), Reply("c")]) as server:
        url = f"{server.base_url}/chat/completions"
        for broken in (False, False, True, False):
            if broken:
                with pytest.raises(httpx.ReadError):
                    client.post(url, json=ASK)
            else:
                assert client.post(url, json={**ASK, "stream": True}).status_code == 200
        assert [request.connection for request in server.requests] == [1, 1, 1, 2]
        assert server.counters["connections"] == 2


def test_a_client_that_leaves_amid_a_stream_is_seen(client):
    """While the server waits for the next piece it notices that nobody listens any more."""
    with FakeServer(Fault.stall(at_event=1)) as server:
        with client.stream("POST", f"{server.base_url}/chat/completions", json={**ASK, "stream": True}) as answer:
            assert next(answer.iter_raw()).startswith(b"data: ")
        assert until(lambda: server.closed_early == [1])
        assert server.provider.pieces[1] == 1


def test_a_client_that_does_not_read_holds_the_server_up():
    """Back-pressure is real: a stream larger than the socket's buffers is not handed over to a client that waits."""
    with FakeServer(Reply("x" * 200_000, chunks=200)) as server:
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", server.port))
            big = json.dumps({**ASK, "stream": True, "n": 100}).encode()
            raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(big), big))
            assert until(lambda: server.provider.pieces[1] > 0)
            time.sleep(0.05)
            assert server.provider.pieces[1] < 15_000  # of 20 201
        assert until(lambda: server.closed_early == [1])


def test_embeddings_are_the_same_in_both_encodings():
    """The SDK asks for base64 and gets the very floats of the plain encoding; like texts have like vectors."""
    with FakeServer() as server, httpx2.Client(verify=False) as http:
        sdk = openai.OpenAI(base_url=server.base_url, api_key="none", http_client=http)
        packed = sdk.embeddings.create(model="e", input=["a", "b", "a"])
        plain = sdk.embeddings.create(model="e", input="a", encoding_format="float")
        coded = http.post(f"{server.base_url}/embeddings", json={"input": "a", "encoding_format": "base64"}).json()
    assert packed.data[0].embedding == plain.data[0].embedding == packed.data[2].embedding
    assert packed.data[0].embedding != packed.data[1].embedding
    raw = base64.b64decode(coded["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == plain.data[0].embedding


def test_models_and_files_as_the_sdk_asks_for_them():
    """Listing, one model, and an upload whose size and digest come back."""
    content = b"line\r\n--not-a-boundary\r\n\x00\xff" * 1000
    with FakeServer() as server, httpx2.Client(verify=False) as http:
        sdk = openai.OpenAI(base_url=server.base_url, api_key="none", http_client=http)
        assert [model.id for model in sdk.models.list()] == ["fake-model", "fake-model-mini"]
        assert sdk.models.retrieve("other").id == "other"
        stored = sdk.files.create(file=("data.bin", content), purpose="batch")
    assert (stored.filename, stored.bytes, stored.purpose) == ("data.bin", len(content), "batch")
    assert stored.sha256 == hashlib.sha256(content).hexdigest()


def test_awkward_bodies(client):
    """Large, compressed, of unheard-of type, in lines, redirected, empty, and for HEAD."""
    with FakeServer() as server:
        get = lambda path: client.get(server.base_url + path)  # noqa: E731
        large = get("/large?size=3000000")
        assert len(large.content) == 3_000_000 == len(large.json()["data"]) + len('{"object":"large","data":""}')
        assert get("/gzip").json()["object"] == "compressed"
        odd = get("/bytes?size=700&type=application/x-odd")
        assert (odd.content[:256], len(odd.content)) == (bytes(range(256)), 700)
        assert odd.headers["content-type"] == "application/x-odd"
        assert [json.loads(line)["line"] for line in get("/ndjson?lines=3").text.splitlines()] == [0, 1, 2]
        moved = get("/redirect?to=/v1/models&status=308")
        assert (moved.status_code, moved.headers["location"]) == (308, "/v1/models")
        assert (get("/empty").status_code, get("/empty").content) == (204, b"")
        assert client.head(server.base_url + "/models").content == b""
        assert (get("/nowhere").status_code, client.put(server.base_url + "/models").status_code) == (404, 405)
        assert server.counters["connections"] == 1


def test_other_addresses_are_the_same_in_process(client):
    """A matrix may compare either entrance."""
    provider = FakeProvider()
    paths = ["/models", "/large?size=70000", "/gzip", "/bytes", "/ndjson", "/empty", "/nowhere"]
    with FakeServer() as server:
        for path in paths:
            outside = client.get(server.base_url + path)
            inside = provider.client().get("http://fake.test/v1" + path)
            assert (inside.status_code, inside.content) == (outside.status_code, outside.content)
            assert inside.headers == outside.headers


def test_faults_reach_other_addresses(client):
    """An embedding can fail as well as a chat."""
    with FakeServer([Fault.status(429, retry_after=1)]) as server:
        first, second = (client.post(f"{server.base_url}/embeddings", json={"input": "a"}) for _ in range(2))
    assert (first.status_code, first.headers["retry-after"], second.status_code) == (429, "1", 200)


def test_it_can_stand_in_for_a_proxy():
    """A request for an absolute address is answered, and its address kept."""
    with FakeServer(Reply("via")) as server:
        with httpx.Client(proxy=server.origin, verify=False, trust_env=False) as client:
            answer = client.post("http://api.test/v1/chat/completions", json=ASK)
        assert answer.json()["choices"][0]["message"]["content"] == "via"
        assert server.requests[0].url == "http://api.test/v1/chat/completions"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, 431),
    ],
)
def test_bytes_that_are_no_request_get_an_error(sent, status):
    """A client's slip is told to it, and not recorded as a request."""
    with FakeServer() as server:
        assert talk(server, sent).startswith(b"HTTP/1.1 %d " % status)
        assert server.calls == 0


def test_a_script_that_fails_is_told_on_leaving(client):
    """The client sees a 500, the test sees the exception."""
    server = FakeServer(lambda seen: seen.json["missing"])
    with pytest.raises(KeyError, match="missing"), server:
        assert client.post(f"{server.base_url}/chat/completions", json=ASK).status_code == 500


def test_it_ends_after_max_requests(client):
    """Then nobody listens any more."""
    with FakeServer(Reply("x"), max_requests=2) as server:
        url = f"{server.base_url}/chat/completions"
        assert [client.post(url, json=ASK).status_code for _ in range(2)] == [200, 200]

        def refused() -> bool:
            try:
                client.post(url, json=ASK)
            except httpx.TransportError:
                return True
            return False

        assert until(refused)
        assert server.calls == 2


def test_it_ends_after_its_lifetime():
    """A forgotten server goes away, with the connections it holds."""
    for lifetime in (0.05, 5.0):  # the longer one for a machine that needs the shorter one to get there
        with FakeServer(Fault.stall(at_event=0), lifetime=lifetime) as server, suppress(ConnectionError):
            assert b"HTTP/1.1 200" in talk(server, b"GET /v1/models HTTP/1.1\r\n\r\n")
            break
    server.stop()


def test_it_speaks_https(tmp_path):
    """With a certificate of the test's own, and it still sees who leaves."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make, *subject, *files], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with FakeServer([Reply("safe"), Fault.stall(at_event=1)], tls=tls) as server:
        url = f"{server.base_url}/chat/completions"
        with httpx.Client(verify=trusting, trust_env=False, timeout=PATIENCE) as client:
            assert client.post(url, json=ASK).json()["choices"][0]["message"]["content"] == "safe"
            with client.stream("POST", url, json={**ASK, "stream": True}) as answer:
                next(answer.iter_raw())
        assert until(lambda: server.closed_early == [2])


def test_both_entrances_can_share_one_provider(client):
    """What came over loopback and what came in process is one record."""
    provider = FakeProvider([Reply("one"), Reply("two")])
    with FakeServer(provider) as server:
        first = client.post(f"{server.base_url}/chat/completions", json=ASK)
    second = provider.client().post("http://fake.test/v1/chat/completions", json=ASK)
    assert [answer.json()["choices"][0]["message"]["content"] for answer in (first, second)] == ["one", "two"]
    assert provider.calls == 2
