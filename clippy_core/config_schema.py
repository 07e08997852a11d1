"""The configuration as a JSON Schema (draft 2020-12), for editors and for checks before anything is installed.

It says what :mod:`clippy_core.config_structure` takes, as far as JSON Schema can: types, choices, bounds of attrs' own
validators, ``{env = "NAME"}`` for every single value, unknown and missing keys.  A setting may add to its schema what a
validator of its own wants: ``metadata={"doc": "...", "schema": {"pattern": "^https://"}}``.

It cannot say, and so accepts: 3.0 for an int, which JSON does not tell from 3; numbers too large for a float; what a
converter, a validator of one's own or the class itself refuses; values of types that only cattrs knows; what stands in
the environment; two routes that are both the default; a ``disable`` that names nobody by a slip.  It cannot know, and
so refuses, tables and names of plugins that are not installed, even with ``allow = "off"``.
"""

from __future__ import annotations

import datetime
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import attrs
from attrs import define, field, validators

from .config_host import HostConfig, Order, order_table
from .config_names import is_secret
from .config_show import default_of
from .config_structure import setting_fields
from .deprecations import former_settings

Schema = dict[str, Any]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE: Schema = {"$ref": "#/$defs/environment"}
PLUGIN_NAME: Schema = {"$ref": "#/$defs/plugin"}
NOTHING: Schema = {"not": {}}

