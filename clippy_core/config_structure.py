"""Tables to settings: attrs classes filled from TOML values, every fault at once, each with its path.

cattrs finds the hook for each type; our hooks are stricter than its own, which turn 3 into "3", "no" into True and
"abc" into a list of letters.
"""

from __future__ import annotations

import datetime
import functools
import os
import types
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from clippy_hookspecs import ConfigError

from . import config_values as values
from .config_names import did_you_mean, is_secret, type_text
from .config_values import Faults, Found, RawText, Secret, expected, plain

if TYPE_CHECKING:
    import cattrs

T = TypeVar("T")


def structure(
    cls: type[T],
    table: Mapping[str, Any],
    path: str = "",
    *,
    environ: Mapping[str, str] | None = None,
    origin: Callable[[str], str] | None = None,
    lasting: bool = False,
) -> T:
    """An instance of the attrs class *cls* from *table*, which stands at *path* in the configuration.

    ``{env = "NAME"}`` is looked up in *environ*.  *origin* says for a path where its value came from; the sentences
    begin with it.  A class is *lasting* if it is there as long as the process, with all types that it names, as those
    of plugins are not.  Raises :class:`~clippy_hookspecs.ConfigError` with every fault.  What the class's own code
    raises passes, but for ValueError and TypeError over a table that says something: those are faults of the table.
    """
    try:
        if not table:  # a class without a table has nothing to convert, and cattrs is slow to import
            made: T = _class(table, cls, None)
            return made
        usual = environ is None or environ is _ENVIRON
        converter = (
            _lasting_converter() if lasting and usual else make_converter(_ENVIRON if environ is None else environ)
        )
        return converter.structure(table, cls)
    except Faults as faults:
        full = [(".".join((path, *where) if path else where), what) for where, what in faults.found]
        raise ConfigError([sentence(origin(at) if origin else "", at, what) for at, what in full]) from None


def sentence(origin: str, path: str, what: str) -> str:
    """``clippy.toml: plugins.cache-sqlite.ttl: expected float, got 'abc'``; nothing is shown of a key or a token."""
    if is_secret(path) and what.startswith("expected "):
        what = what.partition(", got ")[0]
    return ": ".join(part for part in (origin, path, what) if part)


_SCALARS: dict[Any, Callable[[Any, Any], Any]] = {
    str: values.as_text,
    Secret: values.as_secret,
    int: values.as_int,
    float: values.as_float,
    bool: values.as_bool,
    Path: values.as_path,
    datetime.datetime: values.as_instance,
    datetime.date: values.as_instance,
    datetime.time: values.as_instance,
}


_ENVIRON = os.environ


@functools.cache
def _lasting_converter() -> cattrs.Converter:
    """One for all hosts: to make it takes half as long as all the rest of a host.  It keeps each class it has seen."""
    return make_converter(_ENVIRON)


