"""Pages of the documentation as programs: their blocks, and the files that they show.

``python tests/support/doc_pages.py FOLDER`` writes the package that the guide for plugin authors shows.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "write-a-plugin.md"
_BLOCK = re.compile(r"^(?:`([\w./-]+)`:\n\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of one language on a page, each with empty lines before it so that errors name the page's line.

    Without the files of :func:`files`: those are not part of the page's program.
    """
    text = page.read_text(encoding="utf-8")
    return [
        "\n" * text[: match.start(3)].count("\n") + match[3]
        for match in _BLOCK.finditer(text)
        if match[2] == language and not match[1]
    ]


def files(page: Path) -> dict[str, str]:
    """The files that a page shows whole: each block after a line that has nothing but the file's name."""
    return {match[1]: match[3] for match in _BLOCK.finditer(page.read_text(encoding="utf-8")) if match[1]}


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows into *folder*."""
    for name, text in files(page).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def write_package(page: Path, folder: Path) -> list[str]:
    """Write a page's files into *folder* and return what has to be on the path: the package is then installed there.

    Its metadata is what an installer makes of its pyproject.toml.
    """
    if not files(page):
        return []
    write_files(page, folder)
    project = tomllib.loads(files(page)["pyproject.toml"])["project"]
    requires = "".join(f"Requires-Dist: {one}\n" for one in project["dependencies"])
    points = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["clippy"].items())
    info = folder / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head + requires, encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[clippy]\n{points}", encoding="utf-8")
    return [str(folder / "src")]


if __name__ == "__main__":
    write_files(GUIDE, Path(sys.argv[1]))
