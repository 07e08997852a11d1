"""The pages, asked over HTTP as a browser or a script asks them."""

from __future__ import annotations

import pytest
from inspect_world import Kept, Site, cached, exchange, failed, retried, streamed


@pytest.fixture
def source() -> Kept:
    return Kept([exchange(1), streamed(2), retried(3), failed(4), cached(5)])


def test_the_live_list_shows_the_newest_first(source: Kept) -> None:
    with Site(source) as site:
        text = site.get("/").text
    assert sorted(range(1, 6), key=lambda n: text.index(f"/requests/req-{n:04}")) == [5, 4, 3, 2, 1]
