"""The lives of clients and connections: copies, collection, threads, event loops."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import anyio
import httpx
import httpx2
import openai
import pytest
import sdk_openai_calls as gpt
from calling import Records
from sdk_colours import value
from sdk_lab import COLOURS, ROOFS, SDK_GENERATORS, Lab, private_folders, ssl_context

import clippy_core
from clippy_core.driven import drive
from clippy_core.testing import FakeProvider, FakeServer, Fault, Reply

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
ENDLESS = [Fault.stall(at_delta=3), Reply("Eins zwei drei vier fünf sechs")]
"""Three pieces, and then nothing for as long as the client waits."""


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private_folders(monkeypatch, tmp_path)


@pytest.fixture(params=[kind for kind in ROOFS if kind != "bare"])
def host(request: pytest.FixtureRequest) -> Iterator[clippy_core.Host]:
    """A host without plugins, and one with all."""
    made = Lab("sync", httpx2, gpt.make_client).host(request.param)
    assert made is not None
    with made:
        yield made


def new_openai(**settings: Any) -> openai.OpenAI:
    """A client whose HTTP client is the SDK's own kind, which closes itself when it is collected."""
    return openai.OpenAI(
        api_key="sk-test", max_retries=0, http_client=openai.DefaultHttpxClient(verify=ssl_context()), **settings
    )


STRICT: dict[str, Any] = {
    "timeout": 7.5, "max_retries": 5, "default_headers": {"X-A": "1"}, "default_query": {"q": "1"},
    "_strict_response_validation": True,
}  # fmt: skip
KINDS: dict[str, Any] = {
    "openai": lambda http: openai.OpenAI(api_key="k", organization="o", project="p", http_client=http, **STRICT),
    "openai key function": lambda http: openai.OpenAI(api_key=lambda: "k", http_client=http, **STRICT),
    "azure": lambda http: openai.AzureOpenAI(
        api_key="k", azure_endpoint="http://a", api_version="1", azure_deployment="d", http_client=http, **STRICT
    ),
    "anthropic": lambda http: anthropic.Anthropic(api_key="k", base_url="http://a/b", http_client=http, **STRICT),
    "anthropic token": lambda http: anthropic.Anthropic(auth_token="t", http_client=http, **STRICT),
    "bedrock": lambda http: anthropic.AnthropicBedrock(
        aws_access_key="a", aws_secret_key="s", aws_session_token="t", aws_region="r", http_client=http, **STRICT
    ),
    "vertex": lambda http: anthropic.AnthropicVertex(
        access_token="t", region="r", project_id="p", http_client=http, **STRICT
    ),
    "foundry": lambda http: anthropic.AnthropicFoundry(api_key="k", resource="r", http_client=http, **STRICT),
}  # fmt: skip
REBUILT = {"_client", "_otel", "_middleware_chain", "messages", "beta", "max_retries"}
"""What a copy has of its own: its HTTP client, what hangs on it, and the retries that a host may take over."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrapped_client_keeps_every_setting(kind: str, host: clippy_core.Host) -> None:
    """Each attribute of the SDK's client is equal in the copy."""
    with KINDS[kind](httpx2.Client(verify=ssl_context())) as client:
        wrapped = host.wrap(client)
        assert type(wrapped) is type(client)
        ours, theirs = vars(wrapped), vars(client)
        assert ours.keys() == theirs.keys()
        assert {name for name in ours if ours[name] != theirs[name]} <= REBUILT
        assert wrapped.max_retries == (0 if host.owns_retries else 5)


def test_the_original_client_is_untouched(host: clippy_core.Host) -> None:
    """The program's own client goes on without the host."""
    with FakeServer(Reply("Eins")) as server, new_openai(base_url=server.base_url) as client:
        before = client._client._transport
        wrapped = host.wrap(client)
        assert client._client._transport is before
        assert wrapped._client._transport is not before
        for _ in range(2):
            client.chat.completions.create(model="m", messages=gpt.ASKED)
        assert server.calls == 2
        assert len({seen.connection for seen in server.requests}) == 1


