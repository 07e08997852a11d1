"""The site: its diagrams show the code as it is, and what a reader without a network would miss is found."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from clippy_docs.diagrams import layers
from clippy_docs.imports import reduced
from clippy_docs.offline import faults
from clippy_hookspecs import POLICIES
from hypothesis import given
from hypothesis import strategies as st

from docs.sitegen.build import MARK, with_diagrams
from docs.sitegen.diagrams import DIAGRAMS, core_modules, distributions, way_of_a_request

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
SVG = "{http://www.w3.org/2000/svg}"


def _words(drawing: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(drawing).iter(f"{SVG}text")]


# --- diagrams ---------------------------------------------------------------------------------------------------------


def test_every_diagram_has_a_place_and_every_place_a_diagram() -> None:
    """A mark that is misspelt would stay an invisible comment."""
    marked = [name for page in PAGES for name in MARK.findall(page.read_text(encoding="utf-8"))]
    assert sorted(marked) == sorted(DIAGRAMS)
    comments = [word for page in PAGES for word in re.findall(r"<!-- *diagram.*?-->", page.read_text(encoding="utf-8"))]
    assert len(comments) == len(marked)


@pytest.mark.parametrize("name", DIAGRAMS)
def test_a_diagram_is_xml_on_one_line_with_a_label(name: str) -> None:
    """Markdown leaves it alone, browsers draw it, and a screen reader says what it is."""
    drawing = DIAGRAMS[name]()
    assert "\n" not in drawing
    assert ElementTree.fromstring(drawing).get("aria-label")


@pytest.mark.parametrize("name", DIAGRAMS)
def test_no_two_boxes_of_a_diagram_lie_on_each_other_or_outside(name: str) -> None:
    """With one plugin or module more it is still readable."""
    root = ElementTree.fromstring(DIAGRAMS[name]())
    _, _, width, height = (float(one) for one in (root.get("viewBox") or "").split())
    boxes = [
        tuple(float(rect.get(side, "0")) for side in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
        if "box" in (rect.get("class") or "")
    ]
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
    for number, (x, y, w, h) in enumerate(boxes):
        for a, b, c, d in boxes[number + 1 :]:
            assert x + w <= a or a + c <= x or y + h <= b or b + d <= y


def test_the_way_shows_every_hook_of_a_request() -> None:
    """In the order of pipeline.py's docstring, which is the calling order."""
    elsewhere = {"lifespan", "register_services", "register_commands", "register_routes", "cache_invalidate", "observe"}
    way = way_of_a_request()
    steps = [name for name in (*way.before, *way.attempt, *way.after) if name != "send"]
    assert steps == [name for name in POLICIES if name not in elsewhere]
    assert set(steps) <= set(_words(DIAGRAMS["way"]()))


def test_the_distributions_are_those_of_the_repository() -> None:
    """Each has its box, and no arrow leads to the host."""
    graph = distributions()
    assert {path.parent.name for path in ROOT.glob("plugins/*/src/*/__init__.py")} < set(graph)
    assert set(graph) <= set(_words(DIAGRAMS["distributions"]()))
    assert [] == [name for name, used in graph.items() if "clippy_core" in used]


def test_the_modules_are_those_of_the_core() -> None:
    """Each has its box with what it is for, and stands above what it imports."""
    modules = core_modules()
    there = {path.stem for path in (ROOT / "clippy_core").glob("*.py")} - {"__init__"}
    assert set(modules) == there | {path.parent.name for path in (ROOT / "clippy_core").glob("*/__init__.py")}
    assert all(module.purpose for module in modules.values())
    assert set(modules) == set(_words(DIAGRAMS["modules"]()))
    assert "runtime" in modules["host"].imports
    assert "streaming" in modules["pipeline"].imports
    assert "wrapping" not in modules["pipeline"].imports


