"""``clippy bench``: what each of the user's plugins costs, without touching anything of the user's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clippy_core.cli.bench import table
from clippy_core.cli.bench_cases import ALL, BARE, NO_PLUGIN, Bench, Measured
from clippy_core.testing.timing import Samples

Run = Callable[..., Any]
Install = Callable[..., None]

WRITES = """
    from pathlib import Path

    @define(eq=False)
    class Plugin:
        path: Path = Path("never")
        other: Path | None = field(default=None, metadata={"suffixes": (".jsonl", ".txt")})
        told: str = ""

        @hookimpl
        def pre_request(self, request, ctx):
            assert self.other is None or (self.other != self.path and self.other.suffix == ".jsonl")
            with self.path.open("a") as file:
                file.write("asked\\n")
            with Path(self.told).open("a") as file:
                file.write(f"{self.path}\\n")
"""
LOOKS = """
    @define(eq=False)
    class Plugin:
        @hookimpl
        def on_chunk(self, chunk, ctx):
            return None
"""
REFUSES = """
    from clippy_hookspecs import Refusal

    @define(eq=False)
    class Plugin:
        @hookimpl
        def pre_request(self, request, ctx):
            raise Refusal("not you")
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home that nobody may touch."""
    made = tmp_path / "home"
    made.mkdir()
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(made))
    return made


def test_each_plugin_is_measured_alone_and_in_the_set(run: Run, install: Install, tmp_path: Path, home: Path) -> None:
    """A call and a stream; the files of the configuration and the user's folders stay as they are."""
    install("looks", LOOKS)
    install("writes", WRITES)
    mine, told = tmp_path / "mine", tmp_path / "told"
    environ = {"CLIPPY_WRITES__PATH": str(mine), "CLIPPY_WRITES__TOLD": str(told), "CLIPPY_TRACE": "1"}
    result = run("bench", "--seconds", "1", "--json", only="looks,writes", **environ)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["left_out"] == []
    assert [group["title"] for group in said["groups"]] == ["a call", "a stream of 100 pieces"]
    for group in said["groups"]:
        cases = {case["case"]: case for case in group["cases"]}
        assert list(cases) == [BARE, NO_PLUGIN, "looks", "writes", ALL, "all but looks", "all but writes"]
        assert [name for name, case in cases.items() if case["plugin"]] == ["looks", "writes"]
        assert (cases[BARE]["cpu_ratio"], cases[BARE]["added_us"]) == (1.0, 0.0)
        assert all((case["in_set_us"] is not None) == case["plugin"] for case in cases.values())
        assert group["rounds"] >= 1
    assert not mine.exists()
    assert list(home.iterdir()) == []
    files = set(told.read_text().split())
    assert len(files) == 3, "alone, in the set, and in the set without the other, each in a file of its own"
    assert str(mine) not in files


def test_a_plugin_that_does_not_answer_is_left_out_with_its_reason(run: Run, install: Install, home: Path) -> None:
    """Alone and with all; the others are measured, and the figures are said to be rough where they are."""
    install("looks", LOOKS)
    install("refuses", REFUSES)
    result = run("bench", "--seconds", "1", only="looks,refuses")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    left_out = [line for line in lines if line.startswith("left out: ")]
    assert [line.split(": ")[1] for line in left_out] == ["refuses", "all of them", "all but looks"]
    assert all("not you" in line for line in left_out)
    assert sum(line.startswith("  looks ") for line in lines) == 2
    assert "measuring" in result.stderr


def test_our_own_plugins_are_all_measured_where_nothing_is_configured(tmp_path: Path, home: Path) -> None:
    """With what they would have for settings that have no value: a file of a kind that they take."""
    with Bench.of(None) as bench:
        assert {} == bench.left_out


def test_a_configuration_that_cannot_be_read_is_not_measured(run: Run) -> None:
    """Exit 2, with the fault."""
    result = run("bench", CLIPPY_DISABLE="3")
    assert result.exit_code == 2
    assert "disable: expected" in result.stderr


def test_fewer_rounds_than_say_anything_are_refused(run: Run) -> None:
    """A confidence interval of five rounds is none."""
    assert run("bench", "--rounds", "5").exit_code == 2


# --- how it reads ----------------------------------------------------------------------------------------------------


def _measured(rounds: int, plugin: float, noise: float) -> Measured:
    """A plugin that adds *plugin* microseconds to calls of a millisecond, every second round *noise* more."""
    names = (BARE, NO_PLUGIN, "p", "q", ALL, "all but p", "all but q")
    added = {"p": plugin, "q": 500.0, ALL: plugin + 500.0, "all but p": 500.0, "all but q": plugin}
    times = {
        name: [
            1000.0 * (1000 + added.get(name, 0.0) + noise * (number % 2) * (name == "p")) for number in range(rounds)
        ]
        for name in names
    }
    return Measured("a call", names, ("p", "q"), Samples(times, times, 1))


def test_a_difference_within_the_noise_is_unsure() -> None:
    """And one beyond it is not."""
    (line,) = [line for line in table(_measured(31, -20.0, 40.0)) if line.startswith("  p ")]
    assert "unsure" in line
    (line,) = [line for line in table(_measured(31, 100.0, 40.0)) if line.startswith("  p ")]
    assert "unsure" not in line
    assert line.split()[-2:] == ["100us", "0"]


def test_too_few_rounds_are_said_to_be_unsure() -> None:
    """Whatever the figures look like."""
    assert "all of it is unsure: only 3 rounds" in "\n".join(table(_measured(3, 100.0, 0.0)))
    assert "all of it" not in "\n".join(table(_measured(31, 100.0, 0.0)))
