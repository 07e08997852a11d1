"""The Anthropic SDK under a host, against the bare SDK: healthy calls."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from sdk_anthropic_calls import HEALTHY, make_client
from sdk_lab import COLOURS, SDK_GENERATORS, Lab, private_folders, replayed

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
ALL = slice(None)
AGAIN = {"length": ALL, "message refusal": ALL, "models": ALL, "unknown addresses": ALL}
"""Calls that go upstream again when they are made a second time: what is not whole, and what is not chat."""


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private_folders(monkeypatch, tmp_path)


@pytest.fixture(params=COLOURS)
def lab(request: pytest.FixtureRequest) -> Lab:
    """A laboratory in each colour."""
    return Lab(request.param, httpx2, make_client)


@pytest.mark.parametrize("name", HEALTHY)
def test_a_host_without_plugins_is_not_there_for_anthropic(lab: Lab, name: str) -> None:
    """The server sees the same bytes on the same connections, and the program gets the same pieces."""
    call, script = HEALTHY[name]
    bare, hosted = (lab.run(call, script, roof=roof, wire=True) for roof in ("bare", "no plugin"))
    assert bare.said
    assert bare.raised is None
    assert hosted == bare


@pytest.mark.parametrize("name", HEALTHY)
def test_with_every_plugin_at_its_defaults_anthropic_results_are_equal(lab: Lab, name: str) -> None:
    """The program gets the same objects, from the provider and then from a cache."""
    call, script = HEALTHY[name]
    bare, twice = lab.run(call, script), lab.run(call, script, times=2)
    hosted = lab.run(call, script, roof="all plugins", times=2)
    once = len(bare.said)
    assert hosted.raised is None
    assert hosted.said[:once] == bare.said
    assert hosted.bodies == bare.bodies + bare.bodies[AGAIN.get(name, slice(0))]
    assert hosted.said[once:] == (twice.said[once:] if name in AGAIN else replayed(bare.said))
