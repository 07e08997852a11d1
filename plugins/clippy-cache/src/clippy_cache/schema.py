"""Whether a JSON value fits a JSON Schema, as far as the schemas go that providers take for structured outputs.

What is checked: ``type``, ``enum``, ``const``, ``properties``, ``required``, ``additionalProperties``, ``items``,
``prefixItems``, ``anyOf``, ``allOf``, ``$ref`` within the schema, and the limits of numbers, lengths and counts.
``oneOf`` is taken for ``anyOf``.  Every other keyword is passed over, so that a value that fits is never turned down;
``pattern`` above all, since a pattern that somebody sent could take for ever.  See docs/decisions/053.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clippy_hookspecs import Json

MOST_STEPS = 50_000
"""Subschemas that are compared with a value before it is given up: references can multiply without end."""


class Unchecked(Exception):
    """The schema asks for more work than is done here."""


def fits(value: Json, schema: Json) -> bool:
    """Whether *value* fits *schema*.  Raises :class:`Unchecked` where that takes too long or too deep."""
    try:
        return _Check(schema).fits(value, schema)
    except RecursionError as error:
        raise Unchecked("nested too deep") from error


class _Check:
    def __init__(self, root: Json) -> None:
        self._root, self._left = root, MOST_STEPS

    def fits(self, value: Json, schema: Json) -> bool:
        self._left -= 1
        if self._left < 0:
            raise Unchecked("too many steps")
        if schema is False:
            return False
        if not isinstance(schema, Mapping):
            return True
        if "$ref" in schema and not self.fits(value, self._referred(schema["$ref"])):
            return False
        return (
            _is_of(value, schema.get("type"))
            and ("const" not in schema or same(value, schema["const"]))
            and (not isinstance(listed := schema.get("enum"), list) or any(same(value, one) for one in listed))
            and all(within(value, schema.get(name)) for name, within in _LIMITS.items() if name in schema)
            and self._combined(value, schema)
            and (not isinstance(value, dict) or self._object(value, schema))
            and (not isinstance(value, list) or self._array(value, schema))
        )

    def _combined(self, value: Json, schema: Mapping[str, Json]) -> bool:
        for name in ("anyOf", "oneOf"):
            several = schema.get(name)
            if isinstance(several, list) and several and not any(self.fits(value, one) for one in several):
                return False
        every = schema.get("allOf")
        return not isinstance(every, list) or all(self.fits(value, one) for one in every)

    def _object(self, value: Mapping[str, Json], schema: Mapping[str, Json]) -> bool:
        required, known = schema.get("required"), schema.get("properties")
        if isinstance(required, list) and any(isinstance(name, str) and name not in value for name in required):
            return False
        known = known if isinstance(known, Mapping) else {}
        others = True if "patternProperties" in schema else schema.get("additionalProperties", True)
        return all(self.fits(item, known.get(name, others)) for name, item in value.items())

    def _array(self, value: list[Json], schema: Mapping[str, Json]) -> bool:
        first, rest = schema.get("prefixItems"), schema.get("items", True)
        if isinstance(rest, list):  # before 2020-12
            first, rest = rest, schema.get("additionalItems", True)
        first = first if isinstance(first, list) else []
        return all(self.fits(item, first[place] if place < len(first) else rest) for place, item in enumerate(value))

    def _referred(self, reference: Json) -> Json:
        """What a reference within the schema names; True, which everything fits, for any other."""
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            return True
        found: Any = self._root
        for part in reference[2:].split("/") if len(reference) > 1 else ():
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(found):
                found = found[int(name[:9])]
            else:
                return True
        return found


def same(one: Json, other: Json) -> bool:
    """Whether two JSON values are equal: 1 is 1.0 and is not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(item, other[name]) for name, item in one.items())
    return bool(one == other)


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Json], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
}


def _is_of(value: Json, wanted: Json) -> bool:
    kinds = wanted if isinstance(wanted, list) else [wanted]
    tests = [_TYPES.get(kind) if isinstance(kind, str) else None for kind in kinds]
    return None in tests or any(test(value) for test in tests if test is not None)


def _limit(concerns: Callable[[Json], Any], holds: Callable[[Any, Any], bool]) -> Callable[[Json, Json], bool]:
    """A keyword that concerns values of which *concerns* gives a number, and holds a limit against it."""

    def within(value: Json, limit: Json) -> bool:
        measured = concerns(value)
        return measured is None or not _is_number(limit) or holds(measured, limit)

    return within


def _number(value: Json) -> Any:
    return value if _is_number(value) else None


def _size(kind: type[Any]) -> Callable[[Json], Any]:
    return lambda value: len(value) if isinstance(value, kind) else None


def _at_least(measured: Any, limit: Any) -> bool:
    return bool(measured >= limit)


def _at_most(measured: Any, limit: Any) -> bool:
    return bool(measured <= limit)


_LIMITS: Mapping[str, Callable[[Json, Json], bool]] = {
    "minimum": _limit(_number, _at_least),
    "maximum": _limit(_number, _at_most),
    "exclusiveMinimum": _limit(_number, lambda measured, limit: measured > limit),
    "exclusiveMaximum": _limit(_number, lambda measured, limit: measured < limit),
    "minLength": _limit(_size(str), _at_least),
    "maxLength": _limit(_size(str), _at_most),
    "minItems": _limit(_size(list), _at_least),
    "maxItems": _limit(_size(list), _at_most),
    "minProperties": _limit(_size(dict), _at_least),
    "maxProperties": _limit(_size(dict), _at_most),
}
