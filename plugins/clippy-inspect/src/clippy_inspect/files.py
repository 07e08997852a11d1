"""The files that the pages are made with: our own, and those that ``VENDOR.toml`` names."""

from __future__ import annotations

import importlib.resources
from functools import cache
from typing import Final

TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@cache
def files() -> dict[str, bytes]:
    """Every file by its name.  Names come from the folder, never from a request."""
    folder = importlib.resources.files("clippy_inspect") / "static"
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in TYPES}