def test_both_clients_share_their_connections(host: clippy_core.Host) -> None:
    """A copy opens no second pool."""
    with FakeServer(Reply("Eins")) as server, new_openai(base_url=server.base_url) as client:
        client.models.list()
        host.wrap(client).models.list()
        client.models.list()
        assert {seen.connection for seen in server.requests} == {1}


def test_a_copy_of_a_wrapped_client_has_the_host_and_keeps_the_connections_open() -> None:
    """with_options on a wrapped client, after everything before it was collected."""
    records = Records()
    with FakeServer([ENDLESS]) as server, clippy_core.Host({"records": records}) as host:
        copied = host.wrap(openai.OpenAI(api_key="k", base_url=server.base_url)).with_options(timeout=5.0)
        stream = copied.chat.completions.create(model="m", messages=gpt.ASKED, stream=True)
        gc.collect()
        assert [next(stream).choices[0].delta.content for _ in range(4)] == ["", "Eins ", "zwei ", "drei "]
        stream.close()
        copied.close()
    assert records.outcomes == ["cancelled"]


def test_a_wrapped_async_client_does_not_close_its_connections_when_its_original_is_collected() -> None:
    """The SDK closes an HTTP client of its own in a task when it is collected: not under a stream of ours."""

    async def program(base_url: str) -> list[str | None]:
        host = clippy_core.Host({"records": Records()})
        client = host.wrap(openai.AsyncOpenAI(api_key="k", base_url=base_url)).with_options(timeout=5.0)
        stream = await client.chat.completions.create(model="m", messages=gpt.ASKED, stream=True)
        gc.collect()
        await asyncio.sleep(0)
        texts = [(await anext(stream)).choices[0].delta.content for _ in range(4)]
        await stream.close()
        await client.close()
        await host.aclose()
        return texts

    with FakeServer([ENDLESS]) as server:
        assert asyncio.run(program(server.base_url)) == ["", "Eins ", "zwei ", "drei "]


def _idle(client: Any) -> int:
    """The connections that a wrapped client's pool holds."""
    layer = client._client._transport
    while hasattr(layer, "inner"):
        layer = layer.inner
    return len(layer._pool.connections)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("own_http", [False, True], ids=["default http", "http_client"])
@pytest.mark.parametrize("colour", COLOURS)
def test_closing_the_only_client_there_is_closes_its_connections(colour: str, own_http: bool, layers: int) -> None:
    """client = host.wrap(OpenAI()), once or under two hosts: nobody holds the original, so nobody else closes it."""
    hosts = [clippy_core.Host({"records": Records()}) for _ in range(layers)]

    def new(base_url: str) -> Any:
        kind = openai.OpenAI if colour == "sync" else openai.AsyncOpenAI
        http = httpx2.Client if colour == "sync" else httpx2.AsyncClient
        settings = {"http_client": http(verify=ssl_context())} if own_http else {}
        client = kind(api_key="k", base_url=base_url, **settings)
        for host in hosts:
            client = host.wrap(client)
        return client

    async def program(base_url: str) -> None:
        client = new(base_url)
        await value(client.chat.completions.create(model="m", messages=gpt.ASKED))
        assert _idle(client) == 1
        await value(client.close())
        assert _idle(client) == 0
        await value(client.close())
        for host in hosts:
            await value(host.close() if colour == "sync" else host.aclose())

    with FakeServer(Reply("Eins")) as server:
        if colour == "sync":
            drive(program(server.base_url))
        else:
            anyio.run(program, server.base_url, backend=colour)


@pytest.mark.parametrize("times", [1, 2])
def test_closing_a_wrapped_client_leaves_an_original_that_is_in_use_alone(times: int, host: clippy_core.Host) -> None:
    """Also when it is closed twice."""
    with FakeServer(Reply("Eins")) as server, new_openai(base_url=server.base_url) as client:
        wrapped = host.wrap(client)
        wrapped.models.list()
        for _ in range(times):
            wrapped.close()
        client.models.list()
        assert {seen.connection for seen in server.requests} == {1}


