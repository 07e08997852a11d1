"""Pages lead to each other, the site has all of them, and the pins are the same everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted(ROOT.glob("plugins/*/README.md")),
]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PIN = re.compile(r"[a-z0-9._-]+==[A-Za-z0-9.+!]+(?: ; .+)?")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link is a file of this repository: pages must work in a clone."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text)
    for target in _LINK.findall(text):
        path, _, anchor = target.partition("#")
        assert "://" not in target, f"{target} leads out of the repository"
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} does not exist"
        if DOCS in page.parents:
            assert DOCS in file.parents, f"{target} leads out of docs/, and the site has only that"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_site_has_every_page() -> None:
    """What is written is found: each page of docs/ stands in mkdocs.yml, once."""
    listed = re.findall(r": ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    pages = [str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if path.parent.name != "changelog.d"]
    assert sorted(listed) == sorted(pages)


def test_fragments_of_the_changelog_name_a_distribution() -> None:
    """A reader sees which package has changed."""
    known = {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")} | {"clippy-core", "clippy-hookspecs"}
    fragments = list((DOCS / "changelog.d").glob("*"))
    assert [] == [path.name for path in fragments if path.suffix != ".md" or path.name.split(".")[0] not in known]
    assert all(path.read_text(encoding="utf-8").strip() for path in fragments)


# --- the pins --------------------------------------------------------------------------------------------------------


def _pins() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_pins_name_no_address_and_no_path() -> None:
    """Whoever has another index uses his own."""
    assert [] == [line for line in _pins() if not _PIN.fullmatch(line)]


def test_everything_that_is_declared_is_pinned() -> None:
    """Every dependency of every distribution, the tools included."""
    pinned = {re.split(r"==", line)[0] for line in _pins()}
    wanted: set[str] = set()
    for project in [
        ROOT / "pyproject.toml",
        ROOT / "hookspecs" / "pyproject.toml",
        *ROOT.glob("plugins/*/pyproject.toml"),
    ]:
        table = tomllib.loads(project.read_text(encoding="utf-8"))
        lists = [table["project"]["dependencies"], *table["project"].get("optional-dependencies", {}).values()]
        lists += table.get("dependency-groups", {}).values()
        wanted |= {re.split(r"[\[<>=~; ]", one)[0].lower().replace("_", "-") for group in lists for one in group}
    assert set() == {name for name in wanted if not name.startswith("clippy-")} - pinned


def test_uv_has_the_same_pins() -> None:
    """``uv run`` in a fresh clone gives the versions that were tested: pyproject.toml repeats constraints.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["uv"]["constraint-dependencies"] == _pins(), "run python tests/docs/pins.py"
