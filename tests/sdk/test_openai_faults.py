"""The OpenAI SDK under a host, against the bare SDK: everything that goes wrong for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
import sdk_openai_calls as calls
from sdk_faults import FAULTS, OTHERWISE, cases
from sdk_lab import SDK_GENERATORS, Lab, private_folders

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
CALLS = [
    ("sync", calls.chat),
    ("sync", calls.chat_stream),
    ("sync", calls.responses),
    ("sync", calls.responses_stream),
    ("sync", calls.embeddings),
    ("sync", calls.models),
    ("sync", calls.file_upload),
    ("asyncio", calls.chat),
    ("asyncio", calls.responses_stream),
    ("trio", calls.chat_stream),
]
STREAMS = ("chat_stream", "responses_stream")


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private_folders(monkeypatch, tmp_path)


@pytest.mark.parametrize(("colour", "call", "fault"), cases(CALLS, STREAMS))
def test_what_goes_wrong_goes_wrong_in_the_same_way(colour: str, call: Any, fault: str) -> None:
    """The same pieces, then the same exception with the same fields; without plugins the same requests as well."""
    lab = Lab(colour, httpx2, calls.make_client)
    got = lab.three(call, FAULTS[fault])
    assert got["no plugin"] == got["bare"]
    assert got["all plugins"].result == got["bare"].result


@pytest.mark.parametrize("fault", sorted(OTHERWISE))
@pytest.mark.parametrize("call", [calls.chat_stream, calls.responses_stream], ids=lambda call: call.__name__)
def test_a_stream_that_we_call_broken_ends_in_the_sdks_own_connection_error(call: Any, fault: str) -> None:
    """An event that is not JSON, an end without the terminal event: what came before it came, then an error."""
    lab = Lab("sync", httpx2, calls.make_client)
    got = lab.three(call, FAULTS[fault])
    bare, hosted = got["bare"], got["all plugins"]
    assert got["no plugin"] == bare
    assert hosted.result[0] == bare.result[0]
    if call is calls.chat_stream and fault == "no terminal event but a finish":
        assert hosted.raised is None
    else:
        assert hosted.raised is not None
        assert (hosted.raised.kind, hosted.raised.cause) == ("openai.APIConnectionError", "httpx2.RemoteProtocolError")


@pytest.mark.parametrize("colour", ["sync", "asyncio"])
@pytest.mark.parametrize(
    "fault", ["500", "429", "reset before the head", "hangup before the head", "reset in the body", "error event"]
)
@pytest.mark.parametrize("call", [calls.chat, calls.chat_stream], ids=lambda call: call.__name__)
def test_faults_on_a_real_socket_are_the_same(colour: str, fault: str, call: Any) -> None:
    """Over loopback, with real resets: the same requests on the same connections, and the same ends."""
    got = Lab(colour, httpx2, calls.make_client).three(call, FAULTS[fault], wire=True)
    assert got["no plugin"] == got["bare"]
    assert got["all plugins"].result == got["bare"].result
