"""The pages that are made from the code, and where they stand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from clippy_docs.values import values_page

from .plugins import BY, hooks_page, plugins_page

DOCS = Path(__file__).resolve().parents[1]
PAGES: dict[str, Callable[[], str]] = {
    "hooks.md": hooks_page,
    "plugins.md": plugins_page,
    "values.md": lambda: values_page(BY),
}
REGENERATE = BY


def write_pages() -> None:
    """Write every page that is not what the code says."""
    for name, make in PAGES.items():
        text, path = make(), DOCS / name
        changed = not path.exists() or path.read_text(encoding="utf-8") != text
        if changed:
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/{name} {'is written anew' if changed else 'is as the code says'}\n")
