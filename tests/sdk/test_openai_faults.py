"""The OpenAI SDK under a host, against the bare SDK: everything that goes wrong for good."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
import sdk_openai_calls as calls
from sdk_faults import FAULTS
from sdk_lab import COLOURS, SDK_GENERATORS, Lab, private_folders

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
CALLS = {
    "chat": calls.chat,
    "chat stream": calls.chat_stream,
    "responses": calls.responses,
    "responses stream": calls.responses_stream,
    "embeddings": calls.embeddings,
    "models": calls.models,
    "file upload": calls.file_upload,
}


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private_folders(monkeypatch, tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("colour", COLOURS)
def test_what_goes_wrong_goes_wrong_in_the_same_way(colour: str, name: str, fault: str) -> None:
    """The same pieces, then the same exception with the same fields; without plugins the same requests as well."""
    lab = Lab(colour, httpx2, calls.make_client)
    got = lab.three(CALLS[name], FAULTS[fault])
    assert got["no plugin"] == got["bare"]
    assert got["all plugins"].result == got["bare"].result