def make_converter(environ: Mapping[str, str]) -> cattrs.Converter:
    """A converter whose hooks are strict and raise :class:`~clippy_core.config_values.Faults`."""
    import cattrs

    converter = cattrs.Converter()
    register = converter.register_structure_hook_func

    def referring(take: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        # An IntEnum is an int to cattrs, which would take every number for a member.
        return lambda value, kind: (values.as_enum if _is_enum(kind) else take)(values.refer(value, environ), kind)

    def composed(accepts: Callable[[Any], bool], take: Callable[[Any, Any, cattrs.Converter], Any]) -> None:
        register(accepts, lambda value, kind: take(value, kind, converter))

    # cattrs asks hooks for exact types before hooks with a predicate.
    for exact, take in _SCALARS.items():
        converter.register_structure_hook(exact, referring(take))
    register(lambda kind: isinstance(kind, type) and issubclass(kind, Path), referring(values.as_path))
    register(_is_enum, referring(values.as_enum))
    register(_is_literal, referring(values.as_literal))
    register(_is_anything, values.as_anything)
    composed(lambda kind: get_origin(kind) in (Union, types.UnionType), _union)
    composed(lambda kind: (get_origin(kind) or kind) in _SEQUENCES, _sequence)
    composed(_is_mapping, _mapping)
    composed(lambda kind: isinstance(kind, type) and attrs.has(kind), _class)
    return converter


# --- composed values -------------------------------------------------------------------------------------------------


def _union(value: Any, kind: Any, converter: cattrs.Converter) -> Any:
    """The first member that takes the value; the environment's text is tried as a number before it is a text."""
    if value is None and type(None) in get_args(kind):
        return None
    members = [member for member in get_args(kind) if member is not type(None)]
    if len(members) == 1:
        return converter.structure(value, members[0])
    if isinstance(value, RawText) and not isinstance(value.toml(), str):
        members.sort(key=lambda member: member is str)
    for member in members:
        try:
            return converter.structure(value, member)
        except Faults as faults:
            # A table meant for one member gets that member's own faults, not "expected A or B".
            if isinstance(value, Mapping) and isinstance(member, type) and attrs.has(member):
                raise faults from None
    raise expected(type_text(kind), value)


_SEQUENCES: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    Sequence: tuple,
    AbstractSet: frozenset,
}


