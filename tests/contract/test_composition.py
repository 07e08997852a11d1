"""The composition table: a part of it in which any three values meet is run, and the page must agree with that.

The whole of it is what makes the page: ``python tests/support/composition.py > docs/composition.md``.
"""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from composition import EXPLAINED, Cell, cells, page, run
from covering import covering, meetings
from sdk_lab import SDK_GENERATORS, private_folders

PAGE = Path(__file__).resolve().parents[2] / "docs" / "composition.md"
pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
RESULTS: dict[Cell, list[str]] = {}
CHOSEN = list(dict.fromkeys([*covering(cells(), attrs.astuple), *EXPLAINED]))
"""What is run: each plugin, entrance, colour, event and form in each company of two others, and what is explained."""


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private_folders(monkeypatch, tmp_path)


def result(cell: Cell) -> list[str]:
    """What is wrong in a cell, run once for all tests."""
    if cell not in RESULTS:
        RESULTS[cell] = run(cell)
    return RESULTS[cell]


@pytest.mark.parametrize(
    ("plugins", "colour", "entrance"), dict.fromkeys((one.plugins, one.colour, one.entrance) for one in CHOSEN)
)
def test_a_request_is_what_it_must_be_whatever_happens_to_it(plugins: str, colour: str, entrance: str) -> None:
    """Hit and miss, stream and plain call, with a retry, a cancel, a refusal and an error."""
    mine = [one for one in CHOSEN if (one.plugins, one.colour, one.entrance) == (plugins, colour, entrance)]
    wrong = {cell.name: found for cell in mine if (found := result(cell)) and cell not in EXPLAINED}
    assert wrong == {}


def test_the_page_says_that_every_cell_is_as_it_must_be() -> None:
    """``python tests/support/composition.py > docs/composition.md`` after a change: it has the cells that there are."""
    assert PAGE.read_text(encoding="utf-8") == page(
        {cell: result(cell) if cell in EXPLAINED else [] for cell in cells()}
    )


def test_what_is_run_has_every_meeting_of_three_values() -> None:
    """In a part of the table, so that the whole of it need not be run each time."""
    whole, part = ({one for cell in some for one in meetings(attrs.astuple(cell))} for some in (cells(), CHOSEN))
    assert part == whole
    assert len(CHOSEN) * 5 < len(list(cells()))


def test_hardly_anything_is_explained_and_nothing_that_is_green() -> None:
    """One cell in fifty at most; an explanation of a cell that works is out of date."""
    assert len(EXPLAINED) * 50 <= len(list(cells()))
    assert [] == [cell.name for cell in EXPLAINED if not result(cell)]
