"""The schema of the configuration: it takes what the loader takes, and refuses what the loader refuses."""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NewType

import attrs
import jsonschema
import pytest
from attrs import field, frozen, validators
from clippy_hookspecs import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st

from clippy_core.config import read_config
from clippy_core.config_schema import class_schema, schema_of
from clippy_core.config_structure import structure
from clippy_core.config_values import Secret
from clippy_core.discovery import discover

Run = Callable[..., Any]
Install = Callable[..., None]
ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")]
BLOCKS = [
    pytest.param(block, id=f"{page.parent.name}-{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S))
    if not {"project", "tool"} & tomllib.loads(block).keys()  # what is of a pyproject.toml is no clippy.toml
]


def judge(schema: Mapping[str, Any]) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def as_json(value: Any) -> Any:
    """A TOML value as the tools of editors hand it to a schema: dates are texts."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else value


@pytest.fixture(scope="module")
def installed() -> jsonschema.Draft202012Validator:
    """The schema of this repository's plugins."""
    return judge(schema_of({plugin.name: plugin.cls for plugin in discover(read_config(environ={})).plugins}))


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", BLOCKS)
def test_every_configuration_of_the_documentation_is_accepted(
    installed: jsonschema.Draft202012Validator, block: str
) -> None:
    """What readers copy is right by the schema, as it is by ``clippy config check``."""
    table = as_json(tomllib.loads(block))
    table = table.get("tool", {"clippy": table}).get("clippy", {})
    known = installed.schema["properties"]["plugins"]["anyOf"][2]["properties"]
    if not set(table.get("plugins", {})) <= set(known):  # of a plugin that its reader writes
        table["plugins"] = {name: one for name, one in table["plugins"].items() if name in known}
    installed.validate(table)


def test_there_are_examples_to_check() -> None:
    """The pattern that finds them still does."""
    assert len(BLOCKS) > 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "locked = false\ntrace = true",
        'plugins = ["retry", "audit"]',
        'plugins = "off"',
        'allow = {env = "SET"}',
        'order = ["retry"]',
        '[order]\ndefault = ["audit"]\non_error = ["retry"]',
        '[on_failure]\naudit = "raise"',
        "[plugins.retry]\nattempts = 3\nbase = 1\non_failure = 'disable'",
        "[plugins.cache-sqlite]\npath = '~/x'\nttl = 1.5",
        "[plugins.audit]",
        '[routes.a]\nbase_url = ""\nkey = {env = "SET"}\n[routes.a.headers]\nx = "1"\n[routes.a.deadlines]\ntotal = 3',
        '[routes.a]\nbase_url = "https://x"\ncontext_tokens = 10\n[routes.a.models]\na = "b"',
        '[plugins.context-window]\npin_text = ["a"]\ntarget = 1',
        'abandoned_after = {env = "NUMBER"}',
    ],
)
def test_right_files_are_right_for_both(installed: jsonschema.Draft202012Validator, tmp_path: Path, text: str) -> None:
    """The schema refuses nothing that a host starts with."""
    assert faults(tmp_path, text) == ()
    installed.validate(tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "nonsense = 1",
        "trace = 1",
        'trace = "true"',
        'abandoned_after = "60"',
        "abandoned_after = 0",
        "salt_path = ''",
        'allow = "on"',
        'allow = ["nobody"]',
        "disable = 'audit'",
        "disable = [1]",
        'plugins = "retry"',
        'plugins = ["nobody"]',
        "plugins = 3",
        'order = "retry"',
        'order = ["nobody"]',
        '[order]\non_eror = ["retry"]',
        '[order]\non_error = ["nobody"]',
        '[on_failure]\naudit = "stop"',
        '[on_failure]\nnobody = "raise"',
        "[plugins]\nretry = 3",
        "[plugins.nobody]",
        "[plugins.retry]\ntries = 3",
        "[plugins.retry]\nattempts = 0",
        "[plugins.retry]\nattempts = true",
        "[plugins.retry]\nattempts = 3.5",
        "[plugins.retry]\non_failure = 'stop'",
        "[plugins.retry.attempts]\nenv = 3",
        '[plugins.retry.attempts]\nenv = "NUMBER"\nmore = 1',
        '[plugins.audit]\nlevel = "all"',
        "[plugins.context-window]\ntarget = 1.5",
        '[plugins.context-window]\npin_text = [""]',
        '[plugins.errors.providers]\nx = 1',
        '[routes.a]\napi = "openai"',
        '[routes.a]\nbase_url = "example.org"',
        '[routes.a]\nbase_url = "\\n"',
        "[routes.a]\nkey = 3",
        "[routes.a]\ncontext_tokens = 0",
        "[routes.a.headers]\nx = 1",
        "[routes.a.deadlines]\ntotal = -1",
        "[routes.a.deadlines]\ntotl = 1",
        "[routes]\na = 1",
        "[deadlines]\nidle = 'long'",
        "[audit]\ncontent = 'yes'",
        "trust_headers = {env = 3}",
    ],
)  # fmt: skip
def test_wrong_files_are_wrong_for_both(installed: jsonschema.Draft202012Validator, tmp_path: Path, text: str) -> None:
    """What ``clippy config check`` refuses, an editor shows while it is written."""
    assert faults(tmp_path, text)
    assert not installed.is_valid(tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "[routes.a]\ndefault = true\n[routes.b]\ndefault = true",
        "disable = ['retri']",
        'abandoned_after = {env = "UNSET"}',
        "[plugins.retry]\nattempts = 3.0",
    ],
)
def test_what_a_schema_cannot_say_is_accepted_by_it(
    installed: jsonschema.Draft202012Validator, tmp_path: Path, text: str
) -> None:
    """The list in the module's docstring: only the loader finds these."""
    assert faults(tmp_path, text)
    installed.validate(tomllib.loads(text))


