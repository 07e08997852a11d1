"""Files of others: each is written down with its version, licence and hash, and is what it was."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("vendor", Path(__file__).with_name("vendor.py"))
assert _spec is not None
assert _spec.loader is not None
vendor = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(vendor)

OURS = {"app.css", "app.js", "theme.js", "icon.svg", "charts.js", "again.js", "times.js", "VENDOR.toml"}


@pytest.mark.parametrize("folder", vendor.FOLDERS, ids=lambda folder: folder.name)
def test_every_file_of_others_is_what_was_written_down(folder: Path) -> None:
    written = {file["name"]: file["sha256"] for package in vendor.packages(folder) for file in package["file"]}
    there = {file.name for file in folder.iterdir() if file.name not in OURS}
    assert there == set(written)
    assert written == {name: vendor.hashed((folder / name).read_bytes()) for name in written}


@pytest.mark.parametrize("folder", vendor.FOLDERS, ids=lambda folder: folder.name)
def test_every_package_says_whose_it_is(folder: Path) -> None:
    for package in vendor.packages(folder):
        assert package["version"]
        assert package["licence"] in {"0BSD", "MIT", "MPL-2.0"}
        assert any("LICENSE" in file["name"] for file in package["file"])


def test_nothing_is_loaded_from_a_network() -> None:
    """No page and no file of ours names another host."""
    package = vendor.FOLDERS[0].parent
    ours = [*package.glob("templates/*.html"), *(vendor.FOLDERS[0] / name for name in OURS - {"VENDOR.toml"})]
    for file in ours:
        if file.exists():
            text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert [] == [word for word in ("http:", "https:", "//cdn", "@import") if word in text], file