_ENVIRONMENT: Schema = {
    "description": "the value of an environment variable",
    "type": "object",
    "properties": {"env": {"type": "string"}},
    "required": ["env"],
    "additionalProperties": False,
}
# The first that the type is a subclass of: bool is an int, datetime is a date.
_SCALARS: tuple[tuple[type, Schema], ...] = (
    (bool, {"type": "boolean"}),
    (str, {"type": "string"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (Path, {"type": "string", "minLength": 1}),
    (datetime.datetime, {"type": "string", "format": "date-time"}),
    (datetime.date, {"type": "string", "format": "date"}),
    (datetime.time, {"type": "string", "format": "time"}),
)
_SEQUENCES = (list, tuple, set, frozenset, Sequence, AbstractSet)
_END = r"(?![\s\S])"
"""Where a text ends in every dialect of regular expressions; Python's $ takes a line feed before it."""
_BOUNDS = {">": "exclusiveMinimum", ">=": "minimum", "<": "exclusiveMaximum", "<=": "maximum"}


def schema_of(classes: Mapping[str, type[Any] | None], doc: str = "") -> Schema:
    """The schema of the whole configuration.

    *classes* are the installed plugins' by name; of one that is not imported (None) every table is taken, as the host
    does with it.
    """
    made = _Maker()
    tables = {name: _plugin_table(cls, made) for name, cls in sorted(classes.items())}
    properties = made.properties(HostConfig)
    properties["plugins"] = {
        "description": "the plugins' own tables; or, without any, the only plugins to load",
        "anyOf": [{"const": "off"}, _array(PLUGIN_NAME), _table(tables)],
    }
    properties["allow"]["anyOf"] = [{"enum": ["off"]}, REFERENCE, _array(PLUGIN_NAME)]
    properties["order"] = {"description": properties["order"]["description"], **_order()}
    del made.definitions[made.names[Order]]  # nobody writes it as it is kept
    properties["on_failure"]["propertyNames"] = {"enum": sorted(classes)} if classes else NOTHING
    made.definitions["environment"] = _ENVIRONMENT
    made.definitions["plugin"] = _one_of([{"enum": sorted(classes)} if classes else NOTHING, REFERENCE])
    whole = {"$schema": DRAFT, "title": "clippy", "description": doc or "The configuration of clippy."}
    return {**whole, **_table(properties), "$defs": dict(sorted(made.definitions.items()))}


def class_schema(cls: type[Any]) -> Schema:
    """The schema of one attrs class by itself.  Raises NameError for the name of an unknown type."""
    made = _Maker()
    top = made.table(cls)
    return {"$schema": DRAFT, **top, "$defs": {**made.definitions, "environment": _ENVIRONMENT}}


def _plugin_table(cls: type[Any] | None, made: _Maker) -> Schema:
    own = {"on_failure": made.of_type(Literal["raise", "skip", "disable"])}
    own["on_failure"]["description"] = "what a failure of this plugin does"
    try:
        table = made.table(cls) if cls is not None else None
    except NameError:  # it is quarantined for that, and its table is not read
        table = None
    if table is None:
        return {"description": "not loaded, so that its settings are not known", "type": "object", "properties": own}
    if "on_failure" in table["properties"]:  # then both the plugin and the host read it
        table["properties"]["on_failure"] = {"allOf": [table["properties"]["on_failure"], own["on_failure"]]}
    else:
        table["properties"] |= own
    return table


def _order() -> Schema:
    lists = {attribute.name: _array(PLUGIN_NAME) for attribute in attrs.fields(order_table())}
    return {"anyOf": [_array(PLUGIN_NAME), _table(lists)]}


# --- classes and types -----------------------------------------------------------------------------------------------


@define(eq=False)
class _Maker:
    """Makes schemas; classes inside of classes go to the definitions, because they may contain themselves."""

    definitions: dict[str, Schema] = field(factory=dict)
    names: dict[type[Any], str] = field(factory=dict)

    def table(self, cls: type[Any]) -> Schema:
        """An attrs class as a table."""
        required = [_key(one) for one in setting_fields(cls) if one.default is attrs.NOTHING]
        doc = (cls.__doc__ or "").strip().partition("\n")[0]
        return {
            **({"description": doc} if doc and not doc.startswith("Method generated") else {}),
            **_table(self.properties(cls)),
            **({"required": required} if required else {}),
        }

    def properties(self, cls: type[Any]) -> dict[str, Schema]:
        """The settings of a class by their names in the configuration."""
        found = {_key(one): self.setting(one) for one in setting_fields(cls)}
        for former, (present, said) in former_settings(cls).items():
            found[former] = {**found[present], "description": f"write {said.instead}", "deprecated": True}
        return found

    def setting(self, attribute: attrs.Attribute[Any]) -> Schema:
        """One setting: what it takes, its default and its documentation."""
        made = self.of_type(Any if attribute.type is None else attribute.type)
        if attribute.converter is None and attribute.validator is not None:
            made = _both(made, _constraint(attribute.validator))
        made = _both(made, dict(attribute.metadata.get("schema", {})))
        doc = attribute.metadata.get("doc")
        gone = {"deprecated": True} if "deprecated" in attribute.metadata else {}
        return {**({"description": str(doc)} if doc else {}), **made, **gone, **_default(attribute)}

    def of_type(self, kind: Any) -> Schema:
        """What the configuration takes for a type."""
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self.of_type(arguments[0])
        if origin is Literal:
            return _one_of([{"enum": [one for one in arguments if one is not None]}, REFERENCE])
        if origin in (Union, types.UnionType):
            return self.union([member for member in arguments if member is not type(None)])
        if hasattr(kind, "__supertype__"):  # a NewType
            return self.of_type(kind.__supertype__)
        plain = origin or kind
        if isinstance(plain, type) and attrs.has(plain):
            return self.reference(plain)
        if plain in _SEQUENCES:
            return self.sequence(plain, arguments)
        if isinstance(plain, type) and issubclass(plain, Mapping):
            key, item = arguments or (Any, Any)
            names = {} if key in (Any, str) else self.of_type(key)
            return {
                "type": "object",
                "additionalProperties": self.of_type(item),
                **({"propertyNames": names} if names else {}),
            }
        if isinstance(plain, type) and issubclass(plain, Enum):
            return _one_of([{"enum": [member.value for member in plain]}, REFERENCE])
        for scalar, schema in _SCALARS:
            if isinstance(plain, type) and issubclass(plain, scalar):
                return _one_of([schema, REFERENCE])
        return {}

    def union(self, members: list[Any]) -> Schema:
        """The first member that takes the value; a table goes no further than the first class among them."""
        made: list[Schema] = []
        classes = False
        for member in members:
            one = self.of_type(member)
            made.append({"allOf": [one, {"not": {"type": "object"}}]} if classes else one)
            classes = classes or (isinstance(member, type) and attrs.has(member))
        return _one_of(made)

    def sequence(self, plain: Any, arguments: tuple[Any, ...]) -> Schema:
        """A list; of a tuple of so many, each by itself."""
        if plain is tuple and arguments and arguments[-1] is not Ellipsis:
            items = [self.of_type(argument) for argument in arguments]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        return _array(self.of_type(arguments[0]) if arguments else {})

    def reference(self, cls: type[Any]) -> Schema:
        """A class by its name among the definitions."""
        if cls not in self.names:
            name = cls.__name__
            while name in self.definitions or name in ("environment", "plugin"):
                name += "_"
            self.names[cls] = name
            self.definitions[name] = {}
            self.definitions[name] = self.table(cls)
        return {"$ref": f"#/$defs/{self.names[cls]}"}


def _key(attribute: attrs.Attribute[Any]) -> str:
    return attribute.alias or attribute.name


def _table(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _array(items: Schema) -> Schema:
    return {"type": "array", **({"items": items} if items else {})}


def _one_of(schemas: Iterable[Schema]) -> Schema:
    """Any of *schemas*, each once, and those inside of them."""
    flat = [part for schema in schemas for part in (schema["anyOf"] if list(schema) == ["anyOf"] else [schema])]
    found = [schema for index, schema in enumerate(flat) if schema not in flat[:index]]
    if {} in found:
        return {}
    return found[0] if len(found) == 1 else {"anyOf": found}


def _both(one: Schema, other: Schema) -> Schema:
    """Both at once; what they do not both say stands side by side."""
    if one.keys() & other.keys():
        return {"allOf": [part for schema in (one, other) for part in schema.get("allOf", [schema])]}
    return {**one, **other}


# --- validators and defaults -----------------------------------------------------------------------------------------

_MADE: tuple[Any, ...] = (
    validators.gt(0),
    validators.optional(validators.gt(0)),
    validators.in_(()),
    validators.and_(validators.gt(0), validators.gt(0)),
    validators.matches_re(""),
    validators.max_len(1),
    validators.min_len(1),
    validators.deep_iterable(validators.gt(0)),
)
_NUMBER, _OPTIONAL, _IN, _AND, _PATTERN, _LONGEST, _SHORTEST, _EACH = (type(one) for one in _MADE)
"""attrs keeps these classes to itself, and what they were made with in their attributes."""


def _constraint(validator: Any) -> Schema:
    """What attrs' own validators want of a value; nothing of others, which have no form that can be read."""
    made: Schema = {}
    if isinstance(validator, _OPTIONAL):
        made = _constraint(validator.validator)
    elif isinstance(validator, _AND):
        for part in validator._validators:  # noqa: SLF001
            made = _both(made, _constraint(part))
    elif isinstance(validator, _NUMBER) and _is_number(validator.bound):
        made = {_BOUNDS[validator.compare_op]: validator.bound}
    elif isinstance(validator, _IN) and all(isinstance(one, (str, int, float)) for one in validator.options):
        options = validator.options if isinstance(validator.options, (list, tuple)) else sorted(validator.options)
        made = {"anyOf": [{"enum": list(options)}, REFERENCE]}
    elif isinstance(validator, _PATTERN) and validator.match_func == validator.pattern.fullmatch:
        made = {"pattern": f"^(?:{validator.pattern.pattern}){_END}"}
    elif isinstance(validator, _SHORTEST):
        made = {"minLength": validator.min_length, "minItems": validator.min_length}
    elif isinstance(validator, _LONGEST):
        made = {"maxLength": validator.max_length, "maxItems": validator.max_length}
    elif isinstance(validator, _EACH):
        items: Schema = _constraint(validator.member_validator)
        whole = _constraint(validator.iterable_validator)
        made = _both({"items": items} if items else {}, whole)
    return made


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _default(attribute: attrs.Attribute[Any]) -> Schema:
    default = default_of(attribute)
    hidden = is_secret(attribute.name) and default not in ("", None)
    if default is None or default is attrs.NOTHING or hidden or isinstance(default, Order):
        return {}
    try:
        return {"default": _json(default)}
    except ValueError:
        return {}


def _json(value: Any) -> Any:
    """A default as JSON.  Raises ValueError for what JSON has no form for, such as infinity."""
    if isinstance(value, Enum):
        return _json(value.value)
    if isinstance(value, (bool, str)) or _is_number(value):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, AbstractSet):
        return sorted((_json(item) for item in value), key=str)
    if attrs.has(type(value)):
        inner = ((one.alias or one.name, getattr(value, one.name)) for one in attrs.fields(cast("Any", type(value))))
        return {key: _json(item) for key, item in inner if item is not None}
    raise ValueError(f"no JSON for a {type(value).__name__}")
