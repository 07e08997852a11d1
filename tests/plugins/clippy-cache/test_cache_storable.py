"""What is never stored, for each wire API, plain and streamed: what is not whole, not an answer, or not what was asked.

Some of this is the host's own rule and some this plugin's; a caller sees no difference.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from calling import COLOURS, Caller
from clippy_cache import CachePolicy
from clippy_cache.schema import Unchecked, fits
from clippy_cache_memory import MemoryCache
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.testing import Raw, Reply, call

APIS = {
    "openai.chat": ("http://fake.test/v1", {}),
    "openai.responses": ("http://fake.test/v1", {}),
    "anthropic.messages": ("http://fake.test", {"max_tokens": 100}),
}
SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0}},
    "required": ["age"],
    "additionalProperties": False,
}
FORMS: dict[str, dict[str, Any]] = {
    "openai.chat": {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
    "openai.responses": {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
    "anthropic.messages": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
}


def start(api: str, script: Any, colour: str = "sync", policy: CachePolicy | None = None) -> Caller:
    base, _ = APIS[api]
    route = {"base_url": base, "key": "sk-test", "model": "m", "api": api}
    caller = Caller(colour, httpx)
    made = policy or CachePolicy(keep_statistics=False)
    return caller.start({"cache": made, "cache-memory": MemoryCache()}, script, routes={"main": route})


def asked(caller: Caller, stream: bool, **params: Any) -> int:
    """How many requests reach the provider when one is sent three times."""
    for _ in range(3):
        if stream:
            caller.stream("Hello", **params)
        else:
            caller.chat("Hello", **params)
    return caller.provider.calls


@pytest.fixture(params=list(APIS))
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["plain", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        (Reply("whole"), True),
        (Reply(tool_calls=[call("f", {"x": 1})]), True),
        (Reply("a", tool_calls=[call("f")]), True),
        (Reply(tool_calls=[call("f", "")]), True),
        (Reply("cut", finish="length"), False),
        (Reply("", finish="content_filter"), False),
        (Reply("some of it", finish="content_filter"), False),
        (Reply(refusal="I cannot help with that."), False),
        (Reply(tool_calls=[call("f", '{"x": ')]), False),
        (Reply(tool_calls=[call("f", '{"x": NaN}')]), False),
    ],
    ids=[
        "whole",
        "tool",
        "text and tool",
        "no arguments",
        "length",
        "filter",
        "filter later",
        "refusal",
        "cut arguments",
        "nan",
    ],
)
def test_only_whole_free_answers_are_stored(api: str, stream: bool, reply: Reply, kept: bool) -> None:
    if reply.tool_calls and reply.tool_calls[0].arguments == '{"x": ' and api == "anthropic.messages" and not stream:
        pytest.skip("the arguments of this API's whole answers are JSON within JSON, which cannot be cut")
    assert asked(start(api, reply), stream) == (1 if kept else 3)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"age": 3}', True),
        (' {"age": 3.0}\n', True),
        ('{"age": "3"}', False),
        ('{"age": -1}', False),
        ("{}", False),
        ('{"age": 3, "name": "x"}', False),
        ('{"age": 3', False),
        ("Sure! Here it is", False),
        ("", False),
    ],
)
def test_an_answer_that_does_not_fit_its_schema_is_not_stored(api: str, stream: bool, text: str, kept: bool) -> None:
    assert asked(start(api, Reply(text, words=1)), stream, **FORMS[api]) == (1 if kept else 3)


@pytest.mark.parametrize("colour", COLOURS)
def test_json_mode_wants_json(colour: str, stream: bool) -> None:
    form = {"response_format": {"type": "json_object"}}
    assert asked(start("openai.chat", Reply("[1]"), colour), stream, **form) == 1
    assert asked(start("openai.chat", Reply("one"), colour), stream, **form) == 3
    assert asked(start("openai.chat", Reply(tool_calls=[call("f", {})]), colour), stream, **form) == 1


def test_each_of_several_answers_must_be_what_was_asked_for(stream: bool) -> None:
    form = {"response_format": {"type": "json_object"}, "n": 2}
    for second, calls in ((Reply("{}"), 1), (Reply("no"), 3), (Reply("{}", finish="length"), 3)):
        assert asked(start("openai.chat", Reply("{}", more=[second])), stream, **form) == calls


def test_a_reader_that_leaves_stores_nothing(api: str) -> None:
    caller = start(api, Reply("a b c d e f"))
    for _ in range(2):
        caller.stream("Hello", stop_after=1)
    assert caller.provider.calls == 2


# --- the schema ------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.0]) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(["null", "boolean", "string", "array", "object", "number", "integer"])


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    small = st.integers(0, 3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": KINDS | st.lists(KINDS, min_size=1, max_size=2, unique=True),
            "enum": st.lists(JSON, min_size=1, max_size=3),
            "const": JSON,
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
            "additionalProperties": inner,
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b~1c"]),
            "minimum": small,
            "maximum": small,
            "exclusiveMinimum": small,
            "exclusiveMaximum": small,
            "minLength": small,
            "maxLength": small,
            "minItems": small,
            "maxItems": small,
            "minProperties": small,
            "maxProperties": small,
        },
    )


SCHEMAS = st.recursive(st.booleans() | schemas(st.booleans()), schemas, max_leaves=4)
DEFS = {"a": {"type": "string"}, "b/c": {"type": ["integer", "null"]}}


@given(JSON, schemas(SCHEMAS))
def test_a_value_fits_exactly_the_schemas_that_jsonschema_says(value: Any, schema: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = {**schema, "$defs": DEFS}
    assert fits(value, schema) == jsonschema.Draft202012Validator(schema).is_valid(value)


@given(
    JSON, schemas(SCHEMAS), st.sampled_from(["pattern", "format", "not", "uniqueItems", "multipleOf", "contains", "if"])
)
def test_what_fits_is_never_turned_down_for_a_keyword_that_is_not_known(value: Any, schema: Any, keyword: str) -> None:
    before = fits(value, {**schema, "$defs": DEFS})
    assert fits(value, {**schema, "$defs": DEFS, keyword: {"type": "string"}}) == before


@given(
    JSON,
    st.dictionaries(
        st.sampled_from([*"ab", "type", "enum", "items", "properties", "required", "anyOf", "$ref", "minimum"]), JSON
    ),
)
def test_a_schema_that_is_none_fails_nothing(value: Any, schema: Any) -> None:
    assert fits(value, schema) in (True, False)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}] * 2}}},
        {"anyOf": [{"anyOf": [{"anyOf": [{"allOf": [True] * 60 + [False]}] * 60}] * 60}] * 60},
    ],
)
def test_a_schema_without_end_is_given_up(schema: Any) -> None:
    with pytest.raises(Unchecked):
        fits(1, schema)


def test_an_answer_whose_schema_is_too_much_is_not_stored() -> None:
    form = {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"$ref": "#"}}}}
    policy = CachePolicy(keep_statistics=False)
    assert asked(start("openai.chat", Reply("{}"), policy=policy), False, **form) == 3
    assert policy.statistics().not_stored == {"its schema is too much to check": 3}


def test_a_custom_tool_takes_any_text() -> None:
    said = {"id": "c1", "type": "custom", "custom": {"name": "f", "input": "not { json"}}
    message = {"role": "assistant", "content": None, "tool_calls": [said]}
    body = {
        "id": "x",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
    }
    caller = start("openai.chat", Raw(json.dumps(body).encode()))
    assert asked(caller, False) == 1
