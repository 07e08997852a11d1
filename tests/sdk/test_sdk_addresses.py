"""Other addresses and credentials of the same APIs: Azure, Bedrock, Vertex, Foundry, and signed requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
import sdk_anthropic_calls as claude
import sdk_openai_calls as gpt
from sdk_colours import value
from sdk_lab import SDK_GENERATORS, Got, Lab, private_folders

from clippy_core.testing import Raw, Reply

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
COLOURS = ("sync", "asyncio")


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private_folders(monkeypatch, tmp_path)


def alike(got: dict[str, Got]) -> Got:
    """The bare run, after it was compared with the others."""
    assert got["bare"].requests
    assert got["no plugin"] == got["bare"]
    assert got["all plugins"].result == got["bare"].result
    return got["bare"]


def azure(colour: str, *, base_url: str, http_client: Any, **settings: Any) -> Any:
    """An Azure client."""
    kind = openai.AzureOpenAI if colour == "sync" else openai.AsyncAzureOpenAI
    return kind(
        api_key="az-key", azure_endpoint=base_url, api_version="2026-10-01", http_client=http_client, max_retries=0,
        **settings,
    )  # fmt: skip


@pytest.mark.parametrize("settings", [{}, {"azure_deployment": "my-deployment"}], ids=["model", "deployment"])
@pytest.mark.parametrize(
    "call", [gpt.chat, gpt.chat_stream, gpt.responses_stream, gpt.responses], ids=lambda c: c.__name__
)
@pytest.mark.parametrize("colour", COLOURS)
def test_azure_addresses_stay(colour: str, call: Any, settings: dict[str, Any]) -> None:
    """The deployment in the path, the version in the query, the key in Azure's header."""
    bare = alike(Lab(colour, httpx2, azure).three(call, Reply("Eins zwei"), wire=True, **settings))
    assert bare.raised is None
    assert b"?api-version=2026-10-01 HTTP/1.1\r\n" in bare.requests[0]
    assert b"\r\napi-key: az-key\r\n" in bare.requests[0]


def test_azure_answers_are_cached_and_its_addresses_with_a_deployment_are_known() -> None:
    """Chat under a deployment's path is chat."""
    got = Lab("sync", httpx2, azure).run(gpt.chat_stream, roof="all plugins", times=2, azure_deployment="mine")
    assert len(got.requests) == 1


BEDROCK_ANSWER = Raw(
    b'{"id":"msg_bdrk_1","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"Hi"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}'
)
CLOUDS: dict[str, tuple[Any, Any, dict[str, Any], bytes]] = {
    "bedrock": (
        anthropic.AnthropicBedrock, anthropic.AsyncAnthropicBedrock,
        {"api_key": "bedrock-key", "aws_region": "eu-central-1"}, b"POST /model/claude-fake/invoke HTTP/1.1\r\n",
    ),
    "vertex": (
        anthropic.AnthropicVertex, anthropic.AsyncAnthropicVertex,
        {"access_token": "ya29.token", "region": "europe-west1", "project_id": "p"},
        b"POST /projects/p/locations/europe-west1/publishers/anthropic/models/claude-fake:rawPredict HTTP/1.1\r\n",
    ),
    "foundry": (
        anthropic.AnthropicFoundry, anthropic.AsyncAnthropicFoundry,
        {"api_key": "foundry-key"}, b"POST /v1/messages HTTP/1.1\r\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("colour", COLOURS)
def test_bedrock_vertex_and_foundry_addresses_stay(colour: str, cloud: str) -> None:
    """Another path, other credentials, and the same bytes."""
    sync_kind, async_kind, own, opening = CLOUDS[cloud]

    def make_client(colour: str, *, base_url: str, http_client: Any) -> Any:
        kind = sync_kind if colour == "sync" else async_kind
        return kind(base_url=base_url, http_client=http_client, max_retries=0, **own)

    async def call(client: Any, say: Any) -> None:
        say(await value(client.messages.create(**claude.BASIC)))

    bare = alike(Lab(colour, httpx2, make_client).three(call, BEDROCK_ANSWER, wire=True))
    assert bare.raised is None
    assert bare.requests[0].startswith(opening)


def test_bedrocks_binary_event_stream_passes_as_it_is() -> None:
    """Frames of AWS are not ours to decode; every plugin lets them through byte by byte."""
    frames = [bytes(range(256)), b"\0\0\0\x10:event-type", b"data: {not sse}\n\n", b"\xff" * 50]
    media = (("content-type", "application/vnd.amazon.eventstream"),)

    async def call(client: Any, say: Any) -> None:
        with client.stream("POST", "/model/claude/invoke-with-response-stream", json={"a": 1}) as answer:
            say([answer.status_code, dict(answer.headers), list(answer.iter_raw())])

    def make_client(colour: str, *, base_url: str, http_client: Any) -> Any:
        http_client.base_url = base_url
        return http_client

    got = Lab("sync", httpx2, make_client).three(call, Raw(frames, headers=media))
    assert got["bare"].said[0][2] == frames
    assert got["all plugins"].said == got["no plugin"].said == got["bare"].said


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20261122/eu-central-1/bedrock/aws4_request, Signature=0"},
        {"content-digest": "sha-256=:abc=:", "signature-input": 'sig=("content-digest")', "signature": "sig=:abc=:"},
    ],
    ids=["sigv4", "http signature"],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/model/claude/invoke"])
def test_a_signed_request_leaves_as_it_came_under_every_plugin(path: str, headers: dict[str, str]) -> None:
    """Its bytes and headers are under a signature: even accept-encoding stays."""

    async def call(client: Any, say: Any) -> None:
        body = b'{"model": "m",  "messages": [{"role": "user", "content": "Gr\xc3\xbc\xc3\x9fe"}], "max_tokens": 10}'
        answer = client.post(path, content=body, headers={**headers, "Accept-Encoding": "zstd, br, gzip"})
        say([answer.status_code, answer.content])

    def make_client(colour: str, *, base_url: str, http_client: Any) -> Any:
        http_client.base_url = base_url
        return http_client

    got = Lab("sync", httpx2, make_client).three(call, Reply("Eins"), wire=True)
    assert got["bare"].requests
    assert got["all plugins"].requests == got["no plugin"].requests == got["bare"].requests
    assert got["all plugins"].said == got["bare"].said