@st.composite
def _graphs(draw: st.DrawFn) -> dict[str, frozenset[str]]:
    """Graphs without circles: each name imports some that come after it."""
    names = [f"m{number}" for number in range(draw(st.integers(1, 8)))]
    return {
        name: frozenset(draw(st.sets(st.sampled_from(names[place + 1 :])))) if names[place + 1 :] else frozenset()
        for place, name in enumerate(names)
    }


def _reachable(graph: dict[str, frozenset[str]], start: str) -> set[str]:
    return {end for one in graph[start] for end in {one, *_reachable(graph, one)}}


@given(_graphs())
def test_layers_and_what_is_left_out_keep_the_imports(graph: dict[str, frozenset[str]]) -> None:
    """Every name stands once, above all it imports; fewer lines lead from each name to the same names."""
    rows = layers(graph)
    place = {name: number for number, row in enumerate(rows) for name in row}
    assert sorted(name for row in rows for name in row) == sorted(graph)
    assert all(place[name] < place[one] for name, used in graph.items() for one in used)
    fewer = dict(reduced(graph))
    for name, used in graph.items():
        assert fewer[name] <= used
        assert _reachable(fewer, name) == _reachable(graph, name)


def test_imports_in_a_circle_are_told() -> None:
    """Instead of a drawing that leaves them out."""
    with pytest.raises(ValueError, match="in a circle: a, b"):
        layers({"a": frozenset("b"), "b": frozenset("a")})


def test_a_page_gets_its_drawing_in_place_of_the_mark() -> None:
    """Everything else stays; a drawing that there is not is an error."""
    page = with_diagrams("before\n\n<!-- diagram: way -->\n\nafter")
    assert page.startswith("before\n\n<figure>\n<svg")
    assert page.endswith("</svg>\n</figure>\n\nafter")
    with pytest.raises(KeyError):
        with_diagrams("<!-- diagram: nonsense -->")


# --- the check --------------------------------------------------------------------------------------------------------


def _site(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return list(faults(folder))


@pytest.mark.parametrize(
    "element",
    [
        '<script src="https://cdn.test/x.js"></script>',
        "<script src=//cdn.test/x.js></script>",
        '<link rel="stylesheet" href="https://fonts.test/css?family=Inter">',
        '<link rel="preconnect" href="https://fonts.test">',
        '<img src="http://images.test/a.png">',
        '<img srcset="a.png 1x, https://images.test/a.png 2x">',
        '<video poster="https://images.test/a.png"></video>',
        "<style>@import 'https://fonts.test/a.css';</style>",
        '<p style="background: url(https://images.test/a.png)">',
        '<svg><use xlink:href="https://images.test/a.svg#x"/></svg>',
        '<pre class="mermaid">graph</pre>',
    ],
)
def test_what_a_page_would_load_from_a_network_is_found(element: str, tmp_path: Path) -> None:
    """In whatever way HTML has for it."""
    found = _site(tmp_path, index_html=f"<html><body>{element}</body></html>", a_png="")
    assert len(found) == 1
    assert found[0].startswith("index.html ")


def test_what_a_style_sheet_would_load_is_found(tmp_path: Path) -> None:
    """Fonts come that way."""
    assert _site(tmp_path, a_css="@font-face { src: url(https://fonts.test/a.woff2) }") == [
        "a.css loads https://fonts.test/a.woff2"
    ]


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    """A file or a place on a page; links to pages of others are nobody's fault."""
    page = '<h1 id="top">A</h1><a href="https://python.org/">P</a><a href="#top">1</a><a href="b.html#there">2</a>'
    broken = '<a href="#gone">3</a><a href="b.html#gone">4</a><a href="c.html">5</a><img src="d.png">'
    other = '<p id="there">B</p><img src="data:image/png;base64,AA==">'
    assert _site(tmp_path, a_html=page, b_html=other) == []
    assert _site(tmp_path, a_html=page + broken, b_html=other) == [
        "a.html links to #gone: no such place on that page",
        "a.html links to b.html#gone: no such place on that page",
        "a.html links to c.html: no such file",
        "a.html links to d.png: no such file",
    ]
