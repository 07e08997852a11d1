"""Single values of the configuration: each type takes what it means and nothing that merely could be turned into it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from .config_names import did_you_mean, type_text

Where = tuple[str, ...]
Found = tuple[Where, str]


class Secret(str):
    """A string whose ``repr`` shows nothing, so that it stays out of logs, tracebacks and ``config show``.

    It is the value itself: in a header, after ``+`` or in an f-string it is the key.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')"


class RawText(str):
    """The text of an environment variable, read as TOML or as it is, whichever the setting's type wants."""

    __slots__ = ()

    def toml(self) -> Any:
        """The TOML value, or the text itself where it is none: ``60`` is a number, ``/var/cache`` a text."""
        if "\n" in self or "\r" in self:
            return str(self)
        import tomllib  # most programs have neither file nor variables of ours

        try:
            return tomllib.loads(f"value = {self}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            return str(self)

    def text(self) -> str:
        """The text: a quoted TOML string without its quotes, everything else as it is."""
        value = self.toml()
        return value if isinstance(value, str) else str(self)


class ReferredText(RawText):
    """What ``{env = "NAME"}`` brought: taken as it is, and a secret wherever a text is wanted."""

    __slots__ = ()

    def text(self) -> str:
        """The text, unchanged."""
        return Secret(self)


class Faults(Exception):
    """What is wrong with one value: paths below it and sentences."""

    def __init__(self, found: Sequence[Found]) -> None:
        super().__init__(tuple(found))
        self.found = tuple(found)

    def under(self, key: str) -> list[Found]:
        """The same faults as the container of *key* sees them."""
        return [((key, *where), what) for where, what in self.found]


def expected(what: str, value: Any) -> Faults:
    """The fault of a value of the wrong kind.  Secrets and tables are named by their type, not shown."""
    if isinstance(value, (Secret, ReferredText)):
        shown = "another text"
    elif isinstance(value, Mapping):
        shown = "a table"
    else:
        shown = repr(str(value)) if isinstance(value, str) else repr(value)
    return Faults([((), f"expected {what}, got {shown if len(shown) <= 80 else shown[:77] + '...'}")])


def refer(value: Any, environ: Mapping[str, str]) -> Any:
    """What ``{env = "NAME"}`` stands for; every other value is itself."""
    reference = plain(value)
    if not (isinstance(reference, Mapping) and set(reference) == {"env"} and isinstance(reference["env"], str)):
        return value
    name = reference["env"]
    text = environ.get(name)
    if not text:
        state = "not set" if text is None else "empty"
        raise Faults([((), f"the environment variable {name} is {state}; set it, or give the value another way")])
    return ReferredText(text)


def plain(value: Any) -> Any:
    """The TOML value of a text from the environment; every other value is itself."""
    return value.toml() if isinstance(value, RawText) else value


def as_text(value: Any, _: Any = str) -> str:
    """A string; numbers are not strings, but the environment's text ``60`` is one where a string is wanted."""
    if isinstance(value, RawText):
        return value.text()
    if isinstance(value, str):
        return value
    raise expected("str", value)


def as_secret(value: Any, _: Any) -> Secret:
    """A string that is not shown, nor is what stands there by mistake."""
    if isinstance(value, str):
        return Secret(as_text(value))
    raise Faults([((), f'expected str or {{env = "NAME"}}, got {type(value).__name__}')])


def as_int(value: Any, _: Any) -> int:
    """An integer: neither true nor 3.0."""
    number = plain(value)
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    raise expected("int", value)


def as_float(value: Any, _: Any) -> float:
    """A number; whole ones need no point."""
    number = plain(value)
    if isinstance(number, (int, float)) and not isinstance(number, bool):
        try:
            return float(number)
        except OverflowError:
            raise expected("float", value) from None
    raise expected("float", value)


_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def as_bool(value: Any, _: Any) -> bool:
    """true or false; from the environment also 1, 0, yes, no, on and off, which people write there."""
    found = _WORDS.get(value.strip().lower()) if isinstance(value, RawText) else value
    if isinstance(found, bool):
        return found
    raise expected("bool", value)


def as_path(value: Any, _: Any) -> Path:
    """A path; ``~`` is the home directory, and ``./name`` is in today's folder wherever the program goes later."""
    if isinstance(value, os.PathLike):
        return Path(value)
    if isinstance(value, str) and (text := as_text(value)):
        try:
            path = Path(text).expanduser()
            # A Path forgets the "./" of a name, which told it from a word.
            return path.absolute() if len(path.parts) == 1 and len(text) > len(path.name) else path
        except RuntimeError as error:  # there is no home, or no such user
            raise Faults([((), f"expected path, got {text!r}: {error}")]) from None
    raise expected("path", value)


def as_instance(value: Any, kind: Any) -> Any:
    """A value that TOML has a type for: dates and times."""
    found = plain(value)
    if type(found) is kind:
        return found
    raise expected(type_text(kind), value)


def as_anything(value: Any, _: Any) -> Any:
    """Whatever stands there."""
    return plain(value)


def as_literal(value: Any, kind: Any) -> Any:
    """One of the choices, of the same type: 1 is not true."""
    return _choice(value, kind, get_args(kind))


def as_enum(value: Any, kind: Any) -> Any:
    """A member, by its value."""
    if isinstance(value, kind):
        return value
    return kind(_choice(value, kind, [member.value for member in kind]))


def _choice(value: Any, kind: Any, choices: Sequence[Any]) -> Any:
    text = as_text(value) if isinstance(value, str) else value
    for candidate in (str(text) if isinstance(text, str) else text, plain(value)):
        for choice in choices:
            if type(choice) is type(candidate) and choice == candidate:
                return choice
    hint = (
        did_you_mean(text, [choice for choice in choices if isinstance(choice, str)]) if isinstance(text, str) else ""
    )
    raise Faults([((), expected(type_text(kind), value).found[0][1] + hint)])
