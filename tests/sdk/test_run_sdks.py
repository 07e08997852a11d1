"""``clippy run`` under the official SDKs: whatever client an unchanged program makes, its calls go through the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from running import Folder, Ran

from clippy_core.testing import FakeServer, Fault, Reply, Script

OPENAI = """
    import asyncio, sys
    import httpx2, openai

    ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}

    class Mine(openai.OpenAI):
        pass

    class Http(httpx2.Client):
        pass

    early = openai.AsyncOpenAI()
    clients = [openai, openai.OpenAI(), Mine(), openai.OpenAI().with_options(timeout=9),
               openai.OpenAI(http_client=Http()),
               openai.OpenAI(http_client=openai.DefaultHttpxClient(transport=httpx2.HTTPTransport()))]
    for client in clients:
        print(client.chat.completions.create(**ASKED).choices[0].message.content)
    for chunk in clients[1].chat.completions.create(**ASKED, stream=True):
        print(chunk.choices[0].delta.content or "", end="")
    print()
    print(clients[1].responses.create(model="m", input="Hi").output_text)
    print(clients[1].files.create(file=b"text", purpose="batch").object)

    async def main():
        async with early:
            print((await early.chat.completions.create(**ASKED)).choices[0].message.content)

    asyncio.run(main())
"""
ANTHROPIC = """
    import asyncio
    import anthropic

    ASKED = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    early = anthropic.AsyncAnthropic()
    print(anthropic.Anthropic().messages.create(**ASKED).content[0].text)
    with anthropic.Anthropic().messages.stream(**ASKED) as stream:
        print("".join(stream.text_stream))

    async def main():
        async with early:
            print((await early.messages.create(**ASKED)).content[0].text)

    asyncio.run(main())
"""
RETRIES = """
    import sys
    import anthropic, openai

    ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    for kind, address in (case.split("=") for case in sys.argv[1:]):
        if kind == "openai":
            client = openai.OpenAI(base_url=address)
            call = client.chat.completions.create
        elif kind == "module":
            client, openai.base_url = openai, address
            call = openai.chat.completions.create
        else:
            client = anthropic.Anthropic(base_url=address, max_retries=3)
            call = lambda **asked: client.messages.create(**asked, max_tokens=9)
        try:
            call(**ASKED)
        except Exception as error:
            print(kind, type(error).__name__, client.max_retries)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """With three plugins, but where a test is about everything that is installed."""
    return Folder(tmp_path, "cache-memory,errors,retry")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(Reply("Hello")) as made:
        yield made


def addresses(server: FakeServer) -> dict[str, str]:
    """The variables in which both SDKs look for an address."""
    return {"OPENAI_BASE_URL": server.base_url, "ANTHROPIC_BASE_URL": server.origin}


def test_an_unchanged_program_with_openai(folder: Folder, server: FakeServer) -> None:
    """The module's own client, subclasses, clients with an HTTP client or a transport, streams, uploads, async."""
    folder.plugins = ""
    folder.write("program.py", OPENAI)
    ran = folder.answered("program.py", environ=addresses(server))
    assert ran.out == "Hello\n" * 8 + "file\n" + "Hello\n"
    outcomes = [one["outcome"] for one in ran.traced]
    assert outcomes == ["answered"] + ["cached"] * 6 + ["answered", "answered", "cached"]
    assert [one["target"] for one in ran.traced][7:9] == ["openai.responses", "POST 127.0.0.1"]
    assert server.calls == 3


def test_an_unchanged_program_with_anthropic(folder: Folder, server: FakeServer) -> None:
    """Plain, streamed, async."""
    folder.write("program.py", ANTHROPIC)
    ran = folder.answered("program.py", environ=addresses(server))
    assert ran.out == "Hello\n" * 3
    assert [one["outcome"] for one in ran.traced] == ["answered", "cached", "cached"]
    assert server.calls == 1


def retries(folder: Folder, faults: Sequence[tuple[str, Fault]]) -> tuple[Ran, list[int]]:
    """One program that calls each of the *faults* by a kind of client; how often each was asked."""
    folder.write("program.py", RETRIES)
    with ExitStack() as stack:
        failing = [(kind, stack.enter_context(FakeServer(Script(then=fault)))) for kind, fault in faults]
        of = {"anthropic": lambda server: server.origin}
        cases = [f"{kind}={of.get(kind, lambda server: server.base_url)(server)}" for kind, server in failing]
        return folder.answered("program.py", *cases), [server.calls for _, server in failing]


def test_who_retries_is_the_plugin_alone(folder: Folder) -> None:
    """The SDK's own retries are silenced, whatever was asked of it, and its exception is what it would be."""
    folder.write("clippy.toml", "[plugins.retry]\nattempts = 4\nbase = 0.0\n")
    status, reset = Fault.status(500), Fault.reset()
    cases = [("openai", status), ("openai", reset), ("module", reset), ("anthropic", status), ("anthropic", reset)]
    ran, calls = retries(folder, cases)
    raised = {status: "InternalServerError", reset: "APIConnectionError"}
    assert ran.out == "".join(f"{client} {raised[fault]} 0\n" for client, fault in cases)
    assert calls == [4] * 5
    assert [(one["outcome"], len(one["attempts"])) for one in ran.traced] == [("failed", 4)] * 5


def test_without_a_plugin_that_retries_the_sdk_keeps_its_own_retries(folder: Folder) -> None:
    """Nothing is taken away that nobody takes over."""
    folder.write("clippy.toml", "disable = ['retry']\n")
    fault = Fault.status(500, headers=[("retry-after-ms", "1")])
    ran, calls = retries(folder, [("openai", fault), ("anthropic", fault)])
    assert ran.out == "openai InternalServerError 2\nanthropic InternalServerError 3\n"
    assert calls == [2 + 1, 3 + 1]


def test_an_upload_is_sent_again_as_its_sdk_would_have(folder: Folder) -> None:
    """With a copy of the client, too."""
    folder.write("clippy.toml", "[plugins.retry]\nbase = 0.0\n")
    folder.write(
        "program.py",
        """
        import openai

        print(openai.OpenAI().with_options(timeout=9).files.create(file=b"text", purpose="batch").object)
        """,
    )
    with FakeServer(Script(Fault.status(503), then=Reply("Hello"))) as failing:
        assert folder.answered("program.py", environ=addresses(failing)).out == "file\n"
        assert failing.calls == 2


def test_a_program_that_wraps_its_client_has_one_host_under_it(folder: Folder, server: FakeServer) -> None:
    """Its own: a call leaves one record."""
    folder.write(
        "program.py",
        """
        import clippy_core, openai

        host = clippy_core.Host.from_config()
        for client in (host.wrap(openai.OpenAI()), openai.OpenAI(http_client=host.wrap(openai.DefaultHttpxClient()))):
            said = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
            print(said.choices[0].message.content, client.max_retries)
        """,
    )
    ran = folder.answered("program.py", environ=addresses(server))
    assert ran.out == "Hello 0\nHello 0\n"
    assert [one["outcome"] for one in ran.traced] == ["answered", "cached"]
