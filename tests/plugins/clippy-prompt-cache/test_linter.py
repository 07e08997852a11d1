"""Who broke the prefix of a prompt, and where."""

from __future__ import annotations

import logging
import os
import re
import signal
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from cache_talk import requests_of
from clippy_errors import ErrorClassifier
from clippy_prompt_cache import Finding, PromptCache
from clippy_retry import RetryPolicy
from prefix_faults import FAULTS, Redaction, Steady, SteadyHeader, TimeInSystem, ToolDescription

from clippy_core.testing import Bench, Fault, Reply
from clippy_core.testing.contracts.bench import PATHS

APIS = list(PATHS)
BESIDE = ("dropped", "summary", "description", "parameters")
"""Faults in a hook in which the other plugins change something too."""
SYSTEM = {"openai.chat": r"messages\[0\]", "openai.responses": "instructions", "anthropic.messages": "system"}


def linted(
    api: str, plugins: Mapping[str, object], bodies: Iterable[dict[str, Any]], **settings: Any
) -> tuple[Finding, ...]:
    """What the linter finds when *bodies* are sent through *plugins*."""
    linter = PromptCache(lint=True, **settings)
    bench = Bench({**plugins, "prompt-cache": linter}, Reply("Yes."))
    for body in bodies:
        got = bench.post(PATHS[api], body)
        assert got.status == 200, got
    bench.close()
    assert not bench.blamed
    return linter.findings()


def place(api: str, part: str) -> str:
    turns = "input" if api == "openai.responses" else "messages"
    return {
        "system": SYSTEM[api],
        "tools": r"tools\[\d+\]",
        "turns": rf"{turns}\[\d+\]",
        "parameters": "response_format|text|thinking",
        "": ".",
    }[part]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("others", [(), (Steady, SteadyHeader)], ids=["alone", "among others"])
def test_a_plugin_that_breaks_the_prefix_is_named(
    api: str, name: str, others: tuple[Callable[[], object], ...]
) -> None:
    make, part, change = FAULTS[name]
    plugins = {name: make(), **{f"steady-{number}": other() for number, other in enumerate(others)}}
    found = linted(api, plugins, requests_of(api, 8, name))
    assert len(found) >= 3
    for finding in found:
        assert name in finding.by
        assert finding.by == (name,) or (others and name in BESIDE), finding
        assert re.match(place(api, part), finding.at.path), finding
        assert change in ("", finding.at.change), finding


CALLERS: dict[str, tuple[Callable[[dict[str, Any], int], object], str, str]] = {
    "time": (lambda body, turn: _in_system(body, f"It is 10:{turn:02d} now."), "system", "time"),
    "tools": (lambda body, turn: body["tools"].insert(0, body["tools"].pop()) if turn % 2 else None, "tools", "order"),
    "history": (lambda body, turn: _first_question(body).update(content=f"Edited {turn} times"), "turns", "number"),
}


def _first_question(body: dict[str, Any]) -> Any:
    return next(turn for turn in body.get("input") or body["messages"] if turn["role"] == "user")


def _in_system(body: dict[str, Any], text: str) -> None:
    for name in ("system", "instructions"):
        if name in body:
            body[name] = f"{text} {body[name]}"
            return
    body["messages"][0]["content"] = f"{text} {body['messages'][0]['content']}"


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("name", CALLERS)
@pytest.mark.parametrize("plugins", [{}, {"steady": Steady()}], ids=["alone", "behind a plugin"])
def test_the_caller_is_named_for_a_change_of_its_own(api: str, name: str, plugins: dict[str, object]) -> None:
    change, part, kind = CALLERS[name]
    bodies = []
    for turn, body in enumerate(requests_of(api, 6, name)):
        change(body, turn)
        bodies.append(body)
    found = linted(api, plugins, bodies)
    assert len(found) >= 4  # with nothing in common but the instructions, the second may be another conversation
    for finding in found:
        assert finding.culprit == "the caller"
        assert re.match(place(api, part), finding.at.path), finding
        assert kind in ("", finding.at.change), finding


@pytest.mark.parametrize("api", APIS)
def test_a_conversation_that_only_grows_has_no_finding(api: str) -> None:
    assert linted(api, {"steady": Steady()}, requests_of(api, 12, "grows")) == ()


@pytest.mark.parametrize("api", APIS)
def test_conversations_that_take_turns_are_told_apart(api: str) -> None:
    talks = [list(requests_of(api, 8, seed)) for seed in range(3)]
    assert linted(api, {}, [talk[turn] for turn in range(8) for talk in talks]) == ()


@pytest.mark.parametrize("api", APIS)
def test_another_branch_of_a_conversation_is_no_break(api: str) -> None:
    bodies = list(requests_of(api, 5, "branch"))
    other = {**bodies[3]}
    name = "input" if api == "openai.responses" else "messages"
    other[name] = [*other[name][:-1], {"role": "user", "content": "Rather something else."}]
    assert linted(api, {}, [*bodies, other, bodies[2]]) == ()


