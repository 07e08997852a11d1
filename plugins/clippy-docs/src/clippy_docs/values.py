"""values.md: the public types of ``clippy_hookspecs``, from the classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

import attrs
import clippy_hookspecs

from . import text

INTRODUCTION = """\
What hooks get and return, all of it from `clippy_hookspecs`. Values are frozen: change is
`evolve(request, messages=...)`. The one thing that changes is the context, which lives as long as its request. Times
are seconds, sizes are bytes, unless a text says otherwise. A field without a default has to be given.

What of a value came over the wire is kept in `raw` beside the fields. `evolve` drops it, so that a changed value is
always written anew; a plugin never sets it."""

PARTS: dict[str, tuple[str, ...]] = {
    "Requests and answers": (
        "Request", "Endpoint", "Response", "Choice", "Provenance", "Headers", "Chunk", "COMPLETE_REASONS",
        "CONTENT_KINDS", "UNKNOWN_ENDPOINT",
    ),
    "Conversations": (
        "Message", "Block", "Text", "RefusalText", "Image", "ToolCall", "ToolResult", "Reasoning", "Opaque", "Tool",
        "Usage", "Json", "tool_link",
    ),
    "Decisions": ("Answer", "Join", "Retry", "Switch", "Stale", "Restart", "Continue", "ErrorDecision"),
    "Context": ("RequestContext", "Scope", "RouteInfo", "Flow", "Stash", "StashKey"),
    "What plugins are told": (
        "Failure", "ErrorInfo", "Category", "UNKNOWN_ERROR", "Outcome", "CacheEntry", "CacheControl", "Selector",
        "StoredEntry", "AuditRecord", "AttemptRecord", "HookCall", "Event",
    ),
    "Errors": (
        "ClippyError", "Refusal", "AttemptRefused", "ProviderError", "StreamInterrupted", "DeadlineExceeded",
        "PluginError", "ConfigError", "ContextBudgetError", "CorruptEntry",
    ),
    "Services": (
        "Services", "ServiceRegistry", "Clock", "TokenCounter", "Prices", "Embedder", "MatchVerifier", "Summarizer",
        "StateStore", "Reservation", "CacheListing", "Status", "StatusTable", "Unopened", "Upstream", "RawRequest",
        "RawReply", "ByteStream", "Routes", "Host",
    ),
    "For writing plugins": (
        "hookimpl", "evolve", "TextFilter", "dump_entry", "load_entry", "HookPolicy", "POLICIES", "PROJECT", "specs",
        "Deprecation", "former_names",
    ),
}  # fmt: skip
"""Every public name of the contract, by what a reader looks for."""

NOT_SHOWN = ("asker", "undecoded")
"""For the host and its wire modules alone."""

TOLD = {
    "Json": "A JSON value as the standard library gives it: None, bool, int, float, str, list or dict.",
    "Block": "One part of a message.",
    "Category": "What kind of failure, in a word.",
    "ErrorDecision": "What `on_error` may return.",
    "UNKNOWN_ERROR": "What a failure is while nobody has judged it: not retried.",
    "COMPLETE_REASONS": "Finish reasons after which an answer is whole and may be stored.",
    "CONTENT_KINDS": "The kinds of chunks that carry the answer; the first non-empty one is the commit point.",
    "UNKNOWN_ENDPOINT": "An address the host does not know: not cached, retried only where that is safe, not read.",
    "POLICIES": "The policy of every hook by name, in calling order.",
    "PROJECT": "The entry-point group and pluggy's project name.",
    "specs": "The module of the hooks' specifications: see [Hooks](hooks.md).",
    "evolve": 'A changed copy of a frozen value: `evolve(request, model="m")`. It is `attrs.evolve`.',
}
"""What names say that carry no docstring of their own at run time."""


def values_page(by: str = "clippy docs build") -> str:
    """The page; *by* is the command that makes it."""
    parts: list[str] = []
    for title, names in PARTS.items():
        parts += [f"**{title}:** " + ", ".join(_link(name) for name in names), ""]
    for title, names in PARTS.items():
        parts += [f"## {title}", ""]
        for name in names:
            parts += _section(name, getattr(clippy_hookspecs, name))
    return text.page("Values", "clippy_hookspecs", INTRODUCTION, parts, by=by)


def _link(name: str) -> str:
    return f"[`{name}`](#{name.lower()})"


def _section(name: str, value: Any) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    if name in TOLD:
        yield TOLD[name]
        yield ""
    if value is Any:
        return
    if inspect.isclass(value):
        yield from _class(value)
    elif inspect.isfunction(value) and name not in TOLD:
        yield f"`{name}{signature(value)}`"
        yield ""
        yield from _blocks(value)
    elif get_origin(value) in (Union, UnionType):
        yield " or ".join(text.reference(member.__name__, text.VALUES) for member in get_args(value))
        yield ""
    elif get_args(value):
        yield ", ".join(f"`{member}`" for member in get_args(value))
        yield ""
    elif isinstance(value, frozenset):
        yield ", ".join(f"`{member}`" for member in sorted(value))
        yield ""
    elif isinstance(value, str):
        yield f'`"{value}"`'
        yield ""


def _blocks(documented: Any) -> Iterator[str]:
    for block in text.paragraphs(documented, text.VALUES):
        yield block
        yield ""


def _class(cls: type[Any]) -> Iterator[str]:
    bases = [base for base in cls.__bases__ if base.__name__ in text.PUBLIC]
    if bases:
        yield f"A {text.reference(bases[0].__name__, text.VALUES)}."
        yield ""
    yield from _blocks(cls)
    fields = [field for field in attrs.fields(cls) if not field.name.startswith("_")] if attrs.has(cls) else []
    if "__init__" in vars(cls) and not fields and not getattr(cls, "_is_protocol", False):
        yield from _rows("argument", _arguments(cls.__init__))
    shown = [field for field in fields if field.init and field.name not in NOT_SHOWN]
    if shown:
        yield from _rows("field", ((one.name, cls.__annotations__[one.name], _default(one)) for one in shown))
    members = list(_members(cls, {field.name for field in fields}))
    if members:
        yield from text.table(("member", "what for"), members)


def _rows(head: str, rows: Iterable[tuple[str, Any, str]]) -> list[str]:
    cells = [(f"`{name}`", text.annotation(kind, text.VALUES), shown) for name, kind, shown in rows]
    return text.table((head, "type", "default"), cells) if cells else []


def _arguments(function: Callable[..., Any]) -> Iterator[tuple[str, Any, str]]:
    for one in list(inspect.signature(function).parameters.values())[1:]:
        yield one.name, one.annotation, "" if one.default is one.empty else f"`{_constant(one.default)}`"


def _default(field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return ""
    default: Any = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        made = default.factory()
        return "empty" if isinstance(made, (Mapping, tuple)) and not made else "a new one"
    return f"`{_constant(default)}`"


def _constant(value: Any) -> str:
    if value is clippy_hookspecs.UNKNOWN_ENDPOINT:
        return "UNKNOWN_ENDPOINT"
    return repr(value)


def _members(cls: type[Any], fields: set[str]) -> Iterator[tuple[str, str]]:
    """What a class has beside its fields, in the order of the source."""
    for name, member in vars(cls).items():
        if name.startswith("_") or name in fields or name in NOT_SHOWN:
            continue
        if isinstance(member, property):
            kind = text.annotation(member.fget.__annotations__["return"], text.VALUES)
            yield f"`{name}`: {kind}", text.first_sentence(member, text.VALUES)
        elif isinstance(member, (classmethod, staticmethod)):
            yield f"`{name}{signature(member.__func__)}`", text.first_sentence(member, text.VALUES)
        elif inspect.isfunction(member):
            word = "async " if inspect.iscoroutinefunction(member) else ""
            yield f"`{word}{name}{signature(member)}`", text.first_sentence(member, text.VALUES)
        elif not inspect.ismemberdescriptor(member) and not isinstance(member, type):
            yield f"`{name} = {member!r}`", ""


def signature(function: Callable[..., Any]) -> str:
    """A signature without ``self``, its annotations as they are written, "or" for the vertical line."""
    found = inspect.signature(function)
    parameters = [one for one in found.parameters.values() if one.name not in ("self", "cls")]
    written = found.replace(
        parameters=[one.replace(annotation=_Written(one.annotation)) for one in parameters],
        return_annotation=_Written(found.return_annotation),
    )
    return str(written).replace(" | ", " or ")


class _Written:
    """An annotation that shows itself as it is written, without quotes."""

    def __new__(cls, kind: Any) -> Any:
        if kind is inspect.Signature.empty:
            return kind
        self = super().__new__(cls)
        self.kind = kind
        return self

    kind: Any

    def __repr__(self) -> str:
        return self.kind if isinstance(self.kind, str) else inspect.formatannotation(self.kind)
