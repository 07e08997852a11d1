"""The contract as text: a change of it is a change of ``contract.txt``, which somebody sees and means.

After a change that is meant: ``python tests/contract/test_contract_snapshot.py``
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Protocol, Union, get_args, get_origin, get_overloads

import attrs
import clippy_hookspecs
import pytest
from attrs.validators import ge, gt
from clippy_hookspecs import POLICIES, specs

SNAPSHOT = Path(__file__).with_name("contract.txt")
PROJECT = Path(__file__).resolve().parents[2] / "hookspecs" / "pyproject.toml"
REGENERATE = "python tests/contract/test_contract_snapshot.py"

_Kind = inspect.Parameter
_HERE = clippy_hookspecs.__path__
STORED = ("MAX_BYTES", "MAX_LINE_BYTES", "SCHEMA", "dump_entry", "load_entry", "undecoded_entry")
"""What caches may use of ``clippy_hookspecs.stored`` beside the front page."""


def contract() -> str:
    """Every hook with its policy, every public type with its fields, every function with its signature."""
    version = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"]
    lines = [f"# clippy-hookspecs {version}", "", "# hooks, in calling order"]
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
    lines += ["", "# deprecated"]
    lines += list(_deprecated())
    return "\n".join(lines) + "\n"


def _deprecated() -> Iterator[str]:
    """What works until a version that is said."""
    for name, policy in POLICIES.items():
        told = {**policy.former, **{f"{name}({argument})": said for argument, said in policy.arguments.items()}}
        told |= {name: policy.deprecated} if policy.deprecated else {}
        yield from (f"{old}: {said.since} to {said.removed_in}, {said.instead}" for old, said in told.items())
    for old, said in clippy_hookspecs.FORMER_NAMES.items():
        yield f"{old}: {said.since} to {said.removed_in}, {said.instead}"


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
        kind = f"  ({_kind(value)})" if _kind(value) else ""
        yield (f"class {name}({bases})" if bases else f"class {name}") + kind
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


def _kind(cls: type[Any]) -> str:
    """What instances may be used for beside their members: frozen ones are values, compared and hashed as such."""
    words = []
    if attrs.has(cls):
        words.append("frozen" if cls.__setattr__ is not object.__setattr__ else "mutable")
        words.append("by value" if cls.__eq__ is not object.__eq__ else "by identity")
    if getattr(cls, "_is_runtime_protocol", False):
        words.append("isinstance")
    return ", ".join(words)


def _members(cls: type[Any]) -> Iterator[str]:
    fields = attrs.fields(cls) if attrs.has(cls) else ()
    for field in fields:
        if not field.name.startswith("_"):
            yield _field(field)
    if issubclass(cls, BaseException):
        yield f"__init__{_signature(cls.__init__)}" if "__init__" in vars(cls) else "as its base"
        yield from _carried(cls)
    names = {field.name for field in fields}
    for name in sorted(vars(cls).get("__annotations__", {})):
        if not name.startswith("_") and name not in names and name not in vars(cls):
            yield f"{name}: {cls.__annotations__[name]}"
    for name, member in sorted(vars(cls).items()):
        if name in names or not (_is_spoken(name, cls) or not name.startswith("_")):
            continue
        if isinstance(member, property):
            yield f"property {name} -> {member.fget.__annotations__['return']}"
        elif isinstance(member, (classmethod, staticmethod)):
            yield f"{type(member).__name__} {name}{_signature(member.__func__)}"
        elif inspect.isfunction(member):
            word = "async def" if inspect.iscoroutinefunction(member) else "def"
            yield from (f"overload {name}{_signature(one)}" for one in get_overloads(member))
            yield f"{word} {name}{_signature(member)}"
        elif inspect.ismemberdescriptor(member):
            if not attrs.has(cls):
                yield f"attribute {name}"
        else:
            kind = cls.__annotations__.get(name) if "__annotations__" in vars(cls) else None
            yield f"{name}: {kind} = {_constant(member)}" if kind else f"{name} = {_constant(member)}"


OPERATORS = {"getitem", "setitem", "delitem", "contains", "iter", "len", "call", "or", "add"}


def _is_spoken(name: str, cls: type[Any]) -> bool:
    """Whether a name with underscores is something that a plugin writes: an operator, or a class's own ``__init__``."""
    if name == "__init__":
        made = attrs.has(cls) or getattr(cls, "_is_protocol", False) or issubclass(cls, BaseException)
        return not made
    return name.strip("_") in OPERATORS


