"""What may be said of caches for one request, and what is no such thing."""

from __future__ import annotations

import re
from typing import Any

import clippy_cache
import httpx
import pytest
from attrs import fields
from calling import Caller
from clippy_cache.asking import asked
from clippy_cache.directives import LONGEST, NOTHING, Directives, parse
from clippy_hookspecs import CacheControl, Refusal
from hypothesis import given
from hypothesis import strategies as st

NAMES = ("no-store", "no-cache", "only-if-cached", "join", "no-join", "max-age", "ttl", "stale-if-error", "tags")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", NOTHING),
        (" , ,", NOTHING),
        ("no-store", Directives(no_store=True)),
        ("No-Store , no-cache", Directives(no_store=True, no_cache=True)),
        ("max-age=0, ttl=0.5", Directives(max_age=0.0, ttl=0.5)),
        ('ttl="60"', Directives(ttl=60.0)),
        ("stale-if-error=600,only-if-cached", Directives(stale_if_error=600.0, only_if_cached=True)),
        ("max-age=99999999999999999999", Directives(max_age=LONGEST)),
        ('tags="news  sport news"', Directives(tags=("news", "sport"))),
        ("tags=news, no-join", Directives(tags=("news",), join=False)),
        (r'tags="a\"b c\\d"', Directives(tags=('a"b', r"c\d"))),
        ("join", Directives(join=True)),
    ],
)
def test_directives_are_read_as_those_of_cache_control(text: str, said: Directives) -> None:
    assert parse(text) == said


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("no-stor", "'no-stor'; did you mean no-store?"),
        ("nostore", "did you mean no-store?"),
        ("public", "'public'"),
        ("ttl", "ttl needs a value, as in ttl=60"),
        ("ttl=", "'ttl='"),
        ("ttl=0", "no-store"),
        ("ttl=-1", "'-1'"),
        ("max-age=1e3", "'1e3'"),
        ("max-age=nan", "'nan'"),
        ("no-store=1", "no-store takes no value"),
        ("ttl=1, ttl=2", "ttl is said twice"),
        ("join, no-join", "join and no-join together"),
        ("no-cache, only-if-cached", "cannot both be obeyed"),
        ("no-store no-cache", "'no-store no-cache'"),
        ('tags="a', "'tags=\"a'"),
        ("tags=a b", "'tags=a b'"),
        ("no-störe", "no-st\\xf6re"),
        (f"tags={'x' * 201}", "tags: at most"),
    ],
)
def test_what_is_no_directive_is_named_and_never_passed_over(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=re.escape(named)) as caught:
        parse(text)
    assert str(caught.value).isascii()


@st.composite
def written(draw: st.DrawFn) -> tuple[str, Directives]:
    """Directives and one way to write them: any order, any case, tokens or quoted strings, empty places."""
    seconds = st.integers(1, 10**9).map(float) | st.decimals("0.001", "1000", places=3).map(float)
    flags = draw(st.sets(st.sampled_from(["no-store", "no-cache", "only-if-cached"])))
    if {"no-cache", "only-if-cached"} <= flags:
        flags.discard("only-if-cached")
    values: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {}, optional={"max-age": seconds, "ttl": seconds, "stale-if-error": seconds, "join": st.booleans()}
        )
    )
    tags = draw(
        st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8), max_size=3)
    )
    pieces = [*flags]
    for name, value in values.items():
        if name == "join":
            pieces.append("join" if value else "no-join")
        else:
            text = f"{value:.3f}".rstrip("0").rstrip(".")
            pieces.append(f"{name}={text}" if draw(st.booleans()) else f'{name}="{text}"')
    if tags:
        quoted = " ".join(tags).replace("\\", "\\\\").replace('"', '\\"')
        pieces.append(f'tags="{quoted}"')
    pieces = [
        piece.upper() if piece.isascii() and "tags" not in piece and draw(st.booleans()) else piece for piece in pieces
    ]
    between = st.sampled_from([",", " ,", ", ", ", ,\t"])
    text = "".join(f"{piece}{draw(between)}" for piece in draw(st.permutations(pieces)))
    said = Directives(
        **{name.replace("-", "_"): True for name in flags},
        **{name.replace("-", "_"): value for name, value in values.items()},
        tags=tuple(tags),
    )
    return text, said