def test_wrapping_twice_is_wrapping_once() -> None:
    """One host under a client answers once."""
    records = Records()
    provider = FakeProvider(Reply("Eins"))
    with clippy_core.Host({"records": records}) as host, provider.client(httpx2) as http:
        client = host.wrap(host.wrap(gpt.make_client("sync", base_url="http://fake.test", http_client=http)))
        client.models.list()
    assert len(records.records) == provider.calls == 1


def test_two_hosts_under_one_client_both_see_the_request() -> None:
    """The one that was put under first is the inner one."""
    records = Records(), Records()
    provider = FakeProvider(Reply("Eins"))
    inner, outer = (clippy_core.Host({"r": each}) for each in records)
    with inner, outer, provider.client(httpx2) as http:
        client = outer.wrap(inner.wrap(gpt.make_client("sync", base_url="http://fake.test", http_client=http)))
        client.chat.completions.create(model="m", messages=gpt.ASKED)
    assert [each.outcomes for each in records] == [["answered"], ["answered"]]


@pytest.mark.parametrize("module", [httpx, httpx2], ids=lambda module: module.__name__)
def test_a_bare_http_client_is_changed_in_place(module: Any, host: clippy_core.Host) -> None:
    """wrap returns the very client."""
    with module.Client(verify=ssl_context()) as http:
        assert host.wrap(http) is http


def test_a_class_of_an_sdk_is_no_client_of_it() -> None:
    """Forgotten parentheses are told as what they are."""
    with pytest.raises(TypeError, match=r"cannot wrap the class httpx2\S*Client; make .* first: host.wrap\(Client\("):
        clippy_core.Host([]).wrap(httpx2.Client)


def test_what_cannot_be_wrapped_says_what_can(host: clippy_core.Host) -> None:
    """Neither an SDK's client nor an HTTP client."""
    with pytest.raises(TypeError, match=r"cannot wrap an object of type builtins.str; .*clippy_core.transport\(host\)"):
        host.wrap("https://api.openai.com")


def test_a_client_of_ones_own_kind_that_cannot_be_copied_says_what_to_do(host: clippy_core.Host) -> None:
    """A subclass with arguments of its own: with_options of the SDK does not know them."""

    class Mine(openai.OpenAI):
        def __init__(self, http: Any) -> None:
            super().__init__(api_key="k", http_client=http)

    with httpx2.Client(verify=ssl_context()) as http, pytest.raises(TypeError, match=r"host.wrap\(http_client\)"):
        host.wrap(Mine(http))


def test_a_wrapped_client_is_used_by_many_threads_at_once(host: clippy_core.Host) -> None:
    """Eight threads, each with its own question and its own answer."""
    told: dict[int, str | None] = {}

    def ask(number: int) -> None:
        asked: Any = [{"role": "user", "content": f"number {number}"}]
        stream = client.chat.completions.create(model="m", messages=asked, stream=True)
        told[number] = "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    with FakeServer() as server, new_openai(base_url=server.base_url) as original:
        client = host.wrap(original)
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert told == {number: f"number {number}" for number in range(8)}


def test_a_wrapped_async_client_serves_one_event_loop_after_another(host: clippy_core.Host) -> None:
    """A program that calls asyncio.run twice, with a client for each."""

    async def program(base_url: str) -> str | None:
        async with openai.AsyncOpenAI(
            api_key="k", base_url=base_url, http_client=httpx2.AsyncClient(verify=ssl_context())
        ) as original:
            answer = await host.wrap(original).chat.completions.create(model="m", messages=gpt.ASKED)
            return answer.choices[0].message.content

    with FakeServer(Reply("Eins")) as server:
        assert [asyncio.run(program(server.base_url)) for _ in range(2)] == ["Eins", "Eins"]
