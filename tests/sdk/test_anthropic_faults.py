"""The Anthropic SDK under a host, against the bare SDK: everything that goes wrong for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
import sdk_anthropic_calls as calls
from sdk_faults import FAULTS, OTHERWISE, WHEN_OPENED, cases
from sdk_lab import SDK_GENERATORS, Lab, private_folders

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
CALLS = [
    ("sync", calls.message),
    ("sync", calls.message_stream),
    ("sync", calls.stream_helper),
    ("sync", calls.models),
    ("asyncio", calls.message),
    ("asyncio", calls.stream_helper),
    ("trio", calls.message_stream),
]
STREAMS = ("message_stream", "stream_helper")


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private_folders(monkeypatch, tmp_path)


@pytest.mark.parametrize(("colour", "call", "fault"), cases(CALLS, STREAMS, OTHERWISE | WHEN_OPENED))
def test_what_goes_wrong_for_anthropic_goes_wrong_in_the_same_way(colour: str, call: Any, fault: str) -> None:
    """The same pieces, then the same exception with the same fields; without plugins the same requests as well."""
    lab = Lab(colour, httpx2, calls.make_client)
    got = lab.three(call, FAULTS[fault])
    assert got["no plugin"] == got["bare"]
    assert got["all plugins"].result == got["bare"].result


@pytest.mark.parametrize("fault", ["truncated JSON", "truncated JSON later"])
def test_an_anthropic_stream_that_we_call_broken_ends_in_the_http_modules_own_error(fault: str) -> None:
    """An event that is not JSON: what came before it came, then an error; the SDK lets errors of streams through."""
    got = Lab("sync", httpx2, calls.make_client).three(calls.message_stream, FAULTS[fault])
    bare, hosted = got["bare"], got["all plugins"]
    assert got["no plugin"] == bare
    assert hosted.result[0] == bare.result[0]
    assert hosted.raised is not None
    assert hosted.raised.kind == "httpx2.RemoteProtocolError"
    assert "not JSON" in hosted.raised.text


def test_an_answer_to_a_stream_that_is_none_breaks_when_it_is_opened() -> None:
    """It is read whole, so that what is wrong with it is known before anything is handed on."""
    got = Lab("sync", httpx2, calls.make_client).three(calls.message_stream, FAULTS["not gzip at all"])
    bare, hosted = got["bare"].raised, got["all plugins"].raised
    assert bare is not None
    assert hosted is not None
    assert (bare.kind, bare.cause) == ("httpx2.DecodingError", "zlib.error")
    assert (hosted.kind, hosted.cause) == ("anthropic.APIConnectionError", "httpx2.DecodingError")


@pytest.mark.parametrize("colour", ["sync", "asyncio"])
@pytest.mark.parametrize("fault", ["no terminal event but a finish"])
def test_an_anthropic_stream_that_only_lacks_its_last_event_is_handed_on_whole(colour: str, fault: str) -> None:
    """The finish reason came: what the bare SDK delivers is delivered."""
    got = Lab(colour, httpx2, calls.make_client).three(calls.message_stream, FAULTS[fault])
    assert got["no plugin"] == got["bare"]
    assert got["all plugins"].said[: len(got["bare"].said)] == got["bare"].said


@pytest.mark.parametrize("colour", ["sync", "asyncio"])
@pytest.mark.parametrize("fault", ["529", "reset before the head", "reset in the body", "error event"])
@pytest.mark.parametrize("call", [calls.message, calls.message_stream], ids=lambda call: call.__name__)
def test_anthropic_faults_on_a_real_socket_are_the_same(colour: str, fault: str, call: Any) -> None:
    """Over loopback, with real resets: the same requests on the same connections, and the same ends."""
    got = Lab(colour, httpx2, calls.make_client).three(call, FAULTS[fault], wire=True)
    assert got["no plugin"] == got["bare"]
    assert got["all plugins"].result == got["bare"].result
