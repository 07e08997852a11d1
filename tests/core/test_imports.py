"""What a program imports when it imports us, makes a host and calls: nothing that it has no use for.

Each program runs in an interpreter of its own.  Reasons and figures: docs/decisions/033-imports-at-first-use.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from types import ModuleType

import pytest

RARE = {"anyio", "asyncio", "cattrs", "click", "difflib", "importlib_metadata", "platformdirs", "tomllib", "trio"}
"""What is slow to import and what few programs need."""

_CALL = """
def answer(request):
    said = {"choices": [{"message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}]}
    return httpx.Response(200, json=said)

client = host.wrap(httpx.Client(transport=httpx.MockTransport(answer)))
url = "https://api.openai.com/v1/chat/completions"
sent = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
assert client.post(url, json=sent, headers=headers).json()["choices"]
"""
_PLUGIN = """
from attrs import define
from clippy_hookspecs import hookimpl

@define(eq=False)
class Stamp:
    @hookimpl
    def pre_request(self, request, ctx):
        ctx.stash

host = Host({"stamp": Stamp()})
"""


def loaded_by(program: str) -> set[str]:
    """The modules that are there after *program* and were not there before, those of the standard install included."""
    code = f"import httpx, sys\nheaders = {{}}\nbefore = set(sys.modules)\n{program}\n"
    code += "import json\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert (made.returncode, made.stderr) == (0, ""), made.stderr
    return set(json.loads(made.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("import clippy_hookspecs", id="contract"),
        pytest.param("import clippy_core", id="package"),
        pytest.param("from clippy_core import Host", id="host class"),
        pytest.param("from clippy_core import Client", id="client class"),
        pytest.param("from clippy_core import Host; Host([])", id="host"),
        pytest.param(f"from clippy_core import Host; host = Host([]){_CALL}", id="call"),
    ],
)
def test_a_sync_program_loads_nothing_that_it_has_no_use_for(program: str) -> None:
    assert set() == RARE & loaded_by(program)


def test_a_call_with_a_plugin_needs_no_event_loop_either() -> None:
    """Only whose the plugin is (a scan) and where the salt of cache keys lies (the data folder) is looked up."""
    loaded = loaded_by(f"from clippy_core import Host{_PLUGIN}{_CALL}")
    assert {"importlib_metadata", "platformdirs"} == RARE & loaded
    assert "clippy_core.pipeline" in loaded


def test_importing_the_host_class_loads_neither_the_contract_nor_attrs() -> None:
    loaded = loaded_by("from clippy_core import Host")
    assert "clippy_core.host" in loaded
    assert set() == {"attrs", "pluggy", "clippy_hookspecs", "clippy_core.pipeline", "clippy_core.config"} & loaded


def test_without_plugins_a_request_passes_by_and_its_way_is_not_loaded() -> None:
    loaded = loaded_by(f"from clippy_core import Host; host = Host([]){_CALL}")
    assert set() == {"clippy_core.pipeline", "clippy_core.transports", "clippy_core.wire", "orjson"} & loaded


def test_a_host_with_plugins_has_loaded_the_way_of_its_requests_before_the_first_one() -> None:
    """So that the first request does not wait, and does not need files that an upgrade has replaced since."""
    before = loaded_by(f"from clippy_core import Host{_PLUGIN}")
    assert {"clippy_core.pipeline", "clippy_core.wire.openai_chat", "clippy_core.upstream"} <= before


def test_a_request_that_is_for_us_is_handled_by_a_host_without_plugins_too() -> None:
    """One of our headers never goes upstream, plugins or not; this is the first request that does not pass by."""
    told = "def answer(request):"
    call = _CALL.replace(told, f"{told}\n    assert 'x-clippy-user' not in request.headers")
    program = f"from clippy_core import Host; host = Host([]); headers = {{'X-Clippy-User': 'ann'}}{call}"
    assert "clippy_core.pipeline" in loaded_by(program)


def test_counting_tokens_loads_the_tables_at_the_first_count() -> None:
    host = "from clippy_core import Host; from clippy_hookspecs import TokenCounter; host = Host([])\n"
    ask = "counter = host.services.get(TokenCounter)\n"
    assert "clippy_core.token_pieces" not in loaded_by(host + ask)
    assert "clippy_core.token_pieces" in loaded_by(host + ask + "assert counter.count('Hello there') > 0")


def test_a_program_ends_without_a_word_while_hosts_and_transports_live() -> None:
    """The order in which an interpreter forgets its modules is theirs to survive."""
    loaded_by("from clippy_core import Host, transport; host = Host([]); under = transport(host)")


def test_an_http_module_that_another_thread_is_importing_stands_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is among the modules already, and has no classes yet."""
    import httpx

    from clippy_core.http_modules import module_of

    monkeypatch.setitem(sys.modules, "httpx", ModuleType("httpx"))
    assert module_of(None) is None
    assert module_of(httpx.Client) is None
    monkeypatch.undo()
    with httpx.Client() as client:
        assert module_of(client) is httpx
