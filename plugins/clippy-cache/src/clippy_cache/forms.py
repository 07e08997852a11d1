"""The form that a request wants of its answer, and whether an answer has it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from attrs import frozen
from clippy_hookspecs import Json, Message, Request, Response, ToolCall

from .schema import Unchecked, fits


@frozen
class Form:
    """JSON; with a ``schema``, JSON that fits it."""

    schema: Json = True


def wanted_form(request: Request) -> Form | None:
    """The form in which *request* wants its answer, None for words.

    Names are those of the APIs' references: ``response_format`` (Chat Completions), ``text.format`` (Responses),
    ``output_config.format`` and its former name ``output_format`` (Messages).
    """
    params = request.params
    if params.keys().isdisjoint(_FORMS):
        return None
    for found in (
        params.get("response_format"),
        _of(params.get("text"), "format"),
        _of(params.get("output_config"), "format"),
        params.get("output_format"),
    ):
        kind = _of(found, "type")
        if kind == "json_object":
            return Form()
        if kind == "json_schema":
            schema = _of(_of(found, "json_schema"), "schema") or _of(found, "schema")
            return Form(True if schema is None else schema)
    return None


_FORMS = frozenset({"response_format", "text", "output_config", "output_format"})


def fault_of(response: Response, form: Form | None) -> str | None:
    """Why an answer is not what was asked for, in a few words; None if it is.

    A tool's arguments must be JSON in any case; an answer that only calls tools has no other form.
    """
    for message in _messages(response):
        calls = message.tool_calls
        if calls and any(map(_is_broken, calls)):
            return "a tool's arguments are not JSON"
        if form is None or (calls and not message.text):
            continue
        value = _read(message.text)
        if value is _WRONG:
            return "not JSON"
        try:
            if not fits(value, form.schema):
                return "does not fit its schema"
        except Unchecked:
            return "its schema is too much to check"
    return None


def weight(response: Response) -> int:
    """Bytes of an answer's words: its text, its reasoning and the arguments of its tools."""
    texts = [one for said in _messages(response) for one in (said.text, said.reasoning, *_arguments(said))]
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def _arguments(message: Message) -> Iterator[str]:
    return (call.arguments for call in message.tool_calls)


def _is_broken(call: ToolCall) -> bool:
    """Whether a tool's arguments are not JSON; a custom tool takes any text, and some providers send none at all."""
    custom = call.extra.get("type") in _CUSTOM or "custom" in call.extra
    return not custom and bool(call.arguments.strip()) and _read(call.arguments) is _WRONG


def _messages(response: Response) -> Sequence[Message]:
    first, more = response.message, response.more
    return [first, *[choice.message for choice in more]] if more else (first,)


_WRONG = object()
_CUSTOM = ("custom", "custom_tool_call")


def _read(text: str) -> Json:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _WRONG


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _of(value: Json, name: str) -> Json:
    # Nearly always there is none; to ask what None is an instance of takes longer than all the rest.
    return None if value is None or not isinstance(value, Mapping) else value.get(name)
