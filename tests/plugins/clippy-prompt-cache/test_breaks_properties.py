"""The first byte that differs, for any two prompts."""

from __future__ import annotations

import json
from typing import Any

from clippy_prompt_cache.breaks import first_break, text_change
from clippy_prompt_cache.parts import parts_of_body
from hypothesis import given
from hypothesis import strategies as st

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, 1.0]), words),
    lambda some: st.one_of(st.lists(some, max_size=3), st.dictionaries(words, some, max_size=3)),
    max_leaves=6,
)
messages = st.one_of(
    st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "assistant"]), words),
    st.builds(lambda value: {"role": "user", "content": [{"type": "x", "of": value}]}, values),
    values,
)
bodies = st.fixed_dictionaries(
    {"model": st.sampled_from(["m", "n"]), "messages": st.lists(messages, max_size=4)},
    optional={"tools": st.lists(values, max_size=3), "system": words},
)


def written(body: dict[str, Any]) -> list[bytes]:
    return [part.text.encode() for part in parts_of_body(body, "anthropic.messages")]


@given(bodies, bodies)
def test_the_offset_is_that_of_the_first_byte_that_differs(one: dict[str, Any], other: dict[str, Any]) -> None:
    old, new = written(one), written(other)
    found = first_break(parts_of_body(one, "anthropic.messages"), parts_of_body(other, "anthropic.messages"))
    shared = next((at for at, (was, now) in enumerate(zip(old, new, strict=False)) if was != now), None)
    if shared is None:
        assert found is None
        return
    assert found is not None
    before = sum(map(len, old[:shared]))
    assert before <= found.offset < before + max(len(old[shared]), len(new[shared]), 1)
    assert b"".join(old)[: found.offset] == b"".join(new)[: found.offset]


@given(bodies, st.lists(messages, max_size=3))
def test_a_conversation_that_grows_or_goes_back_does_not_break(body: dict[str, Any], more: list[Any]) -> None:
    longer = {**body, "messages": [*body["messages"], *more]}
    one, other = (parts_of_body(json.loads(json.dumps(each)), "openai.chat") for each in (body, longer))
    assert first_break(one, other) is None
    assert first_break(other, one) is None


@given(words, words)
def test_a_change_of_a_text_has_a_kind(was: str, now: str) -> None:
    assert text_change(was, now) in ("whitespace", "time", "id", "number", "text")


def test_kinds_of_changes() -> None:
    told = {
        ("Today is 2026-11-27.", "Today is 2026-11-28."): "time",
        ("at 10:59 sharp", "at 11:00 sharp"): "time",
        ("on 28/11/2026", "on 29/11/2026"): "time",
        ("2026-11-28T10:00:00Z", "2026-11-28T10:00:01Z"): "time",
        ("turn 9 of 30", "turn 10 of 30"): "number",
        ("id 550e8400-e29b-41d4-a716-446655440000", "id 650e8400-e29b-41d4-a716-446655440000"): "id",
        ("request req_8f3a9c2e", "request req_91bb02fa"): "id",
        ("a  b", "a b"): "whitespace",
        ("a\tb", "a\nb"): "whitespace",
        ("Be kind.", "Be brief."): "text",
        ("", "x"): "text",
    }
    assert {pair: text_change(*pair) for pair in told} == told


def test_a_word_without_end_is_looked_at_only_around_its_difference() -> None:
    digits = "1" * 300_000
    assert text_change(f"{digits}a", f"{digits}b") == "id"
    assert text_change(f"{digits}1{digits}", f"{digits}2{digits}") == "number"
