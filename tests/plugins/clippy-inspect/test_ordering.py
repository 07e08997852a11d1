"""The live list in the order of one of its columns: with the filter, page by page, and while it goes on."""

from __future__ import annotations

import re

import pytest
from clippy_hookspecs import Usage
from clippy_inspect.ordering import COLUMNS, Order
from clippy_recorder import Exchange
from hypothesis import given
from hypothesis import strategies as st
from inspect_world import Kept, Site, cached, exchange, failed, streamed

WORDS = [f"{sign}{column}" for column in COLUMNS for sign in ("", "-")]
NUMBERS = st.none() | st.integers(0, 9)


def ids(one: Site, query: str) -> list[str]:
    """What the list shows, from above, which is what the API tells of it."""
    told = [line["id"] for line in one.get(f"/api/requests?{query}").json()["requests"]]
    assert re.findall(r'id="go-([\w-]+)"', one.get(f"/?{query}").text) == told
    return told


@st.composite
def calls(draw: st.DrawFn) -> list[Exchange]:
    """Requests of few values, so that many are equal, and some of which nothing is known yet."""

    def one(number: int) -> Exchange:
        took, first, given_, got, cost = (draw(NUMBERS) for _ in range(5))
        usage = None if given_ is None or got is None else Usage(given_, got)
        return exchange(number, duration=took, first_token=first, usage=usage, cost=cost)

    return [one(number) for number in range(draw(st.integers(0, 8)))]


@given(calls(), st.sampled_from(WORDS))
def test_every_request_stands_once_in_order_and_what_is_not_known_last(made: list[Exchange], word: str) -> None:
    order, of = Order.parse(word), COLUMNS[word.removeprefix("-")].of
    newest_first = made[::-1]
    found = order.sorted(newest_first)
    assert sorted(one.id for one in found) == sorted(one.id for one in made)
    values = [of(one) for one in found]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=word.startswith("-"))
    for value in {*values}:  # of the same value the newest first, whichever way
        assert [one for one in found if of(one) == value] == [one for one in newest_first if of(one) == value]
    assert Order.parse(str(order)) == order


def test_a_column_is_sorted_together_with_the_filter() -> None:
    slow, quick = exchange(1, duration=9_000_000, cost=0.5), exchange(2, duration=1000, cost=2.0)
    running = streamed(6, state="running", duration=None, usage=None, cost=None, first_token=None)
    with Site(Kept([slow, quick, failed(3, duration=5000), cached(4), running])) as one:
        assert ids(one, "") == ids(one, "sort=-began") == [f"req-{number:04}" for number in (6, 4, 3, 2, 1)]
        assert ids(one, "sort=began") == [f"req-{number:04}" for number in (1, 2, 3, 4, 6)]
        assert ids(one, "sort=-duration") == [f"req-{number:04}" for number in (1, 3, 2, 4, 6)]
        assert ids(one, "sort=duration&q=-running") == [f"req-{number:04}" for number in (4, 2, 3, 1)]
        assert ids(one, "sort=-cost&q=answered") == ["req-0002", "req-0001"]
        assert ids(one, "sort=cost")[0] == "req-0004", "what a cache answered cost nothing"


def test_further_pages_go_on_in_the_same_order() -> None:
    """Each page's links, those of the heads and of the usual filters too, keep filter and order."""
    with Site(Kept([exchange(number, duration=1000 + number * 7 % 450) for number in range(450)])) as one:
        seen, path = [], "/?q=answered&sort=-duration"
        while path:
            page = one.get(path).text
            seen += re.findall(r'id="go-([\w-]+)"', page)
            further = re.search(r'href="([^"]+)">Further<', page)
            path = further.group(1).replace("&amp;", "&") if further else ""
        assert 'href="/?q=answered&amp;sort=-duration">The longest<' in page
        assert 'href="/?q=failed&amp;sort=-duration"' in page
        took = [one.source.find(name).duration for name in seen]
    assert (len({*seen}), took) == (450, sorted(took, reverse=True))


@pytest.mark.parametrize(
    ("sort", "column", "said", "leads_to"),
    [
        ("", "began", "descending", "/?q=gpt&amp;sort=began"), ("began", "began", "ascending", "/?q=gpt"),
        ("-cost", "cost", "descending", "/?q=gpt&amp;sort=cost"),
        ("cost", "cost", "ascending", "/?q=gpt&amp;sort=-cost"),
        ("cost", "duration", None, "/?q=gpt&amp;sort=-duration"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/api/rows"])
def test_the_head_of_a_column_says_how_it_is_sorted_and_turns_it(
    path: str, sort: str, column: str, said: str | None, leads_to: str
) -> None:
    """As a page and as what is drawn again when the filter was changed."""
    with Site(Kept([exchange(1)])) as one:
        page = one.get(f"{path}?q=gpt&sort={sort}").text
    (head,) = re.findall(rf'<th scope="col"([^>]*)><a id="by-{column}" href="([^"]+)">', page)
    assert (re.search(r'aria-sort="(\w+)"', head[0]) or [None, None])[1] == said
    assert head[1] == leads_to
    assert page.count("aria-sort") == 1


@pytest.mark.parametrize("sort", ["cots", "-", "--cost", "<b>"])
def test_what_is_no_column_is_said(sort: str) -> None:
    with Site(Kept([exchange(1), exchange(2)])) as one:
        refused = one.client.get("/api/requests", params={"sort": sort})
        page = one.client.get("/", params={"sort": sort}).text
    assert refused.status_code == 400
    assert (
        "is no column; there are began, duration, first_token, tokens_in, tokens_out, cost" in refused.json()["error"]
    )
    assert "is no column" in page
    assert re.findall(r'id="go-([\w-]+)"', page) == ["req-0002", "req-0001"]
    assert "<b>" not in page
