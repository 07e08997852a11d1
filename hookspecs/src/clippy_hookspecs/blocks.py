"""What a conversation is made of: messages, their blocks, tools, and what they cost in tokens.

What came over the wire is kept beside the fields in ``raw``, which is not an init argument: ``evolve`` drops it, so a
changed value is always written anew.  ``extra`` holds the fields a wire API has and we do not model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, ParamSpec, TypeVar, Union

import attr
from attrs import field, fields, frozen

Json = Any
"""A JSON value as the standard library gives it."""

T = TypeVar("T")
P = ParamSpec("P")


def raw_field() -> Any:
    """The field that keeps a value's wire form: no init argument, so that ``evolve`` drops it."""
    return field(init=False, default=None, eq=False, repr=False)


def with_raw(value: T, raw: Any) -> T:
    """Give *value* the exact wire form it was decoded from.

    For the host's wire modules, and for who makes values anew that were written down with theirs.
    """
    object.__setattr__(value, "raw", raw)
    return value


def draft(cls: type[T]) -> Any:
    """A class for values of *cls* that are still being made: the same slots, open to plain assignment.

    A frozen class fills each slot through ``object.__setattr__``, which is most of what a value costs: one with eleven
    fields takes five times as long as a draft.  Fill every slot of the draft, then set its ``__class__`` to *cls*; from
    then on it is as frozen and as equal as any.  For values that are made by the thousand.
    """
    free = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__, "__init__": object.__init__}
    return type(f"{cls.__name__}Draft", (cls,), {"__slots__": (), **free})


def maker(cls: Callable[P, T]) -> Callable[P, T]:
    """What makes the values that ``cls(...)`` makes, in half the time: a :func:`draft` with the same ``__init__``.

    attrs writes that as for a class that is not frozen; what it filled becomes a *cls* at its end.  For values
    that are made by the thousand.
    """
    kind: Any = cls
    made = draft(kind)

    def become(self: Any) -> None:
        self.__class__ = kind

    made.__attrs_post_init__ = become
    same = {one.name: attr.ib(default=one.default, init=one.init) for one in fields(kind)}
    return attr.s(these=same, slots=True, eq=False, repr=False)(made)  # type: ignore[no-any-return]


@frozen
class Text:
    """Words for a person or a model."""

    text: str
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = raw_field()


@frozen
class RefusalText:
    """The model's own words of refusal (OpenAI's ``refusal``).  The exception is :class:`~clippy_hookspecs.Refusal`."""

    text: str
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = raw_field()


@frozen
class Image:
    """An image by address or by value; ``data`` is base64 text, ``media_type`` as in ``image/png``."""

    url: str | None = None
    data: str | None = field(default=None, repr=False)
    media_type: str | None = None
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = raw_field()


@frozen
class ToolCall:
    """The model asks for a tool.  ``arguments`` is the JSON text as the model wrote it, which may be invalid JSON."""

    id: str
    name: str
    arguments: str = "{}"
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = raw_field()


@frozen
class ToolResult:
    """What a tool answered to the :class:`ToolCall` whose id is ``call_id``."""

    call_id: str
    content: tuple[Block, ...] = ()
    is_error: bool = False
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = raw_field()


@frozen
class Reasoning:
    """The model's thinking.  ``signature`` binds it to one provider: it must not travel to another."""

    text: str
    signature: str | None = field(default=None, repr=False)
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = raw_field()


@frozen
class Opaque:
    """A block we do not model, carried as it is.  ``kind`` is the wire's own type name."""

    kind: str
    data: Json = field(factory=dict)
    raw: Json = raw_field()


Block = Union[Text, RefusalText, Image, ToolCall, ToolResult, Reasoning, Opaque]


@frozen
class Message:
    """One turn.  ``role`` is ``system``, ``developer``, ``user``, ``assistant``, ``tool`` or what the wire says."""

    role: str
    blocks: tuple[Block, ...] = ()
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = raw_field()

    @property
    def text(self) -> str:
        """The text blocks joined."""
        return "".join([block.text for block in self.blocks if isinstance(block, Text)])

    @property
    def reasoning(self) -> str:
        """The reasoning blocks joined."""
        return "".join([block.text for block in self.blocks if isinstance(block, Reasoning)])

    @property
    def refusal(self) -> str | None:
        """The model's words of refusal, None if there are none."""
        return "".join([block.text for block in self.blocks if isinstance(block, RefusalText)]) or None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools this turn asks for, in order."""
        return tuple([block for block in self.blocks if isinstance(block, ToolCall)])

    @property
    def tool_results(self) -> tuple[ToolResult, ...]:
        """The tool answers this turn brings, in order."""
        return tuple([block for block in self.blocks if isinstance(block, ToolResult)])


@frozen
class Tool:
    """A tool the model may call.  ``parameters`` is its JSON Schema."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Json] = field(factory=dict)
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = raw_field()


@frozen
class Usage:
    """Tokens.  ``input`` counts all input tokens, cached or not; ``estimated``: we counted, not the provider."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    estimated: bool = False
    extra: Mapping[str, Json] = field(factory=dict)

    @property
    def total(self) -> int:
        return self.input + self.output


# --- calls and results --------------------------------------------------------------------------------------------

_CALL_KEYS: Final = {"server_tool_use": "id", "mcp_tool_use": "id", "mcp_approval_request": "id"}
_RESULT_KEYS: Final = {"mcp_approval_response": "approval_request_id"}


def tool_link(block: Block) -> tuple[str, bool] | None:
    """The id by which a block is paired, and whether it is the call; None for blocks that are neither call nor result.

    Also for items that are carried as Opaque: Anthropic's server tools, MCP approvals, the Responses API's
    ``*_call`` and ``*_call_output`` items.
    """
    if isinstance(block, ToolCall):
        return block.id, True
    if isinstance(block, ToolResult):
        return block.call_id, False
    if not isinstance(block, Opaque) or not isinstance(block.data, Mapping):
        return None
    data, kind = block.data, block.kind
    if kind in _CALL_KEYS or kind.endswith("_call"):
        name, call = data.get(_CALL_KEYS.get(kind, "call_id")), True
    elif kind.endswith("_tool_result"):
        name, call = data.get("tool_use_id"), False
    elif kind in _RESULT_KEYS or kind.endswith("_output"):
        name, call = data.get(_RESULT_KEYS.get(kind, "call_id")), False
    else:
        return None
    return (name, call) if isinstance(name, str) else None
