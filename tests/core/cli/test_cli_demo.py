"""The demo: the main job with nothing to set up, honest about what is missing and about what did not work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

import httpx
import pytest
from clippy_hookspecs import AttemptRecord, AuditRecord, ErrorInfo, HookCall, RequestContext, RouteInfo, Scope

from clippy_core.cli.demo_sdks import smallest
from clippy_core.cli.demo_stage import open_stage
from clippy_core.cli.demo_traces import audit_log, time_line
from clippy_core.cli.demo_words import attempt_facts, attempt_line
from clippy_core.cli.screen import Silence, text_of
from clippy_core.flow import FlowHandle
from clippy_core.testing import FakeServer, Reply, VirtualClock

Install = Callable[..., None]
WITHOUT_SDK = (
    "import sys\nsys.modules['openai'] = sys.modules['anthropic'] = None\nfrom clippy_core.cli import main\nmain()"
)


def demo(tmp_path: Path, *options: str, sdk: bool = True, **environ: str) -> subprocess.CompletedProcess[str]:
    """``clippy demo`` in a process of its own, with an empty home and an empty folder for temporary files."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    for made in (home, temporary):
        made.mkdir(exist_ok=True)
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("CLIPPY_", "OPENAI_", "ANTHROPIC_", "XDG_"))}
    start = ["-m", "clippy_core.cli"] if sdk else ["-c", WITHOUT_SDK]
    return subprocess.run(
        [sys.executable, *start, "demo", *options],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=home,
        env={**clean, "HOME": str(home), "TMPDIR": str(temporary), "PYTHONIOENCODING": "utf-8", **environ},
        timeout=300,
    )


def left_behind(tmp_path: Path) -> list[Path]:
    return [path for name in ("home", "temporary") for path in (tmp_path / name).rglob("*")]


