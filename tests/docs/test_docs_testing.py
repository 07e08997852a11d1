"""The page on testing is a test file: its tests pass, and what it says fails, fails."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"


def test_the_pages_tests_run_under_pytest(tmp_path: Path) -> None:
    """Fixtures in sync and async tests, two suites in full, and a check of the author's own; only TryAgain fails."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "test_page.py").write_text("\n".join(block for block in blocks if "run_check" not in block))
    (project,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(project)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", "-rA", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    passed = re.findall(r"^PASSED .*?::(.*)$", done.stdout, re.MULTILINE)
    failed = re.findall(r"^FAILED .*?::(\S+)", done.stdout, re.MULTILINE)
    assert "test_a_failed_call_is_tried_again" in passed
    assert "test_both_sdks_get_an_answer_from_loopback" in passed
    assert {f"test_the_same_on_an_event_loop[{backend}]" for backend in ("asyncio", "trio")} <= set(passed)
    assert "TestTryAgain::test_the_wait_is_two_seconds" in passed
    assert sum(name.startswith("TestHide::") for name in passed) > 10
    assert sum(name.startswith("TestHideAsPlugin::") for name in passed) > 15
    assert "TestTryAgain::test_what_cannot_succeed_is_not_repeated" in failed
    assert {name.partition("::")[0] for name in failed} == {"TestTryAgain"}


def test_the_page_names_every_suite_and_every_grade() -> None:
    """The tables are complete."""
    from clippy_core import testing
    from clippy_core.testing.grading import RULE

    text = PAGE.read_text(encoding="utf-8")
    suites = {name for name in testing.__all__ if name.endswith("Contract") and name != "Contract"}
    assert suites <= set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert re.findall(r"^\| ([A-F]) \|", text, re.MULTILINE) == re.findall(r"\b([A-F]): ", RULE)
