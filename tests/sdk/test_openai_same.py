"""The OpenAI SDK under a host, against the bare SDK: healthy calls."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import httpx
import httpx2
import pytest
from sdk_lab import COLOURS, SDK_GENERATORS, Lab, private_folders, replayed
from sdk_openai_calls import HEALTHY, make_client

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]


NOT_CACHED = {
    "chat length": slice(None),
    "chat refusal": slice(None),
    "chat stream refusal": slice(None),
    "models": slice(None),
    "file upload": slice(None),
    "unknown addresses": slice(None),
    "responses tools": slice(1, None),
}
"""Which requests of a call go upstream again when it is made a second time.

An answer cut for its length is not whole, a refusal is no answer, and one that builds on state kept by the provider is
not the request's alone.
"""


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private_folders(monkeypatch, tmp_path)


@pytest.fixture(params=COLOURS)
def lab(request: pytest.FixtureRequest) -> Lab:
    """A laboratory in each colour."""
    return Lab(request.param, httpx2, make_client)


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize(
    ("colour", "module"),
    [*((colour, httpx2) for colour in COLOURS), ("sync", httpx), ("asyncio", httpx)],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_a_host_without_plugins_is_not_there(colour: str, module: ModuleType, name: str) -> None:
    """The server sees the same bytes on the same connections, and the program gets the same pieces."""
    call, script = HEALTHY[name]
    lab = Lab(colour, module, make_client)
    bare, hosted = (lab.run(call, script, roof=roof, wire=True) for roof in ("bare", "no plugin"))
    assert bare.said
    assert bare.raised is None
    assert hosted == bare


@pytest.mark.parametrize("name", HEALTHY)
def test_with_every_plugin_at_its_defaults_the_results_are_equal(lab: Lab, name: str) -> None:
    """The program gets the same objects, from the provider and then from a cache, for one request upstream."""
    call, script = HEALTHY[name]
    bare, twice = lab.run(call, script), lab.run(call, script, times=2)
    hosted = lab.run(call, script, roof="all plugins", times=2)
    once = len(bare.said)
    assert hosted.raised is None
    assert hosted.said[:once] == bare.said
    assert hosted.bodies == bare.bodies + bare.bodies[NOT_CACHED.get(name, slice(0))]
    if name not in NOT_CACHED:
        assert hosted.said[once:] == replayed(bare.said)
    elif NOT_CACHED[name] == slice(None):
        assert hosted.said[once:] == twice.said[once:]