def scenes(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stderr == ""
    return {scene["name"]: scene for scene in json.loads(done.stdout)["scenes"]}


# --- whole runs ------------------------------------------------------------------------------------------------------


def test_with_everything_installed_every_scene_works_and_nothing_is_left(tmp_path: Path) -> None:
    """Exit 0, proof by the provider's own count, no file left in the home or among the temporary ones."""
    done = demo(tmp_path, "--json")
    played = scenes(done)
    document = json.loads(done.stdout)
    if len(document["plugins"]) < 5:
        pytest.skip("the first-party plugins are not installed here")
    assert done.returncode == 0
    assert {name: scene["status"] for name, scene in played.items()} == dict.fromkeys(played, "ok")
    assert played["plain"]["requests"] == 1
    assert played["cached"]["requests"] == 0
    assert [attempt["status"] for attempt in played["recovered"]["attempts"]] == [503, 429, 200]
    assert played["recovered"]["attempts"][2]["waited"] >= 1.0
    assert (played["mended"]["requests"], played["mended"]["broken"]) == (2, 1)
    assert played["replayed"]["requests"] == 0
    assert played["replayed"]["source"] == "cache"
    assert {"plugin", "hook", "decision", "microseconds"} <= played["timeline"]["steps"][0].keys()
    assert len(played["audit"]["records"]) >= 6
    assert played["outage"]["reached"] == [6, 4, 0, 0, 0, 0]
    assert played["outage"]["answered_elsewhere"] == 6
    assert played["flow"]["longest_gap"] >= 0.3
    shared = played["shared"]
    assert (shared["calls"], shared["together"], shared["anew"], shared["answered_by_provider"]) == (25, 1, 1, 4)
    assert (shared["joined"] + shared["stored"], shared["stale"]) == (21, 1)
    assert document["notes"] == []
    assert "sk-demo" not in done.stdout
    assert left_behind(tmp_path) == []


def test_with_plugins_off_the_scenes_say_what_is_missing(tmp_path: Path) -> None:
    """Exit 0: a scene that cannot work here has not failed.  Without an SDK our own client plays."""
    done = demo(tmp_path, sdk=False, CLIPPY_PLUGINS="off")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert "clients: clippy_core.Client" in done.stdout
    assert "no cache here: no active plugin implements cache_lookup and cache_store" in done.stdout
    assert "no retry here: no active plugin implements on_error and classify_error" in done.stdout
    assert "no audit here" in done.stdout
    assert "2 ok, 9 skipped" in done.stdout
    assert left_behind(tmp_path) == []


def test_a_scene_that_should_work_and_does_not_is_exit_1(tmp_path: Path, folder: Path, install: Install) -> None:
    """With what went wrong; a cache that forgets has not answered from the cache."""
    install(
        "forgetful",
        """
        @define(eq=False)
        class Plugin:
            @hookimpl
            def cache_lookup(self, key, request, ctx):
                return None

            @hookimpl
            def cache_store(self, key, entry, request, ctx):
                pass
        """,
    )
    done = demo(tmp_path, "--json", sdk=False, CLIPPY_PLUGINS="forgetful", PYTHONPATH=str(folder))
    played = scenes(done)
    assert done.returncode == 1
    assert played["plain"]["status"] == "ok"
    assert played["cached"]["status"] == "failed"
    assert "1 request" in played["cached"]["proof"]
    assert played["replayed"]["status"] == "skipped"
    assert played["shared"]["proof"] == "1 request when the answer was stored"


def test_a_cache_alone_shows_what_it_can_and_says_who_is_missing(tmp_path: Path) -> None:
    """Equal calls at once are all sent, and nobody reads the header: the scene says so and does not fail."""
    done = demo(tmp_path, sdk=False, CLIPPY_PLUGINS="cache-memory")
    assert done.returncode == 0, done.stdout
    assert "nobody here lets them share one under way" in done.stdout
    assert "once more: 0 requests, it was stored" in done.stdout
    assert "X-Clippy-Cache: nobody here reads it" in done.stdout


def test_a_plugin_that_raises_fails_its_scenes_in_a_line(tmp_path: Path, folder: Path, install: Install) -> None:
    """No traceback; the sentence names the plugin and the hook."""
    source = """
        @define(eq=False)
        class Plugin:
            @hookimpl
            def pre_request(self, request, ctx):
                raise RuntimeError("never")
    """
    install("raises", source)
    done = demo(tmp_path, sdk=False, CLIPPY_PLUGINS="raises", PYTHONPATH=str(folder))
    assert done.returncode == 1
    assert "plugin raises 1.2: pre_request" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout + done.stderr


def test_live_without_a_key_says_which_to_set(tmp_path: Path) -> None:
    """A usage error, before anything is imported."""
    done = demo(tmp_path, "--live")
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr
    assert left_behind(tmp_path) == []


def test_live_plays_against_the_endpoint_of_the_environment(tmp_path: Path) -> None:
    """What needs faults is skipped and says so; the key is shown nowhere."""
    with FakeServer(Reply("Hello you.")) as server:
        done = demo(
            tmp_path,
            "--live",
            "--json",
            sdk=False,
            OPENAI_API_KEY="sk-live-0123456789abcdef",
            OPENAI_BASE_URL=server.base_url,
            OPENAI_MODEL="some-model",
        )
        assert {seen.model for seen in server.requests} == {"some-model"}
        assert {seen.headers["authorization"] for seen in server.requests} == {"Bearer sk-live-0123456789abcdef"}
    played = scenes(done)
    assert done.returncode == 0
    assert played["plain"]["text"] == "Hello you."
    assert played["recovered"]["status"] == played["mended"]["status"] == "skipped"
    assert "without --live" in played["mended"]["proof"]
    assert "sk-live" not in done.stdout


# --- its parts -------------------------------------------------------------------------------------------------------


def test_a_stage_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside, the user's folders are the demo's and the user's settings are not read; then all is as before."""
    monkeypatch.setenv("CLIPPY_PLUGINS", "off")
    monkeypatch.setenv("CLIPPY_TRACE", "not a bool")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.test")
    before = dict(os.environ)
    with open_stage(Silence()) as stage:
        folder = stage.folder
        assert os.environ["XDG_CACHE_HOME"].startswith(str(folder))
        assert "OPENAI_BASE_URL" not in os.environ
        assert stage.host.config.host.trace is False
        assert stage.active == ()
    assert dict(os.environ) == before
    assert not folder.exists()


def test_the_host_keeps_its_warnings_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log line amid the screen would spoil it; its control characters are written out."""
    import logging

    monkeypatch.setenv("CLIPPY_PLUGINS", "off")
    with open_stage(Silence()) as stage:
        logging.getLogger("clippy.anything").warning("lost \x1b[2J")
        stage.notes.staged = True
        logging.getLogger("clippy.anything").warning("failed on purpose")
        logging.getLogger("clippy").warning("a plugin failed")
        notes = stage.notes.said
    assert notes == [r"lost \x1b[2J", "a plugin failed"]
    assert logging.getLogger("clippy").propagate


def context() -> RequestContext:
    clock = VirtualClock()
    return RequestContext("r1", Scope(), clock, None, RouteInfo(""), FlowHandle())  # type: ignore[arg-type]


def test_a_time_line_has_each_attempt_where_it_was_made() -> None:
    """After the hooks before it, before those that judge it; the demo's own plugin is left out."""
    ctx = context()
    trace = [
        ("guard", "pre_request", "passed"),
        ("store", "cache_lookup", "passed"),
        ("again", "pre_attempt", "passed"),
        ("judge", "classify_error", "classified"),
        ("clippy-demo", "post_attempt", "passed"),
        ("again", "on_error", "retry"),
        ("again", "pre_attempt", "passed"),
        ("clippy-demo", "post_attempt", "passed"),
        ("store", "cache_store", "passed"),
    ]
    ctx.trace.extend(HookCall(plugin, hook, action, 1500) for plugin, hook, action in trace)
    ctx.trace.append(HookCall("filter", "on_chunk", "changed", 9000, 12))
    attempts = (AttemptRecord(1, "", 503, None, 0.0, 0.002), AttemptRecord(2, "", None, None, 1.0, 0.004))
    steps = time_line(AuditRecord("r1", "answered", 0.0, 1.0, attempts=attempts), ctx)
    assert [(step.plugin, step.decision) for step in steps] == [
        ("guard", "passed"),
        ("store", "passed"),
        ("again", "passed"),
        ("→ provider", "HTTP 503"),
        ("judge", "classified"),
        ("again", "retry"),
        ("again", "passed"),
        ("→ provider", "no answer"),
        ("store", "passed"),
        ("filter", "changed ×12"),
    ]
    assert steps[0].facts() == {"plugin": "guard", "hook": "pre_request", "decision": "passed", "microseconds": 1.5}
    assert "2,000 µs" in text_of(steps[3].line())


def test_an_attempt_that_was_not_sent_says_so_on_the_screen_and_in_the_data() -> None:
    held = AttemptRecord(1, "", None, ErrorInfo("transient", "breaker_open"), sent=False)
    assert text_of(attempt_line(held)).endswith("transient/breaker_open, not sent")
    assert attempt_facts(held)["sent"] is False
    ctx = context()
    ctx.trace.append(HookCall("breaker", "post_attempt", "passed", 1500))
    (step, _) = time_line(AuditRecord("r1", "failed", 0.0, 1.0, attempts=(held,)), ctx)
    assert step.decision == "not sent"


def test_audit_records_are_found_by_the_requests_they_name(tmp_path: Path) -> None:
    """In whatever file, under whatever key; other lines and broken ones are passed over."""
    lines = [
        '{"id": "a", "outcome": "cached", "usage": {"input": 1, "output": 2, "estimated": true}}',
        "{broken",
        "[1]",
    ]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log.jsonl").write_text("\n".join([*lines, '{"request": "b", "x\\u001b": 1}', '{"id": "c"}']))
    (tmp_path / "blob").write_bytes(b"\xff\xfe{\n")
    log = audit_log(tmp_path, ["a", "b"])
    assert (log.ids, log.names) == (["a", "b"], ("log.jsonl",))
    first, second = (text_of(shown).strip() for shown in log.lines(5))
    assert first == "id=a  outcome=cached  usage=1+2"
    assert second == r"request=b  x\x1b=1"
    assert log.files_with("cached") == ["log.jsonl"]
    assert log.files_with("nothing of it", "") == []


def test_of_records_that_say_the_same_the_newest_is_shown(tmp_path: Path) -> None:
    """With who answered and why: three lines that differ in their times alone would show nothing."""
    records = [
        {"id": "a", "outcome": "cached", "provenance": {"source": "cache", "by": "cache-memory", "reason": "flight"}},
        *({"id": name, "outcome": "answered", "route": "backup", "duration": 1.5} for name in "bcd"),
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, records)))
    shown = [text_of(one).strip() for one in audit_log(tmp_path, ["a", "b", "c", "d"]).lines(3)]
    assert shown == [
        "id=a  outcome=cached  provenance=cache-memory (flight)",
        "id=d  outcome=answered  route=backup  duration=1.5",
    ]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["gpt-5", "gpt-5-mini", "gpt-4o-mini-tts", "text-embedding-3-small"], "gpt-5-mini"),
        (["claude-opus-4", "claude-haiku-4"], "claude-haiku-4"),
        (["llama3.2:3b"], "llama3.2:3b"),
        (["only-embedding"], "only-embedding"),
    ],
)
def test_a_small_chat_model_is_chosen(names: list[str], chosen: str) -> None:
    """The demo should cost next to nothing; what is not for chat is passed over where there is a choice."""
    assert smallest(names) == chosen