def test_a_session_says_what_belongs_together_where_nothing_else_does() -> None:
    linter = PromptCache(lint=True)
    bench = Bench({"prompt-cache": linter}, Reply("Yes."))
    for session in ("one", "one", "two", None, None):
        body = {"model": "m", "messages": [{"role": "user", "content": f"{bench.provider.calls} and all is new"}]}
        with bench.host.scope(tenant="acme", session=session):
            bench.post(PATHS["openai.chat"], body)
    bench.close()
    (found,) = linter.findings()
    assert (found.id, found.culprit) == (bench.records[1].id, "the caller")


def test_a_plugin_that_changes_each_attempt_is_found_within_one_request() -> None:
    linter = PromptCache(lint=True)
    script = [Fault.status(503), Fault.status(503), Reply("Yes.")]
    plugins = {"stamps": ToolDescription(), "retry": RetryPolicy(), "errors": ErrorClassifier()}
    bench = Bench({**plugins, "prompt-cache": linter}, script)
    bench.post(PATHS["openai.chat"], next(iter(requests_of("openai.chat", 1, "attempts"))))
    bench.close()
    assert [finding.by for finding in linter.findings()] == [("stamps",)] * 2


def test_a_plugin_that_is_asked_before_the_linter_is_named_too() -> None:
    linter = PromptCache(lint=True)
    bench = Bench(
        {"clock": TimeInSystem(), "prompt-cache": linter},
        Reply("Yes."),
        order={"pre_request": ["clock", "prompt-cache"]},
    )
    for body in requests_of("openai.chat", 3, "order"):
        bench.post(PATHS["openai.chat"], body)
    bench.close()
    assert [finding.by for finding in linter.findings()] == [("clock",)] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    linter = PromptCache(lint=True)
    with linter._lock:
        child = os.fork()
        if not child:
            signal.alarm(30)  # a child that waits ends badly
            linter.statistics()
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_the_place_of_the_first_byte_and_the_words_are_given_where_asked() -> None:
    bodies = list(requests_of("anthropic.messages", 2, "place"))
    (found,) = linted("anthropic.messages", {"time": TimeInSystem()}, bodies, content=True)
    assert (found.at.path, found.at.character) == ("system[0].text", len("It is 2026-11-28 10:0"))
    assert found.at.before.startswith("It is 2026-11-28 10:01. ")
    assert found.at.after.startswith("It is 2026-11-28 10:02. ")
    assert 0 < found.kept < found.kept + found.lost
    (silent,) = linted("anthropic.messages", {"time": TimeInSystem()}, bodies)
    assert (silent.at.before, silent.at.after) == ("", "")
    assert silent.at.offset == found.at.offset


def test_a_culprit_is_told_once_and_never_with_content(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "clippy"):
        bodies = requests_of("openai.chat", 6, "log")
        assert len(linted("openai.chat", {"masks": Redaction()}, bodies, content=True)) >= 3
    told = [record.getMessage() for record in caplog.records if record.name == "clippy.prompt-cache"]
    assert len(told) == len({re.sub(r"\d+|request \S+", "", line) for line in told})
    assert all("changed by plugin masks" in line and "PERSON" not in line for line in told)


def test_a_log_line_is_one_line_whatever_names_the_callers_json_has(caplog: pytest.LogCaptureFixture) -> None:
    bodies = list(requests_of("openai.chat", 3, "names"))
    for turn, body in enumerate(bodies):
        body["tools"][0]["function"]["parameters"]["properties"]["a\nERROR b\x1b[2J"] = {"type": "string", "n": turn}
    with caplog.at_level(logging.WARNING, "clippy"):
        assert len(linted("openai.chat", {}, bodies)) == 2
    (line,) = [record.getMessage() for record in caplog.records if record.name == "clippy.prompt-cache"]
    assert line.isprintable()
    assert r"a\nERROR b\x1b[2J.n (value)" in line


def test_what_is_at_the_provider_cannot_be_compared() -> None:
    bodies = list(requests_of("openai.responses", 3, "kept"))
    for turn, body in enumerate(bodies):
        body["previous_response_id"] = f"resp_{turn}"
        body["input"] = body["input"][-1:]
    assert linted("openai.responses", {"time": TimeInSystem()}, bodies) == ()


def test_memory_is_bounded_by_conversations_and_bytes() -> None:
    for settings in ({"keep": 2}, {"max_bytes": 40_000}):
        linter = PromptCache(lint=True, **settings)
        bench = Bench({"prompt-cache": linter}, Reply("Yes."))
        for seed in range(6):
            for body in requests_of("openai.chat", 2, seed):
                bench.post(PATHS["openai.chat"], body)
        bench.close()
        lineage = linter._lineage
        assert 0 < len(lineage._seen) <= settings.get("keep", 99)
        assert 0 < lineage._bytes <= settings.get("max_bytes", 10**9)
        assert lineage._bytes == sum(size for _, size in lineage._seen.values())
