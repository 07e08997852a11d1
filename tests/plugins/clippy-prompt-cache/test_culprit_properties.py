"""Whose doing a break is, for any conversation and any place of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from clippy_hookspecs import Scope
from clippy_prompt_cache.lineage import Lineage, Seen
from clippy_prompt_cache.parts import Part, parts_of_body
from hypothesis import given
from hypothesis import strategies as st

Messages = list[dict[str, Any]]
words = st.text("abcdef ", min_size=1, max_size=8)
numbers = st.integers(0, 30)


def parts(messages: Messages) -> tuple[Part, ...]:
    return parts_of_body({"model": "m", "messages": messages}, "openai.chat")


def talk(texts: list[str]) -> Messages:
    """Turns that differ from each other, so that a place is one place."""
    return [{"role": "user", "content": f"{number} {text}"} for number, text in enumerate(texts)]


def changed(messages: Messages, at: int, how: str) -> Messages:
    """*messages* with another turn at one place, one more, or one less."""
    other: Messages = json.loads(json.dumps(messages))
    if how == "removed":
        del other[at]
    elif how == "added":
        other.insert(at, {"role": "user", "content": "something in between"})
    else:
        other[at]["content"] += " and more"
    return other


def in_front(messages: Messages) -> Messages:
    """What a plugin makes of every request in the same way."""
    return [{"role": "system", "content": "Be brief."}, *messages]


def without_first(messages: Messages) -> Messages:
    return messages[1:]


def seen(messages: Messages, stages: list[Callable[[Messages], Messages]]) -> Seen:
    came = stages[0](messages)
    entered = stages[1](came)
    sent = stages[2](entered)
    return Seen(
        "id", Scope("t"), "", "openai.chat", "m", parts(came), parts(entered), parts(sent), (), ("enters",), ("leaves",)
    )


@given(
    st.lists(words, min_size=4, max_size=8),
    st.integers(0, 2),
    st.sampled_from(["removed", "added", "changed"]),
    st.sampled_from(["caller", "pre_request", "sending"]),
    st.lists(st.sampled_from([in_front, without_first]), min_size=2, max_size=2),
)
def test_the_part_of_the_way_on_which_it_broke_is_found(
    texts: list[str], at: int, how: str, part: str, steady: list[Callable[[Messages], Messages]]
) -> None:
    """Also when plugins before and behind the culprit move everything, in the same way for both requests."""
    old, new = talk(texts[:-1]), talk(texts)
    place = ["caller", "pre_request", "sending"].index(part)

    def same(messages: Messages) -> Messages:
        return messages

    stages = [same, *steady]

    def broken(messages: Messages) -> Messages:
        messages = stages[place](messages)
        return changed(messages, min(at, len(messages) - 3), how)

    lineage = Lineage(8, 10**6)
    assert lineage.add(seen(old, stages)) is None
    found = lineage.add(seen(new, [*stages[:place], broken, *stages[place + 1 :]]))
    before, after = seen(old, stages).sent, seen(new, [*stages[:place], broken, *stages[place + 1 :]]).sent
    if all(was.text == now.text for was, now in zip(before, after, strict=False)):
        assert found is None  # what was changed is dropped on the way
        return
    assert found is not None
    assert found.part == part
    assert found.by == {"caller": (), "pre_request": ("enters",), "sending": ("leaves",)}[part]


@given(st.lists(words, min_size=2, max_size=8), st.lists(st.sampled_from([in_front, without_first]), min_size=2))
def test_what_is_changed_in_the_same_way_each_time_is_nobodys_fault(
    texts: list[str], steady: list[Callable[[Messages], Messages]]
) -> None:
    lineage = Lineage(8, 10**6)
    for until in range(1, len(texts) + 1):
        assert lineage.add(seen(talk(texts[:until]), [lambda messages: messages, *steady[:2]])) is None
