"""Whether a built site can be read without a network, and whether its links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import attrs

_LOADED = frozenset({"src", "srcset", "poster", "data", "action", "formaction", "background"})
_URL = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""")
_ON_DEMAND = frozenset({"mermaid", "pyodide", "glightbox", "md-source"})
"""Classes for which the theme's script would fetch another script, or ask a code host, from the network."""


@attrs.define(eq=False)
class _Page(HTMLParser):
    """What a page loads, links to and can be linked at."""

    loads: list[str] = attrs.field(init=False, factory=list)
    links: list[str] = attrs.field(init=False, factory=list)
    anchors: set[str] = attrs.field(init=False, factory=set)
    classes: set[str] = attrs.field(init=False, factory=set)
    _in_style: bool = attrs.field(init=False, default=False)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, found: list[tuple[str, str | None]]) -> None:
        """Sort the attributes of one element."""
        self._in_style = tag == "style"
        for name, value in found:
            text = value or ""
            if name in _LOADED or (name.endswith("href") and tag not in ("a", "area")):
                self.loads += (
                    [part.split()[0] for part in text.split(",") if part.strip()] if name == "srcset" else [text]
                )
            elif name == "href":
                self.links.append(text)
            elif name == "style":
                self.loads += _URL.findall(text)
            elif name in ("id", "name"):
                self.anchors.add(text)
            elif name == "class":
                self.classes |= set(text.split())

    def handle_data(self, data: str) -> None:
        """The text of a style sheet in the page."""
        if self._in_style:
            self.loads += _URL.findall(data)

    def handle_endtag(self, tag: str) -> None:
        """A style sheet ends."""
        self._in_style = False


def faults(site: Path) -> Iterator[str]:
    """A sentence for each thing that a reader without a network would miss, and for each link that leads nowhere."""
    pages: dict[Path, _Page] = {}
    for path in sorted(site.rglob("*.html")):
        pages[path] = page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    for path, page in pages.items():
        name = path.relative_to(site)
        yield from (f"{name} loads {one}" for one in page.loads if _is_remote(one))
        yield from (f"{name} has an element of class {one}" for one in sorted(page.classes & _ON_DEMAND))
        # The page for what was not found is shown at any address: its own links are from the root of a server.
        if path.name != "404.html":
            links = [*page.links, *(one for one in page.loads if not one.startswith("data:"))]
            yield from (f"{name} links to {one}: {what}" for one in links if (what := _broken(one, path, pages)))
    for path in sorted(site.rglob("*.css")):
        found = _URL.findall(path.read_text(encoding="utf-8"))
        yield from (f"{path.relative_to(site)} loads {one}" for one in found if _is_remote(one))


def _is_remote(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def _broken(address: str, path: Path, pages: dict[Path, _Page]) -> str:
    parts = urlsplit(address)
    if parts.netloc or parts.scheme:
        return ""  # somebody else's page: a reader follows it or not
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return "no such file"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return "no such place on that page"
    return ""
