"""Who repeats a failed request: the SDK alone, the host alone, never both."""

from __future__ import annotations

import gc
import io
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sdk_anthropic_calls as claude
import sdk_openai_calls as gpt
from sdk_colours import value
from sdk_lab import SDK_GENERATORS, Lab, private_folders, ssl_context

import clippy_core
from clippy_core.testing import Fault, Reply, Script

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
OURS = 6
"""Attempts of the retry plugin at its defaults."""

BARE = 3
"""Attempts of an SDK at its defaults."""

FOREVER = {
    "503": Fault.status(503),
    "429": Fault.status(429, retry_after=0.1),
    "reset": Fault.reset(),
    "connect error": Fault.connect_error(),
    "read timeout": Fault.read_timeout(),
    "reset in the body": [Fault.reset(at_event=0), Reply("Eins")],
}
ONCE = {
    "503": Fault.status(503),
    "429 with a wait": Fault.status(429, retry_after=0.1),
    "529": Fault.status(529),
    "408": Fault.status(408),
    "500": Fault.status(500),
    "reset": Fault.reset(),
    "hangup": Fault.hangup(),
    "connect error": Fault.connect_error(),
    "connect timeout": Fault.connect_timeout(),
    "read timeout": Fault.read_timeout(),
}
MAKERS = {"openai": gpt.make_client, "anthropic": claude.make_client}
CALLS: dict[str, dict[str, Any]] = {
    "openai": {"plain": gpt.chat, "stream": gpt.chat_stream},
    "anthropic": {"plain": claude.message, "stream": claude.message_stream},
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The SDKs wait for nothing between their tries, and nobody writes outside the test's folder."""
    private_folders(monkeypatch, tmp_path)
    for sdk in ("openai", "anthropic"):
        monkeypatch.setattr(f"{sdk}._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0.0)


@pytest.mark.parametrize("fault", FOREVER)
@pytest.mark.parametrize("how", ["plain", "stream"])
@pytest.mark.parametrize(("sdk", "colour"), [("openai", "sync"), ("openai", "asyncio"), ("anthropic", "sync")])
def test_under_a_wrapped_client_exactly_our_retries_happen(sdk: str, colour: str, how: str, fault: str) -> None:
    """The SDK's default of two retries, and ours of five: six requests, and the SDK's own exception at the end."""
    lab = Lab(colour, httpx2, MAKERS[sdk])
    got = lab.three(CALLS[sdk][how], Script(then=FOREVER[fault]), max_retries=2, timeout=5.0)
    breaks_while_read = how == "stream" and fault == "reset in the body"
    assert len(got["bare"].requests) == (1 if breaks_while_read else BARE)
    assert got["no plugin"] == got["bare"]
    assert len(got["all plugins"].requests) == OURS
    assert got["all plugins"].raised is not None
    if not breaks_while_read:
        assert got["all plugins"].result == got["bare"].result


@pytest.mark.parametrize("fault", FOREVER)
@pytest.mark.parametrize("how", ["plain", "stream"])
@pytest.mark.parametrize("sdk", MAKERS)
@pytest.mark.parametrize("colour", ["sync", "asyncio"])
def test_a_transport_of_ours_under_an_sdk_with_retries_does_not_multiply(
    colour: str, sdk: str, how: str, fault: str
) -> None:
    """What we gave up on is not sent again, although the SDK asks for it twice more."""
    lab = Lab(colour, httpx2, MAKERS[sdk])
    script = Script(then=FOREVER[fault])
    got = lab.run(CALLS[sdk][how], script, roof="all plugins", by="transport", max_retries=2, timeout=5.0)
    assert got.raised is not None
    assert len(got.requests) == OURS


@pytest.mark.parametrize("fault", ONCE)
@pytest.mark.parametrize("sdk", MAKERS)
@pytest.mark.parametrize("how", ["plain", "stream"])
def test_a_passing_fault_is_repaired_with_the_same_result(sdk: str, how: str, fault: str) -> None:
    """The second attempt answers, whoever makes it."""
    lab = Lab("sync", httpx2, MAKERS[sdk])
    got = lab.three(CALLS[sdk][how], Script(ONCE[fault], then=Reply("Eins zwei")), max_retries=2, timeout=5.0)
    assert got["bare"].raised is None
    assert got["no plugin"] == got["bare"]
    assert got["all plugins"].said == got["bare"].said
    assert len(got["all plugins"].requests) == len(got["bare"].requests) == 2


async def batch(client: Any, say: Any) -> None:
    say(await value(client.batches.create(input_file_id="f", endpoint="/v1/chat/completions", completion_window="24h")))


async def deletion(client: Any, say: Any) -> None:
    say(await value(client.files.delete("file-1")))


async def upload_from_disk(client: Any, say: Any) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b'{"a": 1}\n' * 30_000)
        file.seek(9)
        say(await value(client.files.create(file=("a.jsonl", file), purpose="batch")))


async def speech(client: Any, say: Any) -> None:
    say(await value(client.audio.transcriptions.create(file=("a.wav", b"RIFF" * 999), model="whisper-1")))


OTHER = [gpt.responses, gpt.responses_stream, gpt.embeddings, gpt.models]
UNKNOWN = [gpt.file_upload, upload_from_disk, speech, batch, deletion]


@pytest.mark.parametrize("call", [*OTHER, *UNKNOWN], ids=lambda c: c.__name__)
@pytest.mark.parametrize("fault", ["503", "429 with a wait", "reset", "connect error", "read timeout"])
@pytest.mark.parametrize("colour", ["sync", "asyncio"])
def test_other_addresses_recover_from_a_passing_fault_as_well(colour: str, fault: str, call: Any) -> None:
    """Whatever the bare SDK would have sent again: an upload from memory or disk, a batch, a deletion."""
    script = Script(ONCE[fault], then=Reply("Eins"))
    got = Lab(colour, httpx2, gpt.make_client).three(call, script, max_retries=2)
    assert len(got["bare"].requests) == len(got["all plugins"].requests) >= 2
    assert got["all plugins"].result == got["bare"].result
    assert got["all plugins"].bodies == got["bare"].bodies


@pytest.mark.parametrize("call", UNKNOWN, ids=lambda c: c.__name__)
@pytest.mark.parametrize("fault", ["503", "reset"])
@pytest.mark.parametrize("retries", [0, 1, 2])
def test_what_may_do_harm_twice_is_sent_as_often_as_the_bare_sdk_would(retries: int, fault: str, call: Any) -> None:
    """The host takes an SDK's retries over; it adds none where a second sending may be a second order."""
    got = Lab("sync", httpx2, gpt.make_client).three(call, Script(then=FOREVER[fault]), max_retries=retries)
    assert len(got["bare"].requests) == retries + 1
    assert len(got["all plugins"].requests) == retries + 1
    assert got["all plugins"].result == got["bare"].result


@pytest.mark.parametrize("call", [*UNKNOWN, gpt.models], ids=lambda c: c.__name__)
@pytest.mark.parametrize("fault", ["503", "reset"])
def test_retries_asked_for_later_do_not_multiply_those_of_an_upload(fault: str, call: Any) -> None:
    """with_options(max_retries=2) on a wrapped client: what the host gave up on is not sent again."""

    async def later(client: Any, say: Any) -> None:
        await call(client.with_options(max_retries=2), say)

    got = Lab("sync", httpx2, gpt.make_client).run(later, Script(then=FOREVER[fault]), roof="all plugins")
    assert len(got.requests) == (OURS if call is gpt.models else BARE)


def test_an_upload_that_cannot_be_read_again_is_sent_once() -> None:
    """As by the bare SDK: what a generator gave cannot be had back."""

    async def generated(client: Any, say: Any) -> None:
        pieces = (b"piece" for _ in range(3))
        say(await value(client.post("/v1/echo", cast_to=httpx2.Response, content=pieces)))

    got = Lab("sync", httpx2, gpt.make_client).three(generated, Script(Fault.status(503)), max_retries=2)
    assert [len(got[roof].requests) for roof in got] == [1, 1, 1]
    assert got["all plugins"].result == got["bare"].result


def test_a_file_that_was_closed_meanwhile_leaves_the_caller_the_providers_failure() -> None:
    """As the bare SDK: what can no longer be read is not sent again."""

    async def closed(client: Any, say: Any) -> None:
        file = io.BytesIO(b"sent" * 9)
        real = file.read

        def read(size: int = -1) -> bytes:
            piece = real(size)
            if not piece:
                file.close()
            return piece

        file.read = read  # type: ignore[method-assign]
        say((await value(client.post("/v1/echo", cast_to=httpx2.Response, content=file))).content)

    got = Lab("sync", httpx2, gpt.make_client).three(closed, Script(then=Fault.status(503)), max_retries=2)
    assert [len(got[roof].requests) for roof in got] == [1, 1, 1]
    assert got["all plugins"].result == got["bare"].result


def test_a_file_sent_as_it_is_is_sent_again_from_where_it_stood() -> None:
    """The second attempt begins where the first did, not at the end and not at the file's start."""

    async def raw(client: Any, say: Any) -> None:
        file = io.BytesIO(b"skipped" + b"sent" * 50_000)
        file.seek(7)
        say((await value(client.post("/v1/echo", cast_to=httpx2.Response, content=file))).content)

    got = Lab("sync", httpx2, gpt.make_client).three(raw, Script(Fault.status(503)), max_retries=2)
    assert len(got["all plugins"].requests) == 2
    assert got["all plugins"].bodies == got["bare"].bodies == [b"sent" * 50_000] * 2


def test_without_a_plugin_that_retries_the_sdk_keeps_its_own_retries() -> None:
    """wrap takes over what somebody owns, and nothing else."""
    client = gpt.make_client(
        "sync", base_url="http://fake.test", http_client=httpx2.Client(verify=ssl_context()), max_retries=4
    )
    with client:
        assert clippy_core.Host().wrap(client).max_retries == 4
        wrapped = Lab("sync", httpx2, gpt.make_client).host("all plugins").wrap(client)  # type: ignore[union-attr]
        assert (wrapped.max_retries, client.max_retries) == (0, 4)


@pytest.mark.parametrize("sdk", MAKERS)
def test_retries_that_a_program_asks_for_later_do_not_multiply(sdk: str) -> None:
    """with_options(max_retries=2) on a wrapped client: the SDK asks again, and gets the same failure at once."""

    async def call(client: Any, say: Any) -> None:
        await CALLS[sdk]["plain"](client.with_options(max_retries=2), say)

    got = Lab("sync", httpx2, MAKERS[sdk]).run(call, Script(then=Fault.reset()), roof="all plugins")
    assert len(got.requests) == OURS
    assert got.raised is not None


def test_the_same_question_asked_anew_is_a_request_of_its_own() -> None:
    """Giving up is remembered for the SDK's retries, not for the program."""

    async def call(client: Any, say: Any) -> None:
        for _ in range(2):
            try:
                say(await value(client.chat.completions.create(model="m", messages=gpt.ASKED)))
            except Exception as error:
                say(type(error).__name__)

    script = Script(*[Fault.status(503)] * OURS, then=Reply("Eins"))
    got = Lab("sync", httpx2, gpt.make_client).run(call, script, roof="all plugins", max_retries=2)
    assert got.said[0] == "InternalServerError"
    assert got.said[1]["choices"][0]["message"]["content"] == "Eins"
    assert len(got.requests) == OURS + 1


def test_an_sdk_over_an_http_client_that_was_wrapped_before_loses_no_retry_of_an_upload() -> None:
    """Its retries are taken over although the host is under that HTTP client already, and not twice."""

    for first in (False, True):
        asked: list[int] = []

        def busy(request: httpx2.Request, asked: list[int] = asked) -> httpx2.Response:
            asked.append(len(request.read()))
            return httpx2.Response(503, json={"error": {"message": "busy"}})

        host = Lab("sync", httpx2, gpt.make_client).host("all plugins")
        assert host is not None
        http = httpx2.Client(transport=httpx2.MockTransport(busy))
        if first:
            host.wrap(http)
        client = host.wrap(gpt.make_client("sync", base_url="http://fake.test", http_client=http, max_retries=2))
        with pytest.raises(Exception, match="busy"):
            client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
        assert len(asked) == BARE


def test_an_upload_that_is_repeated_does_not_get_the_failure_of_one_of_another_size() -> None:
    """Both have the same address and key, and their bodies are not read; their lengths tell them apart."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if b"too large" in request.read():
            return httpx2.Response(413, json={"error": {"message": "too large"}})
        return httpx2.Response(200, json={"id": "file-1", "object": "file"})

    host = Lab("sync", httpx2, gpt.make_client).host("all plugins")
    assert host is not None
    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = host.wrap(gpt.make_client("sync", base_url="http://fake.test", http_client=http, max_retries=2))
    with pytest.raises(Exception, match="too large"):
        client.files.create(file=("a.jsonl", b"too large"), purpose="batch")
    again = {"x-stainless-retry-count": "1"}
    assert client.files.create(file=("a.jsonl", b"{}"), purpose="batch", extra_headers=again).id == "file-1"


def test_an_upload_that_is_repeated_does_not_get_the_failure_of_another_of_its_size() -> None:
    """Two callers at once: the tries of one call are made by one thread."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if b"bad" in request.read():
            return httpx2.Response(413, json={"error": {"message": "too large"}})
        return httpx2.Response(200, json={"id": "file-1", "object": "file"})

    host = Lab("sync", httpx2, gpt.make_client).host("all plugins")
    assert host is not None
    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = host.wrap(gpt.make_client("sync", base_url="http://fake.test", http_client=http, max_retries=2))
    again = {"x-stainless-retry-count": "1"}

    def other() -> str:
        return client.files.create(file=("a.jsonl", b"bad"), purpose="batch", extra_headers=again).id

    def good() -> str:
        return client.files.create(file=("a.jsonl", b"yes"), purpose="batch", extra_headers=again).id

    with pytest.raises(Exception, match="too large"):
        other()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(good).result() == "file-1"
    with pytest.raises(Exception, match="too large"):
        good()  # the same thread, which says that it repeats: that is what it sent before


def test_what_was_given_up_on_is_remembered_without_what_it_was_made_of() -> None:
    """Neither frames nor requests, which hold bodies; who repeats gets an exception of the same kind and words."""
    held: list[weakref.ref[Any]] = []

    def broken(request: httpx2.Request) -> httpx2.Response:
        held.append(weakref.ref(request))
        raise httpx2.ConnectError("nobody there", request=request)

    host = Lab("sync", httpx2, gpt.make_client).host("all plugins")
    assert host is not None
    client = host.wrap(httpx2.Client(transport=httpx2.MockTransport(broken)))

    def ask(tries: int) -> tuple[type[BaseException], str, bool]:
        body = {"model": "m", "messages": gpt.ASKED}
        try:
            client.post(
                "http://fake.test/v1/chat/completions", json=body, headers={"x-stainless-retry-count": str(tries)}
            )
        except httpx2.HTTPError as error:
            return type(error), str(error), error.request is not None
        raise AssertionError("it did not fail")

    assert ask(0) == ask(1) == ask(2) == (httpx2.ConnectError, "nobody there", True)
    gc.collect()
    assert len(held) == OURS
    assert [one for one in held if one() is not None] == []
