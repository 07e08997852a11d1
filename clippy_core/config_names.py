"""How the configuration's faults read: names of types, near names, and what may not be shown."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal, Union, get_args, get_origin

_SECRET_WORDS = frozenset({"key", "keys", "apikey", "token", "secret", "secrets", "password", "passwords", "passwd"})
_SECRET_WORDS |= {"credential", "credentials", "authorization", "cookie"}
_LONGEST = 80


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """``; did you mean path?``, or with *otherwise* (a few words) the list of what is known, or nothing."""
    names = sorted(known)
    near = near_names(name, names)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    if not otherwise:
        return ""
    return f"; {otherwise} {', '.join(names)}" if names else "; there are none"


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """At most three known names that *name* may have been meant to be, the nearest first."""
    import difflib  # only a misspelt name needs it

    if len(name) > _LONGEST:
        return []
    plain = {env_form(candidate): candidate for candidate in sorted(known)}
    return [plain[near] for near in difflib.get_close_matches(env_form(name), plain, n=3, cutoff=0.7)]


def env_form(name: str) -> str:
    """A name with the differences removed that an environment variable cannot keep: case, hyphens, dots."""
    return name.lower().replace("-", "_").replace(".", "_")


def is_secret(path: str) -> bool:
    """Whether the value at *path* may not be shown, by its name: keys, tokens, passwords and headers."""
    names = path.split(".")
    if names[0] == "plugins":  # a plugin may be called anything
        names = names[2:]
    while names and names[-1].isdigit():  # an item of a list
        names.pop()
    return bool(names) and ("headers" in names[:-1] or env_form(names[-1]).rpartition("_")[2] in _SECRET_WORDS)


def type_text(kind: Any) -> str:
    """A type as a reader of the configuration calls it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _one_of(arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(type_text(member) for member in arguments if member is not type(None))
    plain = origin or kind
    if isinstance(plain, type) and issubclass(plain, Mapping):
        return f"table of {type_text(arguments[1])}" if arguments else "table"
    if plain in (list, tuple, set, frozenset) or (isinstance(plain, type) and issubclass(plain, AbstractSet)):
        return _list_text(plain, arguments)
    if isinstance(kind, type):
        return _class_text(kind)
    if kind is None or kind is Any:
        return "any value"
    # collections.abc.Sequence and what else stands for a list without being one.
    return f"list of {type_text(arguments[0])}" if arguments else str(kind)


def _list_text(plain: Any, arguments: tuple[Any, ...]) -> str:
    if not arguments:
        return "list"
    if plain is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return f"list of {len(arguments)}: {', '.join(type_text(member) for member in arguments)}"
    return f"list of {type_text(arguments[0])}"


def _class_text(kind: type) -> str:
    if issubclass(kind, Enum):
        return _one_of(member.value for member in kind)
    if issubclass(kind, PurePath):
        return "path"
    if kind.__name__ == "Secret":
        return 'str or {env = "NAME"}'
    if hasattr(kind, "__attrs_attrs__"):
        return "a table"
    return kind.__name__


def _one_of(choices: Iterable[Any]) -> str:
    shown = [repr(choice) for choice in choices]
    return shown[0] if len(shown) == 1 else f"one of {', '.join(shown)}"
