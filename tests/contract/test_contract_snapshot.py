"""The contract as text: a change of it is a change of ``contract.txt``, which somebody sees and means.

After a change that is meant: ``python tests/contract/test_contract_snapshot.py``
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs
import clippy_hookspecs
from clippy_hookspecs import POLICIES, specs

SNAPSHOT = Path(__file__).with_name("contract.txt")
REGENERATE = "python tests/contract/test_contract_snapshot.py"

_Kind = inspect.Parameter
_HERE = clippy_hookspecs.__path__
STORED = ("MAX_BYTES", "MAX_LINE_BYTES", "SCHEMA", "dump_entry", "load_entry", "undecoded_entry")
"""What caches may use of ``clippy_hookspecs.stored`` beside the front page."""


def contract() -> str:
    """Every hook with its policy, every public type with its fields, every function with its signature."""
    lines = ["# hooks, in calling order"]
    for name, policy in POLICIES.items():
        lines.append(f"{name}{_signature(getattr(specs, name))}")
        waits = "may await" if policy.may_await else "plain def"
        lines.append(f"    {policy.combine}, on failure {policy.on_failure}, {waits}, {policy.order}")
    lines += ["", "# names of clippy_hookspecs"]
    for name in sorted(clippy_hookspecs.__all__):
        lines += _described(name, getattr(clippy_hookspecs, name))
    lines += ["", "# words"]
    lines += [line for name, value in sorted(_words().items()) for line in _described(name, value)]
    lines += ["", "# names of clippy_hookspecs.stored"]
    stored = importlib.import_module("clippy_hookspecs.stored")
    for name in STORED:
        lines += _described(name, getattr(stored, name))
    return "\n".join(lines) + "\n"


def _words() -> dict[str, Any]:
    """The closed sets of words that fields refer to by name, wherever in the contract they are declared."""
    modules = [importlib.import_module(f"clippy_hookspecs.{one.name}") for one in pkgutil.iter_modules(_HERE)]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if get_origin(value) is Literal and name not in clippy_hookspecs.__all__
    }


def _described(name: str, value: Any) -> Iterator[str]:
    if inspect.ismodule(value):
        yield f"module {name}"
    elif get_origin(value) in (Union, UnionType, Literal):
        yield f"{name} = {' | '.join(_argument(member) for member in get_args(value))}"
    elif value is Any:
        yield f"{name} = Any"
    elif value is attrs.evolve:  # its own name depends on the Python version
        yield f"{name} = attrs.evolve"
    elif inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"class {name}({bases})" if bases else f"class {name}"
        yield from (f"    {line}" for line in _members(value))
    elif inspect.isfunction(value):
        yield f"def {name}{_signature(value)}"
    else:
        yield f"{name} = {_constant(value)}"


def _argument(member: Any) -> str:
    return member.__name__ if inspect.isclass(member) else repr(member)


def _constant(value: Any) -> str:
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(repr(member) for member in sorted(value))}}}"
    if isinstance(value, dict):
        return f"mapping of {', '.join(value)}"
    return repr(value)


def _members(cls: type[Any]) -> Iterator[str]:
    fields = attrs.fields(cls) if attrs.has(cls) else ()
    for field in fields:
        if not field.name.startswith("_"):
            yield _field(field)
    if issubclass(cls, BaseException):
        yield f"__init__{_signature(cls.__init__)}" if "__init__" in vars(cls) else "as its base"
    names = {field.name for field in fields}
    for name, member in sorted(vars(cls).items()):
        if name.startswith("_") or name in names:
            continue
        if isinstance(member, property):
            yield f"property {name} -> {member.fget.__annotations__['return']}"
        elif isinstance(member, (classmethod, staticmethod)):
            yield f"{type(member).__name__} {name}{_signature(member.__func__)}"
        elif inspect.isfunction(member):
            word = "async def" if inspect.iscoroutinefunction(member) else "def"
            yield f"{word} {name}{_signature(member)}"
        elif not inspect.ismemberdescriptor(member):
            yield f"{name} = {_constant(member)}"


def _field(field: attrs.Attribute[Any]) -> str:
    kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))
    default = ""
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
        default = " = new"
    elif field.default is not attrs.NOTHING:
        default = f" = {_constant(field.default)}"
    marks = [] if field.init else ["not in init"]
    marks += [] if field.eq else ["not compared"]
    marks += [] if field.repr else ["not shown"]
    return f"{field.name}: {kind}{default}" + (f"  ({', '.join(marks)})" if marks else "")


def _signature(function: Any) -> str:
    """The signature with its annotations as they are written, so that no Python version spells them otherwise."""
    signature = inspect.signature(function)
    shown: list[str] = []
    kind: Any = None
    for parameter in signature.parameters.values():
        if kind is _Kind.POSITIONAL_ONLY and parameter.kind is not kind:
            shown.append("/")
        if parameter.kind is _Kind.KEYWORD_ONLY and kind not in (_Kind.KEYWORD_ONLY, _Kind.VAR_POSITIONAL):
            shown.append("*")
        kind = parameter.kind
        shown.append(_parameter(parameter))
    returned = "" if signature.return_annotation is signature.empty else f" -> {signature.return_annotation}"
    return f"({', '.join(shown)}){returned}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = "*" if parameter.kind is _Kind.VAR_POSITIONAL else "**" if parameter.kind is _Kind.VAR_KEYWORD else ""
    kind = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
    default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
    return f"{stars}{parameter.name}{kind}{default}"


def test_the_contract_is_what_the_snapshot_says() -> None:
    """Plugins that strangers wrote rely on every line of it."""
    said, found = SNAPSHOT.read_text(encoding="utf-8").splitlines(), contract().splitlines()
    gone = [f"- {line}" for line in said if line not in found]
    new = [f"+ {line}" for line in found if line not in said]
    assert said == found, "\n".join([f"the contract has changed; if that is meant: {REGENERATE}", *gone, *new])


def test_every_hook_has_a_policy_and_every_policy_a_hook() -> None:
    """The table that the host compiles its chains from and the specifications are the same set."""
    declared = {name for name, value in vars(specs).items() if hasattr(value, "clippy_spec")}
    assert declared == set(POLICIES)


if __name__ == "__main__":
    SNAPSHOT.write_text(contract(), encoding="utf-8")
    sys.stdout.write(f"{SNAPSHOT} has {len(contract().splitlines())} lines\n")