# --- pages beside it -------------------------------------------------------------------------------------------------


def test_what_is_played_can_be_looked_at_until_ctrl_c(tmp_path: Path) -> None:
    """The link comes first; the scenes' hosts come and go, and one dashboard shows the requests of all of them."""
    pytest.importorskip("clippy_inspect")
    environ = {**os.environ, "CLIPPY_PLUGINS": "inspect,cache-memory", "HOME": str(tmp_path), "BROWSER": "true"}
    command = [sys.executable, "-m", "clippy_core.cli", "demo", "--open", "--plain"]
    with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, env=environ, cwd=tmp_path) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        link = running.stderr.readline().split()[-1]
        said = list(iter(running.stdout.readline, "The pages stay open until Ctrl-C.\n"))
        with httpx.Client(base_url=link.partition("/open/")[0]) as browser:
            entered = browser.get(link).headers["set-cookie"].partition(";")[0]
            board = browser.get("/api/dashboard", headers={"cookie": entered}).json()
        running.send_signal(signal.SIGINT)
        assert running.wait(120) == 0
        [again] = running.stderr.read().splitlines()
        assert link != again.split()[-1]
        assert again.split()[-1].startswith(link.partition("/open/")[0])
    reached = next(line for line in said if "requests reached the provider" in line)
    assert board["total"]["requests"] > 3
    assert board["running"] == 0
    assert f" {board['total']['requests'] - board['total']['cached']} requests reached" in reached


def test_without_pages_there_are_none_to_open(tmp_path: Path) -> None:
    """It says what is missing, before anything is played."""
    done = demo(tmp_path, "--open", CLIPPY_PLUGINS="cache-memory")
    assert done.returncode == 2
    assert "no plugin here has pages to open" in done.stderr
    assert left_behind(tmp_path) == []
