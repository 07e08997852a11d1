"""Whatever somebody else wrote is text on every page, every part of one and in all data, and it can be read there."""

from __future__ import annotations

import asyncio
import functools
import html.parser
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from attrs import define, field
from clippy_inspect.door import Door
from clippy_inspect.site import application
from clippy_inspect.text import visible
from clippy_inspect.view import View
from hostile_texts import CORPUS, Hosting, known, saying, utf8, varied

AT_ONCE = 24  # a dashboard has a line for each of so many names, and each plugin takes a twentieth of the time
PAGES = (
    "/", "/api/rows", "/requests/whole", "/streams", "/dashboard", "/profile", "/profile?q=failed&against=-failed",
    "/conversations", "/conversations/turn-0001",
)  # fmt: skip
OF_ONE = ("/requests/req-{:04}", "/requests/live-{:04}", "/conversations/req-{:04}")
DATA = (
    "/api/requests", "/api/requests/whole", "/api/streams", "/api/dashboard", "/api/profile",
    "/api/profile?q=failed&against=-failed", "/api/profile/speedscope", "/api/conversations",
    "/api/conversations/turn-0001",
)  # fmt: skip
SHOWN_ON = ("/", "/requests/whole", "/streams", "/dashboard", "/profile", "/conversations/turn-0001")
Tag = tuple[str, tuple[str, ...]]


@define(eq=False)
class Reader(html.parser.HTMLParser):
    """A page as a browser takes it apart: its tags with the names of their attributes, and its text."""

    tags: set[Tag] = field(factory=set)
    texts: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(page: httpx.Response) -> Reader:
    reader = Reader()
    reader.feed(page.text)
    return reader


def batched(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[place : place + AT_ONCE] for place in range(0, len(texts), AT_ONCE))


def squeezed(text: str) -> str:
    return " ".join(text.split())


def can_be_read(text: str, said: str) -> bool:
    """Whether a page shows *text*; in a JSON body it may be what UTF-8 leaves of it."""
    return any(squeezed(visible(one)) in said for one in (text, utf8(text)))


def asked(texts: Sequence[str], paths: Sequence[str]) -> dict[str, httpx.Response]:
    """What pages over requests that say *texts* answer."""
    door = Door(80)
    site = application(View(saying(texts), door.csrf, lambda: Hosting(tuple(texts))), door)  # type: ignore[arg-type]

    async def ask() -> dict[str, httpx.Response]:
        transport, token = httpx.ASGITransport(site), {"authorization": f"Bearer {door.token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:80", headers=token) as client:
            return {path: await client.get(path) for path in paths}

    return asyncio.run(ask())


@functools.cache
def harmless() -> dict[str, set[Tag]]:
    """The tags of each page where everything says one harmless word, and of those where a filter fits or does not."""
    filtered = ("/?q=harmless", "/?q=nothing", "/?q=status:soon", "/profile?q=nothing&against=harmless")
    paths = [*PAGES, *(path.format(1) for path in OF_ONE), *filtered, "/profile?q=status:soon"]
    found: dict[str, set[Tag]] = {}
    for path, page in asked(["harmless"] * AT_ONCE, paths).items():
        name = path.partition("?")[0]
        found[name] = found.get(name, set()) | read(page).tags
    return found


@pytest.mark.parametrize("made", [known, varied])
def test_no_page_gets_a_tag_or_an_attribute_from_a_text(made: object) -> None:
    """And every text can be read on it as it was said: nothing is taken away, whether it attacks or only looks so."""
    texts = made()  # type: ignore[operator]
    assert len(texts) > 20
    for some in batched(texts):
        for path, page in asked(some, PAGES).items():
            assert 200 == page.status_code, path
            found = read(page)
            assert found.tags <= harmless()[path.partition("?")[0]], path
            assert not any(sign in page.text for sign in "\x00\x1b\u200b\u202e"), path
            if path in SHOWN_ON:
                said = squeezed(" ".join(found.texts))
                missed = [
                    text for text in some if not any(squeezed(visible(one)) in said for one in (text, utf8(text)))
                ]
                assert missed == [], path


def test_neither_does_the_page_of_one_request() -> None:
    """Nor that of a conversation of its own; nor one that is asked for with such a filter."""
    for some in batched(known()):
        ways = {path.format(place): path for path in OF_ONE for place in range(1, len(some) + 1)}
        for path, page in asked(some, list(ways)).items():
            assert 200 == page.status_code, path
            assert read(page).tags <= harmless()[ways[path].format(1)], path
        queries = [str(httpx.URL("/", params={"q": utf8(text)})) for text in some]
        queries += [str(httpx.URL("/profile", params={"q": utf8(text), "against": utf8(text)})) for text in some]
        for query, page in asked(["harmless"], queries).items():
            assert read(page).tags <= harmless()[query.partition("?")[0]], query


@pytest.mark.parametrize("made", [known, varied])
def test_data_is_nothing_but_json(made: object) -> None:
    """No sign in it begins a tag, and no browser may take it for anything else."""
    for some in batched(made()):  # type: ignore[operator]
        for path, got in asked(some, DATA).items():
            kind = (got.headers["content-type"], got.headers["x-content-type-options"])
            assert ("application/json", "nosniff") == kind, path
            assert b"<" not in got.content, path
            got.json()


# --- addresses that carry data away, and characters without a shape ---------------------------------------------------

UNSEEN = re.compile(
    "[\u00ad\u200b\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e01ef]"
    "|[\ufe00-\ufe0f]{2}|\\A[\ufe00-\ufe0f]|[\u0300-\u036f]{9}"
)
FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")
SHOWN_AS_IT_IS = ("homoglyph", "unicode-035")
"""Words that a guard must compare and a page shows, and U+D7B0, with which Korean is written."""


def cases(name: str) -> list[dict[str, Any]]:
    file = CORPUS.with_name(f"{name}-dev.jsonl")
    if not file.exists():
        pytest.skip(f"this machine has no {name} corpus")
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_no_page_fetches_what_a_model_has_written() -> None:
    """Its pictures, links and tags are text, attacks and look-alikes alike, and a browser is told to load none."""
    texts = [case["input"] for case in cases("exfil")]
    (page,) = asked(texts, ["/requests/whole"]).values()
    found = read(page)
    assert found.tags <= harmless()["/requests/whole"]
    said = squeezed(" ".join(found.texts))
    assert [text for text in texts if not can_be_read(text, said)] == []
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_what_has_no_shape_is_named_and_what_is_written_stays() -> None:
    """Tags, marks of direction, fillers and payloads in variation selectors; not flags, emoji and other scripts."""
    wrong = []
    for case in cases("unicode"):
        text, shown = case["input"], visible(case["input"])
        stays = case["label"] == "benign" or case["cat"] in SHOWN_AS_IT_IS or case["id"] in SHOWN_AS_IT_IS
        if (shown == text) != stays or (not stays and UNSEEN.search(FLAG.sub("", shown))):
            wrong.append((case["id"], ascii(shown)))
    assert wrong == []
