"""``python -m docs.sitegen``: see the package."""

from __future__ import annotations

import sys

from .pages import write_pages

if __name__ == "__main__":
    if sys.argv[1:] == ["pages"]:
        write_pages()