def _sequence(value: Any, kind: Any, converter: cattrs.Converter) -> Any:
    """A list; from the environment also texts with commas between them."""
    items = plain(value)
    if isinstance(value, RawText) and isinstance(items, str):
        items = [RawText(part.strip()) for part in value.text().split(",") if part.strip()]
    arguments = get_args(kind) or (Any,)
    fixed = get_origin(kind) is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis)
    if not isinstance(items, (list, tuple, set, frozenset)) or (fixed and len(items) != len(arguments)):
        raise expected(type_text(kind), value)
    found: list[Found] = []
    made = []
    for index, item in enumerate(items):
        try:
            made.append(_take(item, arguments[index if fixed else 0], converter))
        except Faults as faults:
            found += faults.under(str(index))
    if found:
        raise Faults(found)
    return _SEQUENCES[get_origin(kind) or kind](made)


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _is_literal(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is Literal


def _is_anything(kind: Any) -> bool:
    return kind is Any or kind is object


def _is_mapping(kind: Any) -> bool:
    plain_kind = get_origin(kind) or kind
    return isinstance(plain_kind, type) and issubclass(plain_kind, Mapping)


def _mapping(value: Any, kind: Any, converter: cattrs.Converter) -> dict[Any, Any]:
    table = plain(value)
    if not isinstance(table, Mapping):
        raise expected(type_text(kind), value)
    key_kind, item_kind = get_args(kind) or (Any, Any)
    found: list[Found] = []
    made = {}
    for key, item in table.items():
        try:
            made[_take(key, key_kind, converter)] = _take(item, item_kind, converter)
        except Faults as faults:
            found += faults.under(str(key))
    if found:
        raise Faults(found)
    return made


def _take(value: Any, kind: Any, converter: cattrs.Converter) -> Any:
    """*value* as *kind*; types that only cattrs knows fail in its words, which become ours."""
    import cattrs

    try:
        return converter.structure(value, kind)
    except (cattrs.errors.StructureHandlerNotFoundError, cattrs.BaseValidationError, ValueError, TypeError):
        raise expected(type_text(kind), value) from None


# --- classes ---------------------------------------------------------------------------------------------------------


def _class(value: Any, cls: type[Any], converter: Any) -> Any:
    """An instance of *cls*: unknown keys, missing keys, wrong values and what validators say, all of them.

    *converter* is None for an empty table.
    """
    if isinstance(value, cls):
        return value
    table = plain(value)
    if not isinstance(table, Mapping):
        raise expected("a table", value)
    fields = {attribute.alias or attribute.name: attribute for attribute in setting_fields(cls)}
    found: list[Found] = [
        ((str(key),), f"unknown setting{did_you_mean(str(key), fields, 'the settings are')}")
        for key in table
        if key not in fields
    ]
    given: dict[str, Any] = {}
    for key, attribute in fields.items():
        try:
            if key in table:
                given[key] = _take(table[key], Any if attribute.type is None else attribute.type, converter)
            elif attribute.default is attrs.NOTHING:
                raise Faults([((), f"is required: {type_text(attribute.type)}")])
        except Faults as faults:
            found += faults.under(key)
    found += _invalid(cls, fields, given)
    if found:
        raise Faults(found)
    try:
        return cls(**given)
    except (ValueError, TypeError) as error:
        if not table:
            raise
        raise Faults([((), _why(error))]) from error


def setting_fields(cls: type[Any]) -> tuple[attrs.Attribute[Any], ...]:
    """The fields of *cls* that are settings, their types resolved.

    What only a program can give (a clock, a function) is none.  Raises NameError for the name of an unknown type.
    """
    attrs.resolve_types(cls)
    return tuple(attribute for attribute in attrs.fields(cls) if attribute.init and _can_be_written(attribute.type))


def _can_be_written(kind: Any) -> bool:
    """Whether a configuration can hold it: a Protocol or a function is for programs."""
    if get_origin(kind) is Annotated:
        return _can_be_written(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return all(_can_be_written(member) for member in get_args(kind))
    return not getattr(kind, "_is_protocol", False) and Callable not in (kind, get_origin(kind))


def _invalid(cls: type[Any], fields: Mapping[str, attrs.Attribute[Any]], given: Mapping[str, Any]) -> list[Found]:
    """What the converters and validators say, one fault for each field.

    attrs stops at the first; a validator may look at other fields, so it gets a stand-in that has those that are right.
    """
    found: list[Found] = []
    stand_in: Any = object.__new__(cls)
    for attribute in fields.values():
        if not isinstance(attribute.default, attrs.Factory):  # type: ignore[arg-type]
            object.__setattr__(stand_in, attribute.name, attribute.default)
    for key, value in given.items():
        try:
            object.__setattr__(stand_in, fields[key].name, _converted(value, fields[key], stand_in))
        except (ValueError, TypeError) as error:
            found.append(((key,), _without(value, key, _why(error, key))))
    wrong = {where[0] for where, _ in found}
    for key in given.keys() - wrong:
        attribute = fields[key]
        try:
            if attribute.validator is not None:
                attribute.validator(stand_in, attribute, getattr(stand_in, attribute.name))
        except (ValueError, TypeError) as error:
            found.append(((key,), _without(given[key], key, _why(error, key))))
        except AttributeError:
            # It looks at a field that the stand-in lacks; the constructor calls it again with all of them.
            continue
    return sorted(found)


def _converted(value: Any, attribute: attrs.Attribute[Any], stand_in: Any) -> Any:
    converter: Any = attribute.converter
    if isinstance(converter, attrs.Converter):
        call: Any = converter  # attrs types it for fields only
        return call(value, stand_in, attribute)
    return value if converter is None else converter(value)


def _why(error: BaseException, key: str = "") -> str:
    """The first argument: attrs' own validators put the attribute and the value behind their sentence.

    They begin it with the name of the setting, which is the end of the path that is shown before it.
    """
    if not error.args:
        return type(error).__name__
    said = str(error.args[0]).removeprefix(f"'{key}' ")
    if (bare := said.removeprefix(f"Length of '{key}' must be ")) != said:
        asked, _, has = bare.rpartition(": ")
        return f"its length must be {asked}, not {has}"
    return said


def _without(value: Any, key: str, what: str) -> str:
    """*what* a class's own code says, without the secret it may quote."""
    secret = isinstance(value, str) and value and (isinstance(value, Secret) or is_secret(key))
    return what.replace(value, "***") if secret else what
