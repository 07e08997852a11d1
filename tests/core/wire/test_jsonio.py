"""JSON is read and written exactly, whichever library does it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clippy_core import jsonio

NUMBERS = st.one_of(
    st.integers(),
    st.integers(min_value=2**62, max_value=2**70),
    st.integers(min_value=-(2**70), max_value=-(2**62)),
    st.floats(),
)
TEXTS = st.one_of(st.text(), st.text(st.characters(categories=["Cs", "Cc", "Lu"])))


def values(numbers: st.SearchStrategy[Any], texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | numbers | texts
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)


ANY = values(NUMBERS, TEXTS)
EXACT = values(NUMBERS.filter(lambda number: math.isfinite(number)), st.text())


def same(left: Any, right: Any) -> bool:
    """Equal as JSON, where NaN is NaN, 1 is not 1.0 and 1 is not true."""
    return repr(left) == repr(right)


@given(ANY)
def test_what_is_written_is_read_back(value: Any) -> None:
    """Big integers, NaN, infinities and lone surrogates survive; a pair of surrogates is the character it spells."""
    assert same(json.loads(json.dumps(value)), jsonio.loads(jsonio.dumps(value)))


@given(ANY, st.booleans())
def test_reading_gives_what_the_standard_library_gives(value: Any, ascii_only: bool) -> None:
    """Texts and bytes alike, escaped or not."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert same(json.loads(text), jsonio.loads(text))
    octets = text.encode("utf-8", "surrogatepass")
    assert same(json.loads(octets), jsonio.loads(octets))


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn \\ud8\t\n\x00', max_size=30))
def test_malformed_texts_are_judged_as_the_standard_library_judges_them(text: str) -> None:
    """Either both read it, to the same value, or it is a ValueError that says so."""
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match="not JSON"):
            jsonio.loads(text)
    else:
        assert same(expected, jsonio.loads(text))


@given(st.binary(max_size=30))
def test_no_bytes_make_reading_fail_in_another_way(octets: bytes) -> None:
    """Whatever arrives is a value or a ValueError."""
    try:
        expected = json.loads(octets)
    except ValueError:
        with pytest.raises(ValueError):
            jsonio.loads(octets)
    else:
        assert same(expected, jsonio.loads(octets))


@pytest.mark.parametrize("digits", ["18446744073709551616", "-9223372036854775809", "9" * 400, "1" * 19])
def test_no_digit_is_lost(digits: str) -> None:
    """Integers of any length are read and written exactly."""
    value = jsonio.loads(f'{{"id": {digits}}}')
    assert value == {"id": int(digits)}
    assert jsonio.dumps(value) == f'{{"id":{digits}}}'.encode()


@given(st.integers(min_value=10**18, max_value=10**21), st.integers(0, 40))
def test_no_digit_is_lost_wherever_the_number_stands(number: int, before: int) -> None:
    """Numbers near the limit of 64 bits, at every offset."""
    text = b'["' + b"x" * before + b'",' + str(number).encode() + b"]"
    assert jsonio.loads(text)[1] == number


def test_error_messages_do_not_repeat_the_text() -> None:
    """A malformed body may hold a prompt, and messages reach logs."""
    with pytest.raises(ValueError, match=r"^not JSON: .* at line 1 column \d+$") as caught:
        jsonio.loads(b'{"prompt": "my secret" oops}')
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("bomb", [b"[" * 1_000_000, b'{"a":' * 200_000, b"[" * 200_000 + b"]" * 200_000])
def test_a_depth_bomb_is_a_value_error(bomb: bytes) -> None:
    """Nesting beyond what can be read does not take the process down."""
    with pytest.raises(ValueError, match="JSON"):
        jsonio.loads(bomb)


def test_a_value_too_deep_to_write_is_a_value_error() -> None:
    """A plugin may build what no parser would give."""
    value: Any = []
    for _ in range(100_000):
        value = [value]
    for write in (jsonio.dumps, jsonio.canonical):
        with pytest.raises(ValueError, match="nested too deep"):
            write(value)


def test_nesting_that_only_one_library_writes_is_written() -> None:
    """orjson stops at 254 levels; bodies may go further."""
    value: Any = 1
    for _ in range(400):
        value = [value]
    assert jsonio.loads(jsonio.dumps(value)) == value
    assert jsonio.canonical(value) == b"[" * 400 + b"1" + b"]" * 400


def test_what_is_not_json_is_a_type_error() -> None:
    """Neither writer guesses at bytes, sets or dates."""
    for value in (b"bytes", {1, 2}, [object()]):
        for write in (jsonio.dumps, jsonio.canonical):
            with pytest.raises(TypeError, match="not a JSON value"):
                write(value)


# --- canonical --------------------------------------------------------------------------------------------------------


@given(EXACT)
def test_canonical_bytes_are_the_same_from_both_writers(value: Any) -> None:
    """One value with a number that only the fallback writes has the same bytes around it."""
    alone = jsonio.canonical([value])
    beside = jsonio.canonical([value, 2**70])
    assert beside == alone[:-1] + b"," + str(2**70).encode() + b"]"


