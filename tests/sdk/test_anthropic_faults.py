"""The Anthropic SDK under a host, against the bare SDK: everything that goes wrong for good."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
import sdk_anthropic_calls as calls
from sdk_faults import FAULTS
from sdk_lab import SDK_GENERATORS, Lab, private_folders

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
CASES = [
    ("sync", calls.message),
    ("sync", calls.message_stream),
    ("sync", calls.stream_helper),
    ("sync", calls.models),
    ("asyncio", calls.message),
    ("asyncio", calls.stream_helper),
    ("trio", calls.message_stream),
]


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private_folders(monkeypatch, tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("colour", "call"), CASES, ids=lambda part: getattr(part, "__name__", part))
def test_what_goes_wrong_for_anthropic_goes_wrong_in_the_same_way(colour: str, call: object, fault: str) -> None:
    """The same pieces, then the same exception with the same fields; without plugins the same requests as well."""
    lab = Lab(colour, httpx2, calls.make_client)
    got = lab.three(call, FAULTS[fault])
    assert got["no plugin"] == got["bare"]
    assert got["all plugins"].result == got["bare"].result