def faults(tmp_path: Path, text: str) -> tuple[str, ...]:
    file = tmp_path / "clippy.toml"
    file.write_text(text)
    config = read_config(file, {"SET": "off", "NUMBER": "3"})
    return (*config.faults, *discover(config).faults)


# --- classes ---------------------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"
    TWO = 2


class Number(IntEnum):
    ONE = 1
    THREE = 3


UserName = NewType("UserName", str)


@frozen
class Inner:
    """A table in a table."""

    name: str
    size: int = field(default=1, validator=validators.ge(0))
    again: list[Inner] = field(factory=list)


SCALARS: list[Any] = [str, int, float, bool, Path, Secret, Literal["a", 1, True], Colour, Number, UserName]
SCALARS += [Annotated[int, "many"], Any, Inner]
KINDS = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        inner.map(lambda kind: list[kind]),  # type: ignore[valid-type]
        inner.map(lambda kind: tuple[kind, ...]),  # type: ignore[valid-type]
        st.tuples(inner, inner).map(lambda pair: tuple[pair[0], pair[1]]),  # type: ignore[misc]
        inner.map(lambda kind: dict[str, kind]),  # type: ignore[valid-type]
        inner.map(lambda kind: Mapping[Literal["a", "b"], kind]),  # type: ignore[valid-type]
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1] if _joins(pair) else pair[0]),
        inner.map(lambda kind: kind | None if _joins((kind, None)) else kind),
    ),
    max_leaves=4,
)


def _joins(pair: tuple[Any, Any]) -> bool:
    try:
        return bool(pair[0] | pair[1])
    except TypeError:
        return False


VALIDATORS = [
    None,
    validators.ge(2),
    validators.and_(validators.gt(0), validators.lt(3)),
    validators.optional(validators.le(1)),
]
# No 3.0: JSON does not tell it from 3.
FRACTIONS = st.floats(-10, 10, allow_nan=False).filter(lambda number: not number.is_integer())
TEXTS = st.sampled_from(["", "a", "b", "red", "env", "a\n"]) | st.text(max_size=3).filter(lambda text: "~" not in text)
VALUES = st.recursive(
    st.integers(-3, 5) | FRACTIONS | st.booleans() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXTS, inner, max_size=2)
        | st.fixed_dictionaries({"name": inner}, optional={"size": inner, "again": inner})
    ),
    max_leaves=6,
)