@given(written())
def test_whatever_may_be_said_is_read_back(one: tuple[str, Directives]) -> None:
    text, said = one
    assert parse(text) == said


@given(st.text() | st.text(alphabet='no-storecahjimxgtl=", \\01\t'))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        said = parse(text)
    except ValueError:
        return
    assert isinstance(said, Directives)
    assert said != NOTHING or not text.strip(" \t,")


@given(written(), written())
def test_an_inner_block_wins_and_takes_back_no_no_store(
    one: tuple[str, Directives], other: tuple[str, Directives]
) -> None:
    outer, inner = one[1], other[1]
    both = inner.within(outer)
    assert both.no_store == (outer.no_store or inner.no_store)
    for name in ("max_age", "ttl", "stale_if_error", "join"):
        mine = getattr(inner, name)
        assert getattr(both, name) == (getattr(outer, name) if mine is None else mine)
    assert {*both.tags} == {*outer.tags, *inner.tags}
    control = both.applied(CacheControl())
    assert control.store == (not both.no_store)
    assert control.lookup == (not both.no_cache)


def test_blocks_say_it_by_words_and_by_name_and_end() -> None:
    with clippy_cache.caching("ttl=60", tags=["a"]):
        assert asked.get() == Directives(ttl=60.0, tags=("a",))
        with clippy_cache.caching(no_store=True, ttl=5.0):
            assert asked.get() == Directives(no_store=True, ttl=5.0, tags=("a",))
        with pytest.raises(ValueError, match="no-store"), clippy_cache.caching("no-stroe"):
            raise AssertionError("not reached")
        assert asked.get() == Directives(ttl=60.0, tags=("a",))
    assert asked.get() is None


def test_a_block_takes_by_name_whatever_can_be_said() -> None:
    names = {one.name for one in fields(Directives)}
    assert names == {name.replace("no-join", "join").replace("-", "_") for name in NAMES}
    for name in names - {"tags"}:
        value = 60 if name in ("max_age", "ttl", "stale_if_error") else True
        with clippy_cache.caching(**{name: value}):
            assert getattr(asked.get(), name) == value


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"ttl": "60"}, "ttl takes seconds as a number, as in ttl=60, not '60'"),
        ({"max_age": True}, "max_age takes seconds as a number"),
        ({"no_store": "yes"}, "no_store is True or False, not 'yes'"),
        ({"tags": 5}, "tags takes names"),
        ({"tags": ["news", 5]}, "tags takes names, .* not .5.$"),
        ({"directives": {"no-store": True}}, "directives are a text, as in 'no-store, ttl=60'"),
    ],
)
def test_a_value_of_another_type_is_said_to_be_none(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why), clippy_cache.caching(**said):
        raise AssertionError("not reached")


def test_one_tag_is_a_text_and_not_its_letters() -> None:
    """``caching(tags="news")``, as people write it."""
    with clippy_cache.caching(tags="news"):
        assert asked.get().tags == ("news",)


def test_a_header_and_a_block_that_cannot_both_be_obeyed_are_refused_as_a_header_is() -> None:
    caller = Caller("sync", httpx).start({"cache": clippy_cache.CachePolicy(keep_statistics=False)}, None)
    names = [f"t{number}" for number in range(40)]
    with clippy_cache.caching(tags=names[:20]), pytest.raises(Refusal, match="at most 32") as caught:
        caller.chat("Hello", directives={"cache": f'tags="{" ".join(names[20:])}"'})
    assert (caught.value.status, caught.value.code) == (400, "cache_directive")