def _carried(cls: type[BaseException]) -> Iterator[str]:
    """What an exception keeps of its arguments: ``args``, which is what pickles, and its attributes."""
    if "__init__" not in vars(cls):
        return
    given = {name: (f"<{name}>",) for name in list(inspect.signature(cls).parameters)}
    made = cls(**given)
    known = {id(value): name for name, value in given.items()}

    def said(value: Any) -> str:
        return known.get(id(value), repr(value))

    yield f"args = ({', '.join(said(value) for value in made.args)})"
    for name, value in sorted(vars(made).items()):
        yield f"{name} = {said(value)}"


def _limit(validator: Any) -> str:
    """What a validator of attrs demands."""
    if hasattr(validator, "compare_op"):
        return f"{validator.compare_op} {validator.bound}"
    if hasattr(validator, "options"):
        return f"one of {', '.join(map(repr, validator.options))}"
    return f"{_limit(validator.validator)} if given"


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
    marks += ["by name only"] if field.kw_only else []
    marks += [f"given as {field.alias}"] if field.alias != field.name else []
    marks += [_limit(field.validator)] if field.validator is not None else []
    marks += [f"made by {field.converter.__name__}"] if field.converter is not None else []
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


def _text(value: Any) -> str:
    return "\n".join(_described("Thing", value))


def _pair(make: Any) -> Any:
    return pytest.param(make(False), make(True), id=make.__name__)


def a_default(changed: bool) -> Any:
    return attrs.make_class("Thing", {"x": attrs.field(type=int, default=2 if changed else 1)})


def a_type(changed: bool) -> Any:
    return attrs.make_class("Thing", {"x": attrs.field(type=float if changed else int)})


def an_order(changed: bool) -> Any:
    return attrs.make_class("Thing", ["b", "a"] if changed else ["a", "b"])


def a_bound(changed: bool) -> Any:
    return attrs.make_class("Thing", {"x": attrs.field(validator=gt(0) if changed else ge(0))})


def a_frozen_class(changed: bool) -> Any:
    return attrs.make_class("Thing", ["x"], frozen=not changed)


def a_comparison(changed: bool) -> Any:
    return attrs.make_class("Thing", ["x"], eq=not changed)


def a_choice(changed: bool) -> Any:
    return Literal["a"] if changed else Literal["a", "b"]


def an_argument_by_name(changed: bool) -> Any:
    return (lambda *, x: x) if changed else (lambda x: x)


def a_default_of_an_argument(changed: bool) -> Any:
    return (lambda x=1: x) if changed else (lambda x=2: x)


def an_async_method(changed: bool) -> Any:
    async def wait(self: Any) -> None: ...
    def do(self: Any) -> None: ...

    return type("Thing", (), {"do": wait if changed else do})


def an_operator(changed: bool) -> Any:
    return type("Thing", (), {} if changed else {"__getitem__": lambda self, key: key})


def a_slot(changed: bool) -> Any:
    return type("Thing", (), {"__slots__": () if changed else ("x",)})


def the_args_of_an_exception(changed: bool) -> Any:
    def init(self: Any, a: int, b: int = 0) -> None:
        Exception.__init__(self, *((a,) if changed else (a, b)))

    return type("Thing", (Exception,), {"__init__": init})


def an_attribute_of_an_exception(changed: bool) -> Any:
    def init(self: Any, a: int) -> None:
        Exception.__init__(self, a)
        setattr(self, "b" if changed else "a", a)

    return type("Thing", (Exception,), {"__init__": init})


def a_promised_attribute(changed: bool) -> Any:
    return type("Thing", (Protocol,), {"__annotations__": {"x": "int" if changed else "str"}})


CHANGES = [
    a_default, a_type, an_order, a_bound, a_frozen_class, a_comparison, a_choice, an_argument_by_name,
    a_default_of_an_argument, an_async_method, an_operator, a_slot, the_args_of_an_exception,
    an_attribute_of_an_exception, a_promised_attribute,
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), [_pair(make) for make in CHANGES])
def test_no_change_goes_unseen(before: Any, after: Any) -> None:
    """Whatever a plugin may rely on is in the snapshot, so that a change of it is a change of the file."""
    assert _text(before) != _text(after)


def test_every_hook_has_a_policy_and_every_policy_a_hook() -> None:
    """The table that the host compiles its chains from and the specifications are the same set."""
    declared = {name for name, value in vars(specs).items() if hasattr(value, "clippy_spec")}
    assert declared == set(POLICIES)


if __name__ == "__main__":
    SNAPSHOT.write_text(contract(), encoding="utf-8")
    sys.stdout.write(f"{SNAPSHOT} has {len(contract().splitlines())} lines\n")
