"""Our rows in the peers' harness: each does the one thing that it is named for, once, and its check can fail.

The harness itself is not in this repository.  ``PEERS_HARNESS`` says where it is; without it ours stands in for it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from benchmarks.peers import __main__ as command
from benchmarks.peers import adapter, calls, tables
from benchmarks.peers.reach import Reach
from clippy_core.testing.canned import PIECES, PLAIN, CannedServer, stream_body

HARNESS = os.environ.get("PEERS_HARNESS")
SYNC = ("call_sync", "stream_sync", "construct", "hooks_sync", "sse", "structure", "unstructure")
SYNC += ("cache_memory", "cache_disk")
ASYNC = ("call_async", "stream_async", "hooks_async", "cache_async", "concurrency")
VALUE = PLAIN.split(b"\r\n\r\n", 1)[1]
HTTP = ("call_sync", "stream_sync", "call_async", "stream_async")


def _messages(count: int) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[number % 2], "content": f"Line {number}"} for number in range(count)]


def _body(model: str, n: int = 1, stream: bool = False) -> dict[str, Any]:
    asked = {"model": model, "messages": _messages(n), "temperature": 0.2}
    return {**asked, "stream": True} if stream else asked


def _context(url: str, body: Callable[..., dict[str, Any]]) -> SimpleNamespace:
    return SimpleNamespace(
        url=f"{url}/v1/chat/completions", v1=f"{url}/v1", base=url, body=body, model="fake", notes={}
    )


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    """The harness's own library."""
    if not HARNESS:
        pytest.skip("PEERS_HARNESS does not say where the harness is")
    spec = importlib.util.spec_from_file_location("peerlib", Path(HARNESS) / "peerlib.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["our server", "the harness's server"])
def context(request: pytest.FixtureRequest) -> Iterator[SimpleNamespace]:
    """What the harness gives to a slot, and where to close what the slot opens."""
    if request.param == "our server":
        with CannedServer() as server:
            made = _context(server.base_url.removesuffix("/v1"), _body)
            made.chunks, made.requests = PIECES, server.requests
            yield made
        return
    harness = request.getfixturevalue("harness")
    with harness.fake() as server:
        made = _context(server.base, harness.body)
        made.model, made.chunks, made.requests = "fake-c40", 40, lambda: server.stats()["requests"]
        yield made
        server.p.stdout.close()


@pytest.fixture
def slot(context: SimpleNamespace) -> Iterator[Callable[[str], tuple[dict[str, Any], asyncio.Runner]]]:
    """Fills one slot; closed afterwards."""
    with asyncio.Runner() as runner, ExitStack() as closing:
        keys = [f"{number:064}" for number in range(20)]
        given = {
            "parts": [event + b"\n\n" for event in stream_body().split(b"\n\n")[:-1]], "req": _body("m", 20),
            "keys": keys, "hot": keys[7], "value": {}, "value_bytes": VALUE, "url": context.url, "v1": context.v1,
            "body": context.body("fake"), "closing": closing, "runner": runner,
        }  # fmt: skip
        like = SimpleNamespace(**vars(context), closing=closing, runner=runner)

        def fill(name: str) -> tuple[dict[str, Any], asyncio.Runner]:
            fills = getattr(adapter, f"{name}_cases")

            async def in_a_loop() -> dict[str, Any]:
                return fills(like if name in HTTP else given)

            return (runner.run(in_a_loop()) if name in ASYNC else fills(like if name in HTTP else given)), runner

        yield fill


@pytest.mark.parametrize("name", [*SYNC, *ASYNC])
def test_each_row_of_a_slot_does_its_work(name: str, slot: Callable[..., Any]) -> None:
    """Twice: the first call of a HIT fills its cache."""
    cases, runner = slot(name)
    assert cases
    for title, once in cases.items():
        assert "clippy" in title
        for _ in range(2):
            if name in ASYNC:
                runner.run(once())
            else:
                once()


@pytest.mark.parametrize("name", ["call_sync", "call_async"])
def test_the_server_is_asked_as_often_as_the_rows_say(name: str, slot: Callable[..., Any], context: Any) -> None:
    """By its own count: three calls of a HIT ask it once, of any other row three times."""
    cases, runner = slot(name)
    for title, once in cases.items():
        before = context.requests()
        for _ in range(3):
            runner.run(once()) if name in ASYNC else once()
        assert context.requests() - before == (1 if title.startswith("HIT") else 3), title


def test_there_is_a_row_for_each_of_the_ways_and_plugins() -> None:
    """What the harness suggests for a fair comparison, by the names that the tables have."""
    titles = " | ".join(row.title for row in (*adapter._CALLS, *adapter._STREAMS))
    for what in (
        "no plugins",
        "5 no-op",
        "default stack",
        "HIT clippy memory",
        "HIT clippy sqlite",
        "as httpx transport",
    ):
        assert what in titles
    assert "openai SDK through clippy, 5 on_chunk" in titles
    assert "own client, 5 on_chunk" in titles


# --- the checks -------------------------------------------------------------------------------------------------------


def _once(sent: int, answer: Any, want: Any = True, *, hit: bool = False) -> Callable[[], Any]:
    reach = Reach()

    def ask(body: Any) -> Any:
        reach.count += sent
        return answer

    return calls.checked(ask, dict, reach, want, hit=hit, waits=False)


def test_a_hit_that_asks_the_server_again_fails() -> None:
    """Whoever measures it would measure a call."""
    once = _once(1, "text", hit=True)
    once()
    with pytest.raises(AssertionError, match="asked 1 times"):
        once()


def test_a_call_that_does_not_reach_the_server_fails() -> None:
    """So does one that sends twice."""
    with pytest.raises(AssertionError, match="asked 0 times"):
        _once(0, "text")()
    with pytest.raises(AssertionError, match="asked 2 times"):
        _once(2, "text")()


def test_an_answer_that_is_not_the_expected_one_fails() -> None:
    """No text, or a stream that is a piece short."""
    with pytest.raises(AssertionError, match="the answer is ''"):
        _once(1, "")()
    with pytest.raises(AssertionError, match="expected 100"):
        _once(1, 99, 100)()


def test_a_new_question_is_none_that_was_asked_before() -> None:
    """Else a default stack's cache would answer it."""
    ask = calls.questions(_body("m", 3), new=True)
    first, second = ask(), ask()
    assert first["messages"][:2] == second["messages"][:2]
    assert first["messages"][2]["content"] != second["messages"][2]["content"]


# --- with the harness ------------------------------------------------------------------------------------------------


def test_every_slot_of_the_harness_is_filled_but_those_we_have_nothing_for(harness: ModuleType) -> None:
    """Redis: there is no such plugin yet."""
    text = (Path(harness.HERE) / "adapters" / "clippy_adapter.py").read_text()
    slots = {line.split("(")[0].removeprefix("def ") for line in text.splitlines() if line.startswith("def ")}
    assert {name for name in slots if not hasattr(adapter, name)} == {"cache_redis_cases"}


def test_the_harness_has_each_script_that_the_command_runs(harness: ModuleType) -> None:
    """And a pinned environment for each set."""
    for name, script in command.commands(command.PARTS, command.SETS):
        assert (Path(harness.HERE) / script[0]).exists()
        assert (Path(harness.HERE) / "requirements" / f"{name}.lock.txt").exists()


# --- the command and its tables --------------------------------------------------------------------------------------


def test_parts_that_have_sets_run_once_in_each_of_them() -> None:
    """The others in core, whichever sets are asked for."""
    assert command.commands(["hooks", "cache"], ["litellm"]) == [
        ("core", ["bench_hooks.py"]),
        ("litellm", ["bench_cache.py", "--set", "litellm"]),
    ]
    assert command.figures_of(["bench_cache.py", "--set", "litellm"]) == "cache_litellm"


def test_without_a_harness_the_command_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Status 2, before anything is installed."""
    monkeypatch.setattr(sys, "argv", ["peers", "--harness", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert "--harness or PEERS_HARNESS" in capsys.readouterr().err


def test_tables_are_sorted_and_say_what_was_not_measured() -> None:
    """Our rows are bold; a difference whose rounds lie on both sides is none."""
    rows = {
        "direct": {"ratio": 1.0, "ratio_lo": 1.0, "ratio_hi": 1.0},
        "slow peer": {"ratio": 40.0, "ratio_lo": 30.0, "ratio_hi": 50.0},
        "clippy": {"ratio": 1.1, "ratio_lo": 0.9, "ratio_hi": 1.2},
    }
    meta = {"python": "3.11.7", "versions": {"pluggy": "1.7.0"}, "quick": False}
    page = tables.render(
        {"hooks": {"meta": meta, "groups": {"sync dispatch": rows}}, "run": {"load": {"hooks": "0.9"}}}
    )
    assert page.splitlines()[-5:] == [
        "|---|---:|---:|", "| direct | 1 |  |", "| **clippy** | 1.10 (0.90-1.20) | unsure |",
        "| slow peer | 40.00 (30.00-50.00) | more |", "",
    ]  # fmt: skip
    assert "pluggy 1.7.0; Python 3.11.7; load at the start 0.9." in page