def likely(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type, now and then others: chance alone hardly ever writes a right table."""
    origin, arguments = getattr(kind, "__origin__", None), getattr(kind, "__args__", ())
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(-3, 5),
        float: FRACTIONS | st.integers(-3, 5),
        bool: st.booleans(),
        Colour: st.sampled_from(["red", 2, 1, True]),
        Number: st.sampled_from([1, 3, 2]),
        Inner: st.fixed_dictionaries({"name": TEXTS}, optional={"size": st.integers(-1, 2)}),
    }
    if kind in simple:
        right = simple[kind]
    elif origin in (list, tuple) and len(arguments) == 2 and arguments[1] is not ...:
        right = st.tuples(*(likely(one) for one in arguments)).map(list)
    elif origin in (list, tuple):
        right = st.lists(likely(arguments[0]), max_size=2)
    elif arguments and str(origin).endswith(("'dict'>", "Mapping'>")):
        right = st.dictionaries(st.sampled_from(["a", "b", "c"]), likely(arguments[1]), max_size=2)
    elif kind in (str, Path, Secret, UserName):
        right = TEXTS
    else:
        right = VALUES
    return st.one_of(right, right, right, VALUES)


@st.composite
def classes_and_tables(draw: st.DrawFn) -> tuple[type[Any], dict[str, Any]]:
    """An attrs class with settings of all kinds, and a table that may be meant for it."""
    kinds = draw(st.lists(KINDS, min_size=1, max_size=3))
    fields, table = {}, {}
    for name, kind in zip("xyz", kinds, strict=False):
        required = draw(st.booleans())
        validator = draw(st.sampled_from(VALIDATORS)) if kind in (int, float) else None
        options = {} if required else {"default": None}
        fields[name] = field(type=kind, validator=validator and validators.optional(validator), **options)
        if draw(st.integers(0, 9)):
            table[name] = draw(likely(kind))
    fields = dict(sorted(fields.items(), key=lambda one: one[1]._default is not attrs.NOTHING))
    if not draw(st.integers(0, 9)):
        table["w"] = 1
    return attrs.make_class("Settings", fields), table


def _refers(value: Any) -> bool:
    if isinstance(value, dict):
        return set(value) == {"env"} or any(_refers(item) for item in value.values())
    return isinstance(value, list) and any(_refers(item) for item in value)


@given(classes_and_tables())
@settings(max_examples=80, deadline=None)
def test_the_schema_takes_a_table_if_and_only_if_the_loader_does(pair: tuple[type[Any], dict[str, Any]]) -> None:
    """For generated classes and tables without references, whose variables only the loader knows."""
    cls, table = pair
    if _refers(table):
        return
    try:
        structure(cls, table, environ={})
        taken = True
    except ConfigError:
        taken = False
    assert judge(class_schema(cls)).is_valid(table) == taken


@given(KINDS)
@settings(max_examples=50, deadline=None)
def test_where_a_reference_may_stand_is_the_same_for_both(kind: Any) -> None:
    """``{env = "NAME"}`` is taken where the loader looks it up, whatever is in it."""
    cls = attrs.make_class("Settings", {"x": field(type=kind)})
    table = {"x": {"env": "NAME"}}
    taken = any(_taken(cls, table, text) for text in ("1", "true", "a", "red", "1.5"))
    assert judge(class_schema(cls)).is_valid(table) == taken


def _taken(cls: type[Any], table: dict[str, Any], text: str) -> bool:
    try:
        structure(cls, table, environ={"NAME": text})
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (tuple[int, str], [[1, "a"]], [[1], [1, "a", 2], ["a", 1]]),
        (Inner | dict[str, int], [{"name": "a"}], [{"a": 1}, {}]),
        (dict[str, int] | Inner, [{"name": "a"}, {"a": 1}, {}], [{"a": "b"}, 3]),
        (int | Inner | dict[str, str], [1, {"name": "a"}], [{"a": "b"}, "a"]),
        (Mapping[Literal["a"], int], [{"a": 1}, {}], [{"b": 1}]),
        (dict[int, str], [{}], [{"1": "a"}]),
        (frozenset[Number], [[1, 1, 3], []], [[2]]),
        (Literal["a", 1], ["a", 1], [True, "1"]),
        (Path | None, ["a"], ["", 1]),
        (list, [[1, "a", {}]], [{}]),
    ],
)
def test_types_take_the_same_in_both(kind: Any, right: list[Any], wrong: list[Any]) -> None:
    """The ones that chance finds too seldom."""
    cls = attrs.make_class("Settings", {"x": field(type=kind)})
    schema = judge(class_schema(cls))
    for value in (*right, *wrong):
        assert schema.is_valid({"x": value}) == _taken(cls, {"x": value}, "") == any(value is one for one in right)


@pytest.mark.parametrize(
    ("validator", "kind", "right", "wrong"),
    [
        (validators.in_(("a", "b")), str, ["a", "b"], ["c"]),
        (validators.in_({2, 3}), int, [2, 3], [4]),
        (validators.matches_re("[a-z]+"), str, ["ab"], ["", "A", "a\n"]),
        (validators.min_len(2), str, ["ab"], ["a"]),
        (validators.max_len(1), list[int], [[1]], [[1, 2]]),
        (validators.deep_iterable(validators.gt(0), validators.min_len(1)), list[int], [[1]], [[], [0], [1, -1]]),
        ([validators.gt(0), validators.lt(1)], float, [0.5], [0, 1]),
    ],
)
def test_bounds_of_validators_are_in_the_schema(validator: Any, kind: Any, right: list[Any], wrong: list[Any]) -> None:
    """Those that attrs brings; both judge alike."""
    cls = attrs.make_class("Settings", {"x": field(type=kind, validator=validator)})
    schema = judge(class_schema(cls))
    for value in (*right, *wrong):
        assert schema.is_valid({"x": value}) == _taken(cls, {"x": value}, "") == (value in right)


def test_a_member_of_an_int_enum_is_a_member_and_no_other_number_is(tmp_path: Path) -> None:
    """The loader took every number for one; the comparison with the schema found it."""
    cls = attrs.make_class("Settings", {"x": field(type=Number)})
    assert structure(cls, {"x": 3}).x is Number.THREE  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="expected one of 1, 3, got 7"):
        structure(cls, {"x": 7})


# --- the command -----------------------------------------------------------------------------------------------------

PLUGIN = """
    import math
    from clippy_core.config_values import Secret
    @define(eq=False)
    class Plugin:
        '''What it is.'''
        token: Secret = field(default="", metadata={"doc": "the key"})
        host: str = field(default="h", metadata={"schema": {"pattern": "^[a-z]+$"}})
        most: float = math.inf
        need: int = field(kw_only=True)

        @hookimpl
        def pre_request(self, request, ctx):
            return None
"""


def test_the_command_prints_every_plugin_with_types_defaults_and_docs(run: Run, install: Install) -> None:
    """One JSON document without anything that JSON does not have."""
    install("limits", PLUGIN)
    install("off", PLUGIN)
    result = run("config", "schema", only="limits")
    schema = json.loads(result.stdout, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    judge(schema)
    tables = schema["properties"]["plugins"]["anyOf"][2]["properties"]
    limits = tables["limits"]
    assert limits["description"] == "What it is."
    assert limits["required"] == ["need"]
    assert limits["properties"]["token"]["description"] == "the key"
    assert limits["properties"]["token"]["anyOf"] == [{"type": "string"}, {"$ref": "#/$defs/environment"}]
    assert limits["properties"]["host"]["pattern"] == "^[a-z]+$"
    assert limits["properties"]["host"]["default"] == "h"
    assert "default" not in limits["properties"]["most"]
    assert "additionalProperties" not in tables["off"]
    assert result.exit_code == 0


def test_a_plugin_whose_settings_are_wrong_has_its_schema(run: Run, install: Install) -> None:
    """The schema is for mending the file."""
    install("limits", PLUGIN)
    Path("clippy.toml").write_text("[plugins.limits]\nneed = 'much'\n")
    tables = json.loads(run("config", "schema", only="limits").stdout)["properties"]["plugins"]["anyOf"][2]
    assert "need" in tables["properties"]["limits"]["properties"]
