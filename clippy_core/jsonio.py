"""JSON in and out: orjson where it is exact, the standard library where it is not, the same results either way.

orjson reads integers beyond 64 bits as floats, writes NaN and the infinities as null, and refuses lone surrogates.
Providers and callers send all of these, and no digit of theirs may be lost on the way.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from clippy_hookspecs import Json

# Any integer of 18 digits fits in 64 bits, not any of 19.
_DIGIT = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else ord(".") for byte in range(256))
_TOO_LONG = b"0" * 19
_SHORT = 4096
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_SORTED = _OPTIONS | orjson.OPT_SORT_KEYS


def loads(data: bytes | bytearray | memoryview | str) -> Json:
    """The value of a JSON text, exactly as the standard library gives it (so NaN and Infinity are accepted).

    Raises ValueError for what is not JSON, for other encodings than it knows, and for nesting too deep to be read.
    """
    if isinstance(data, str):
        octets = data.encode("utf-8", "surrogatepass")
    else:
        data = octets = data if type(data) is bytes else bytes(data)
    # Where 19 digits stand in a row, three neighbours of every sixth byte are digits, which is quick to see; and where
    # those are, there are 13 digits in a row: no time in seconds is so long.
    # To ask bytes for bytes by "in" would cost an error that is raised and caught inside.
    if octets[::6].translate(_DIGIT).find(b"000") < 0 or octets.translate(_DIGIT).find(_TOO_LONG) < 0:
        try:
            return orjson.loads(octets)
        except orjson.JSONDecodeError:
            pass  # Malformed, or one of the things only the standard library reads; it decides, and words the error.
    return _loads_slowly(data)


def loads_within(octets: bytes) -> Callable[[str], Json]:
    """:func:`loads` for the texts that stand in *octets*: where no number there is long, none of them need look again.

    A stream brings a hundred small texts in one piece, and to look is half of what it costs to read one.
    """
    return loads if b"000" in octets[::6].translate(_DIGIT) else _loads_short


def loads_string(literal: bytes) -> str | None:
    """The text of one JSON string with its quotes; None for an empty one, and for what *literal* is else."""
    try:
        text = orjson.loads(literal)
    except orjson.JSONDecodeError:
        return None
    return text if type(text) is str and text else None


def _loads_short(text: str) -> Json:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _loads_slowly(text)


def _loads_slowly(data: bytes | str) -> Json:
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("not readable as JSON: nested too deep") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {_reason(error)}") from None


def dumps(value: Json) -> bytes:
    """*value* as compact JSON in UTF-8, such that :func:`loads` gives it back.

    Any Mapping is written as an object.  Raises TypeError for what JSON cannot say, ValueError for nesting too deep.
    """
    try:
        data = orjson.dumps(value, _plain, _OPTIONS)
        # A null in it may have been a number.  Searching a long text costs more than to look at its values.
        if (len(data) < _SHORT and b"null" not in data) or _finite(value):
            return data
    except TypeError:
        pass  # A big integer, a lone surrogate, a key that is not text, more than 254 levels, or really not JSON.
    except RecursionError:
        raise ValueError("cannot be written as JSON: nested too deep") from None
    try:
        return json.dumps(value, separators=(",", ":"), default=_plain).encode()
    except RecursionError:
        raise ValueError("cannot be written as JSON: nested too deep") from None


def dumps_known(value: Json) -> tuple[bytes, bool]:
    """:func:`dumps`, and whether *value* :func:`is_flat` and exactly what :func:`loads` would give of the bytes."""
    if is_flat(value):
        try:
            return orjson.dumps(value, option=_OPTIONS), True
        except TypeError:
            pass  # A big integer, or a surrogate, of which two may be read as one character.
    return dumps(value), False


def canonical(value: Json, *, flat: bool = False) -> bytes:
    """*value* in the one form that equal values share: keys sorted by code point, no spaces, shortest numbers.

    A float that is a whole number is written as that integer (0.0 is 0), any other as its shortest digits, so 0.1 and
    0.10000000000000002 differ.  NaN and the infinities keep their names.  Not meant to be parsed: it makes keys.
    *flat*: it is known that *value* :func:`is_flat`.  Raises TypeError for what JSON cannot say, ValueError for nesting
    too deep.
    """
    try:
        normal = value if flat or is_flat(value) else _normal(value)
        try:
            return orjson.dumps(normal, option=_SORTED)
        except TypeError:
            pieces: list[str] = []
            _write(normal, pieces)
            return "".join(pieces).encode("utf-8", "surrogatepass")
    except RecursionError:
        raise ValueError("cannot be written as JSON: nested too deep") from None


def is_flat(value: Json) -> bool:
    """Whether *value* is an object of texts, numbers, true, false, null and lists of objects of texts: most requests.

    What orjson writes of these is their canonical form: a number that has another makes *value* not flat.  Names that
    are no texts are left to orjson, which writes none.
    """
    if type(value) is not dict:
        return False
    for item in value.values():
        sort = type(item)
        if sort is str or sort is int or item is None or sort is bool:
            continue
        if sort is list:
            for one in item:
                if type(one) is not dict:
                    return False
                for held in one.values():
                    if type(held) is not str:
                        return False
        elif sort is not float or not 0.0 < item % 1.0 < 1.0:  # also of a NaN
            return False
    return True


class _Literal:
    """A number that has no form in JSON.  orjson would write null for it; at the sight of this it raises TypeError."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _normal(value: Json) -> Json:
    """*value* as orjson writes it in the canonical form: itself unless something in it must be written differently.

    Only what holds a whole number as a float, NaN, a tuple or another Mapping is copied; the types of most values are
    told apart by identity, which costs a tenth of asking what they are instances of.
    """
    kind = type(value)
    if kind is dict or kind is list:
        changed: Json = None
        for place, item in value.items() if kind is dict else enumerate(value):
            sort = type(item)
            if sort is str or sort is int or item is None or sort is bool:
                continue
            normal = _normal(item)
            if normal is not item:
                changed = value.copy() if changed is None else changed
                changed[place] = normal
        return value if changed is None else changed
    if isinstance(value, float):
        if math.isfinite(value):
            return int(value) if value.is_integer() else value
        return _Literal("NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity")
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return _normal(dict(value))
    if isinstance(value, list | tuple):
        return _normal(list(value))
    raise TypeError(f"{kind.__name__} is not a JSON value")


