"""Builds the site: the pages with their diagrams, by Zensical, checked for what a reader without a network misses."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from clippy_docs.site import SiteFault, add_assets, zensical_site

from .diagrams import DIAGRAMS

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"^<!-- diagram: (\w+) -->$", re.MULTILINE)


def with_diagrams(page: str) -> str:
    """*page* with a drawing in each marked place.  Raises KeyError for a drawing that there is not."""
    return MARK.sub(lambda match: f"<figure>\n{DIAGRAMS[match[1]]()}\n</figure>", page)


def build(target: Path = ROOT / "site") -> None:
    """Build the site into *target*, which is replaced.  Raises SystemExit with every fault."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copy(ROOT / "mkdocs.yml", work)
        shutil.copytree(ROOT / "docs", work / "docs", ignore=shutil.ignore_patterns("__pycache__"))
        add_assets(work / "docs")
        for page in (work / "docs").rglob("*.md"):
            page.write_text(with_diagrams(page.read_text(encoding="utf-8")), encoding="utf-8")
        try:
            site = zensical_site(work)
        except SiteFault as fault:
            raise SystemExit(str(fault)) from fault
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(site, target)
    pages = len(list(target.rglob("*.html")))
    sys.stdout.write(f"{pages} pages are built; every link leads somewhere and nothing is loaded from a network\n")