@given(EXACT)
def test_canonical_json_is_json_of_an_equal_value(value: Any) -> None:
    """Python's equality (0.0 == 0, but true is not 1) is what canonical JSON keeps."""
    assert jsonio.loads(jsonio.canonical(value)) == value


@given(ANY)
def test_canonical_bytes_do_not_depend_on_the_order_of_keys(value: Any) -> None:
    """Objects are sorted at every level."""
    assert jsonio.canonical(reordered(value)) == jsonio.canonical(value)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reordered(item) for name, item in reversed(value.items())}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(ANY, ANY)
def test_different_values_have_different_canonical_bytes(left: Any, right: Any) -> None:
    """Two keys are one only for equal values; NaN counts as equal to itself."""
    if jsonio.canonical(left) == jsonio.canonical(right):
        assert whole(left) == whole(right)


def whole(value: Any) -> str:
    """A text that is the same for equal JSON values only."""
    if isinstance(value, dict):
        return repr(sorted((name, whole(item)) for name, item in value.items()))
    if isinstance(value, list):
        return repr([whole(item) for item in value])
    return repr(int(value)) if isinstance(value, float) and value.is_integer() else repr(value)


class Other(Mapping[str, Any]):
    """A Mapping that is no dict, as a plugin may put into a value."""

    def __init__(self, items: dict[str, Any]) -> None:
        self.items_ = items

    def __getitem__(self, name: str) -> Any:
        return self.items_[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.items_)

    def __len__(self) -> int:
        return len(self.items_)


class Named(dict[str, Any]):
    """A dict of a plugin's own class."""


def disguised(value: Any) -> Any:
    """The same JSON, of types that the quick look does not know."""
    if isinstance(value, dict):
        inner = {name: disguised(item) for name, item in value.items()}
        return Named(inner) if len(inner) % 2 else Other(inner)
    return tuple(disguised(item) for item in value) if isinstance(value, list) else value


@given(values(NUMBERS | st.sampled_from([1.0, -0.0, 1e16, -3e300, 0.5]), TEXTS))
def test_canonical_bytes_do_not_depend_on_the_types_that_hold_a_value(value: Any) -> None:
    """A tuple is a list, any Mapping an object; and what is not copied is not changed either."""
    before = repr(value)
    assert jsonio.canonical(value) == jsonio.canonical(disguised(value))
    assert repr(value) == before


@given(st.lists(st.floats() | st.integers(0, 9) | st.none() | st.text(max_size=3)), st.booleans())
def test_no_number_becomes_null(items: list[Any], long: bool) -> None:
    """In a short text and in a long one, which are told apart in different ways."""
    value: Any = {"pad": "x" * 5000 * long, "items": tuple(items)}
    assert same(json.loads(json.dumps(value)), jsonio.loads(jsonio.dumps(value)))


SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
SPOKEN = st.lists(st.dictionaries(TEXTS, TEXTS | SCALARS, max_size=2), max_size=2)


@given(st.dictionaries(TEXTS, SCALARS | SPOKEN, max_size=3))
@example({"pair": "\ud83d\ude00"})
def test_what_is_flat_needs_no_second_look(value: Any) -> None:
    """Its canonical form is what is written without looking into it, and reading what is written gives it back."""
    data, known = jsonio.dumps_known(value)
    assert same(jsonio.loads(data), jsonio.loads(jsonio.dumps(value)))
    assert not known or same(jsonio.loads(data), value)
    if jsonio.is_flat(value):
        assert b"[" + jsonio.canonical(value, flat=True) + b"]" == jsonio.canonical([value])


def test_most_requests_are_flat_and_no_number_of_another_form_is() -> None:
    """Nor a value of a type that JSON does not have, or that is the caller's own."""
    assert jsonio.is_flat({"messages": [{"role": "user", "content": "a"}], "n": 1, "temperature": 0.5, "x": None})
    for odd in (1.0, -0.0, 1e300, math.nan, -math.inf, (), {}, ["a"], [{"a": 1}], IntEnum("E", "a")(1)):
        assert not jsonio.is_flat({"x": odd})
    assert not jsonio.is_flat([])
    assert jsonio.dumps_known({"x": [{1: "a"}]}) == (b'{"x":[{"1":"a"}]}', False)


def test_canonical_numbers() -> None:
    """Whole floats are integers, other floats keep every digit, non-numbers keep their names."""
    assert jsonio.canonical({"b": -0.0, "a": [1e22, 0.1, 0.10000000000000002, True, 1]}) == (
        b'{"a":[10000000000000000000000,0.1,0.10000000000000002,true,1],"b":0}'
    )
    assert jsonio.canonical([math.nan, math.inf, -math.inf, None]) == b"[NaN,Infinity,-Infinity,null]"


def test_canonical_json_has_text_keys_only() -> None:
    """1 and "1" must not become one key."""
    with pytest.raises(TypeError, match="key must be text"):
        jsonio.canonical({1: "a"})
