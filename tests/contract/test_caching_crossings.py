"""The crossing table of caching: a part of it in which any three values meet is run, and the page must agree with that.

The whole of it is what makes the page: ``python tests/support/caching_crossings.py > docs/caching-crossings.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import define, evolve, field
from caching_crossings import COLOURS, KINDS, PLUGINS, Crossing, crossings, page, run
from clippy_hookspecs import CacheEntry, hookimpl
from covering import covering, meetings
from sdk_lab import private_folders

PAGE = Path(__file__).resolve().parents[2] / "docs" / "caching-crossings.md"
CHOSEN = covering(crossings(), attrs.astuple)
"""What is run: each kind of answer, event, form, cache and colour in each company of two others."""


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private_folders(monkeypatch, tmp_path)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("plugins", PLUGINS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_answer_is_what_the_provider_said(kind: str, plugins: str, colour: str) -> None:
    """Stored by a stream or a plain call, asked for as either, after a retry, another route, a cancel, a new filter."""
    mine = [one for one in CHOSEN if (one.kind, one.plugins, one.colour) == (kind, plugins, colour)]
    assert {one.name: wrong for one in mine if (wrong := run(one))} == {}


def test_the_page_says_that_every_cell_is_as_it_must_be() -> None:
    """``python tests/support/caching_crossings.py > docs/caching-crossings.md`` after a change: it has all cells."""
    assert PAGE.read_text(encoding="utf-8") == page({one: [] for one in crossings()})


def test_what_is_run_has_every_meeting_of_three_values() -> None:
    """In a part of the table, so that the whole of it need not be run each time."""
    whole, part = ({one for cell in some for one in meetings(attrs.astuple(cell))} for some in (crossings(), CHOSEN))
    assert part == whole
    assert len(CHOSEN) * 5 < len(list(crossings()))


@define(eq=False)
class Careless:
    """A cache that gives back other events than it was given."""

    kept: dict[str, CacheEntry] = field(factory=dict)
    spoil: Any = None

    @hookimpl(tryfirst=True)
    def cache_lookup(self, key: str) -> CacheEntry | None:
        entry = self.kept.get(key)
        return entry and evolve(entry, events=tuple(self.spoil(entry.events)))

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry) -> None:
        self.kept[key] = entry


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("text", lambda events: (*events[:2], *events[3:])),
        ("tools", lambda events: (*events[:-2], events[-3], *events[-2:])),
        ("text", lambda events: (*events[:-1], events[-2], events[-1])),
        ("Responses API", lambda events: events[::-1]),
        ("reasoning", lambda events: events[:-1]),
    ],
)
def test_a_cache_that_loses_doubles_or_turns_events_is_found(kind: str, spoil: Any) -> None:
    """So that a green cell means something."""
    one = Crossing(kind, "plain", True, True, "cache-memory", "sync")
    assert run(one, {"aa-careless": Careless(spoil=tuple)}) == []
    assert run(one, {"aa-careless": Careless(spoil=spoil)}) != []
