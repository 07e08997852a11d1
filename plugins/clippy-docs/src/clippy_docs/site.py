"""Pages of HTML from a folder of Markdown, by Zensical, checked for what a reader without a network would miss."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from .offline import faults

INSTALL = "pages need Zensical: python -m pip install 'clippy-docs[html]'; --format markdown does without"


class SiteFault(Exception):
    """The site cannot be built, or a reader without a network would miss something of it: a line for each fault."""


def add_assets(docs: Path) -> None:
    """Give the pages in *docs* the style sheet and the script that they would else load from a network."""
    shutil.copytree(Path(__file__).with_name("assets"), docs / "assets", dirs_exist_ok=True)


def zensical_site(work: Path) -> Path:
    """Build what ``mkdocs.yml`` in *work* describes; the folder of the site.  Raises SiteFault."""
    if find_spec("zensical") is None:
        raise SiteFault(INSTALL)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    run = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)  # noqa: S603 (a fixed command)
    if run.returncode != 0:
        raise SiteFault(f"the site could not be built:\n{run.stdout}{run.stderr}")
    found = list(faults(work / "site"))
    if found:
        raise SiteFault("\n".join(["the site was built, but", *found]))
    return work / "site"
