"""The same pages as a site that needs no network and no server."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .site import add_assets, zensical_site

_SETTINGS = """\
site_name: What is installed
docs_dir: docs
use_directory_urls: false
theme:
  name: material
  language: en
  font: false
  palette:
    - media: "(prefers-color-scheme: light)"
      scheme: default
      toggle:
        icon: lucide/sun
        name: Dark
    - media: "(prefers-color-scheme: dark)"
      scheme: slate
      toggle:
        icon: lucide/moon
        name: Light
  features: [navigation.footer, toc.follow, search.highlight, content.code.copy]
extra:
  generator: false
  polyfills: [assets/iframe-worker.js]
extra_css: [assets/site.css]
plugins: [search, offline]
markdown_extensions:
  - attr_list
  - md_in_html
  - tables
  - toc:
      permalink: true
  - pymdownx.superfences
validation:
  links:
    not_found: warn
    anchors: warn
nav:
"""


def html(pages: Mapping[str, str]) -> dict[str, bytes]:
    """The files of the site.  Raises SiteFault."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name, text in pages.items():
            path = work / "docs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        add_assets(work / "docs")
        nav = "".join(f"  - {json.dumps(name)}\n" for name in pages)
        (work / "mkdocs.yml").write_text(_SETTINGS + nav, encoding="utf-8")
        site = zensical_site(work)
        return {
            path.relative_to(site).as_posix(): path.read_bytes() for path in sorted(site.rglob("*")) if path.is_file()
        }
