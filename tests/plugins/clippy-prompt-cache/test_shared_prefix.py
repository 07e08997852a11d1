"""What a provider's cache can read of the prompt before, with every default plugin on."""

from __future__ import annotations

from pathlib import Path

import pytest
from cache_talk import requests_of
from campaign_prompt_cache import LEAST, ROOT, default_plugins, hosts, read_by_marks, sent, shares
from clippy_prompt_cache import PromptCache
from prefix_faults import DroppedTurn

from clippy_core.testing import Bench, Reply
from clippy_core.testing.contracts.bench import PATHS

APIS = list(PATHS)
TURNS = 30


def test_the_default_plugins_are_those_of_the_extra(tmp_path: Path) -> None:
    wanted = ROOT.joinpath("pyproject.toml").read_text("utf-8").partition("all = [")[2].partition("]")[0]
    assert len(default_plugins(tmp_path)) == wanted.count("clippy-")
    assert {"prompt-cache", "context-window", "cache-sqlite", "audit", "retry"} <= {*default_plugins(tmp_path)}


@pytest.mark.parametrize("name", ["as installed", "planned"])
@pytest.mark.parametrize("api", APIS)
def test_with_every_default_plugin_the_prefix_holds(api: str, name: str) -> None:
    settings = dict(hosts(api, TURNS, "test"))[name]
    found = shares(sent(api, TURNS, "test", **settings))
    assert len(found) == TURNS - 1
    assert min(found) >= LEAST


def test_the_plan_lets_anthropic_read_nearly_all_that_was_sent_before() -> None:
    api = "anthropic.messages"
    plain, planned = (
        sent(api, TURNS, "test", **dict(hosts(api, TURNS, "test"))[name]) for name in ("as installed", "planned")
    )
    assert read_by_marks(plain) == 0.0
    sizes = [len(str(body)) for body in planned]
    most = sum(sizes[:-1]) / sum(sizes[1:])  # if all of each prompt were read by the next
    assert read_by_marks(planned) >= 0.98 * most


@pytest.mark.parametrize("api", APIS)
def test_the_measure_sees_what_breaks_a_prefix(api: str) -> None:
    bench = Bench({"drops": DroppedTurn()}, Reply("Yes."))
    for body in requests_of(api, 8, "control"):
        bench.post(PATHS[api], body)
    bench.close()
    assert min(shares([seen.fields for seen in bench.provider.requests])) < LEAST


@pytest.mark.parametrize("api", APIS)
def test_a_cut_of_the_context_window_is_a_break_and_has_its_name(tmp_path: Path, api: str) -> None:
    """It is made seldom, and between two cuts the prefix holds."""
    settings = dict(hosts(api, TURNS, "test"))["context window"]
    linter = PromptCache(lint=True)
    plugins = {**default_plugins(tmp_path, **settings), "prompt-cache": linter}
    bench = Bench(plugins, Reply("Yes."))
    for body in requests_of(api, TURNS, "test"):
        bench.post(PATHS[api], body)
    bench.close()
    broken = [share for share in shares([seen.fields for seen in bench.provider.requests]) if share < LEAST]
    assert 1 <= len(broken) <= TURNS // 6
    assert [finding.by for finding in linter.findings()] == [("context-window",)] * len(broken)
