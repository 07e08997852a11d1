"""``clippy prompt-cache lint FILE``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from cache_talk import requests_of
from click.testing import CliRunner, Result
from clippy_prompt_cache import PromptCache

from clippy_core.testing.contracts.bench import PATHS


def lint(tmp_path: Path, lines: list[Any], *options: str) -> Result:
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    cli = click.Group("clippy")
    PromptCache().register_commands(cli)
    return CliRunner().invoke(cli, ["prompt-cache", "lint", str(file), *options])


@pytest.mark.parametrize("api", list(PATHS))
def test_requests_that_only_grow_hold(tmp_path: Path, api: str) -> None:
    ran = lint(tmp_path, list(requests_of(api, 4, "file")))
    assert ran.exit_code == 0
    assert ran.output.splitlines()[0].startswith("lines 1 and 2: the prefix holds, ")
    assert len(ran.output.splitlines()) == 3


DATED = [
    {"model": "m", "system": "Today is 2026-11-27. Be kind.", "messages": [{"role": "user", "content": "a"}]},
    {"model": "m", "system": "Today is 2026-11-28. Be kind.", "messages": [{"role": "user", "content": "a"}]},
]


def test_the_first_byte_its_field_and_its_change_are_printed(tmp_path: Path) -> None:
    ran = lint(tmp_path, DATED)
    assert ran.exit_code == 1
    held = '"m"[{"type":"text","text":"Today is 2026-11-2'
    told = f"byte {len(held)} of 113 (39.8% held), system[0].text, character 18 (time)"
    assert ran.output == f"lines 1 and 2: broken at {told}\n"


def test_content_is_shown_only_where_asked(tmp_path: Path) -> None:
    assert "2026-11-27" not in lint(tmp_path, DATED).output
    assert (
        "'Today is 2026-11-27. Be kind.' -> 'Today is 2026-11-28. Be kind.'"
        in lint(tmp_path, DATED, "--content").output
    )


def test_json_has_a_line_for_each_pair(tmp_path: Path) -> None:
    held, broken = map(json.loads, lint(tmp_path, [DATED[0], DATED[0], DATED[1]], "--json").output.splitlines())
    assert (held["lines"], held["break"]) == ([1, 2], None)
    assert (broken["lines"], broken["break"]["path"], broken["break"]["change"]) == ([2, 3], "system[0].text", "time")
    assert "before" not in broken["break"]


def test_marks_that_move_and_strings_written_as_a_block_are_no_change(tmp_path: Path) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    first = {
        "model": "m",
        "system": "s",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a", **mark}]}],
    }
    more = [{"role": "assistant", "content": "b"}, {"role": "user", "content": [{"type": "text", "text": "c", **mark}]}]
    second = {
        "model": "m",
        "system": [{"type": "text", "text": "s"}],
        "messages": [{"role": "user", "content": "a"}, *more],
    }
    assert lint(tmp_path, [first, second]).exit_code == 0


def test_a_terminal_is_not_obeyed(tmp_path: Path) -> None:
    bodies = [{"model": "m", "messages": [{"role": "user", "content": f"\x1b[2J{name}"}]} for name in "ab"]
    assert "\x1b" not in lint(tmp_path, bodies, "--content").output


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "has no request in it"),
        (["{"], "line 1: not JSON"),
        ([DATED[0], "", "[]"], "line 3 is no request body"),
        (["[" * 100_000], "line 1: not JSON"),
        ([{"v": 1, "id": "a", "lost": 0}, {"at": 0, "kind": "attempt"}], "line 1 is no request body"),
        ([DATED[0], {"url": "https://a.test", "body": "text"}], "line 2 is no request body"),
    ],
)
def test_a_file_that_is_none_is_told_with_its_line(tmp_path: Path, lines: list[Any], said: str) -> None:
    ran = lint(tmp_path, lines)
    assert ran.exit_code == 2
    assert said in ran.output
    assert len(re.findall(r"line \d", ran.output)) == said.count("line ")


@pytest.mark.parametrize("form", [{"url": "https://a.test/v1/messages", "headers": {}}, {"route": "main"}])
def test_requests_as_cache_warm_reads_them_are_compared_by_their_bodies(tmp_path: Path, form: dict[str, str]) -> None:
    warm = [{**form, "body": body} if "url" in form else {**form, **body} for body in DATED]
    assert lint(tmp_path, warm).output == lint(tmp_path, DATED).output
    assert lint(tmp_path, [warm[0], warm[0]]).output.startswith("lines 1 and 2: the prefix holds, 113 bytes")


def test_a_body_may_be_written_over_several_lines(tmp_path: Path) -> None:
    """As an editor or jq lays it out; a finding names the lines on which the two begin."""
    ran = lint(tmp_path, ["", *(json.dumps(body, indent=2) for body in DATED)])
    lines = 1 + json.dumps(DATED[0], indent=2).count("\n") + 1
    assert ran.output == lint(tmp_path, DATED).output.replace("lines 1 and 2", f"lines 2 and {lines + 1}")


def test_one_request_is_nothing_to_compare(tmp_path: Path) -> None:
    ran = lint(tmp_path, DATED[:1])
    assert ran.exit_code == 0
    assert "nothing to compare" in ran.stderr


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_bytes(b"\xff\xfe{}")
    cli = click.Group("clippy")
    PromptCache().register_commands(cli)
    ran = CliRunner().invoke(cli, ["prompt-cache", "lint", str(file)])
    assert ran.exit_code == 2
    assert "not UTF-8" in ran.output


def test_what_changed_its_order_is_shown(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("alpha", "omega")]
    messages = [{"role": "user", "content": "Hi"}]
    bodies = [{"model": "m", "tools": each, "messages": messages} for each in (tools, tools[::-1])]
    shown = lint(tmp_path, bodies, "--content").output
    was, _, now = shown.partition("(order): ")[2].partition(" -> ")
    assert ("alpha" in was, "omega" in now) == (True, True)