def _write(value: Json, pieces: list[str]) -> None:
    """The bytes orjson would write, for what it cannot: both escape alike, and floats are its own."""
    if isinstance(value, _Literal):
        pieces.append(value.text)
    elif isinstance(value, float):
        pieces.append(orjson.dumps(value).decode())
    elif isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise TypeError(f"an object's key must be text, not {type(name).__name__}")
        for number, name in enumerate(sorted(value)):
            pieces.append(",{"[number == 0])
            pieces.append(json.dumps(name, ensure_ascii=False) + ":")
            _write(value[name], pieces)
        pieces.append("}" if value else "{}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            pieces.append(",["[number == 0])
            _write(item, pieces)
        pieces.append("]" if value else "[]")
    else:
        pieces.append(json.dumps(value, ensure_ascii=False))


def _plain(value: Any) -> Json:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _finite(value: Json) -> bool:
    """Whether orjson is right about every null it wrote: no float in *value* is NaN or infinite."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is dict or isinstance(value, Mapping):
        items: Iterable[Json] = value.values()
    elif kind is list or isinstance(value, list | tuple):
        items = value
    else:
        return not isinstance(value, float) or math.isfinite(value)
    for item in items:
        sort = type(item)
        if sort is not str and sort is not int and item is not None and sort is not bool and not _finite(item):
            return False
    return True


def _reason(error: ValueError) -> str:
    """What went wrong and where, without the text itself: it may be somebody's prompt."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno} column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"not {error.encoding} at byte {error.start}"
    return str(error)
