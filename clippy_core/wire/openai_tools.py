"""OpenAI chat tools and the calls to them: JSON to the contract's values and back."""

from __future__ import annotations

from collections.abc import Mapping

from clippy_hookspecs import Block, Json, Tool, ToolCall
from clippy_hookspecs.types import with_raw

from ..jsonio import dumps
from .shapes import objects, without


def take_calls(rest: dict[str, Json]) -> list[Block]:
    """The tool calls of a message, taken out of *rest*; all of them or, if one is of an unknown shape, none."""
    blocks: list[Block] = []
    calls = rest.get("tool_calls")
    if objects(calls):
        read = [_call(item) for item in calls]
        if None not in read:
            del rest["tool_calls"]
            blocks = [block for block in read if block is not None]
    legacy = rest.get("function_call")
    if isinstance(legacy, dict) and isinstance(legacy.get("name"), str) and isinstance(legacy.get("arguments"), str):
        del rest["function_call"]
        # It has no id; its result names the function, so that name pairs the two.
        mark = {"function_call": without(legacy, "name", "arguments")}
        blocks.append(ToolCall(legacy["name"], legacy["name"], legacy["arguments"], mark))
    return blocks


def _call(value: Mapping[str, Json]) -> ToolCall | None:
    kind, text = ("custom", "input") if isinstance(value.get("custom"), dict) else ("function", "arguments")
    inner = value.get(kind)
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str) or text not in inner:
        return None
    if "id" not in value or not isinstance(value["id"], str | None):
        return None
    extra = {"type": None, **value, kind: without(inner, "name")}  # "type": None says that there was none.
    arguments = extra[kind].pop(text) if isinstance(inner[text], str) else arguments_text(inner[text])
    if not extra[kind] and kind == "function":
        del extra[kind]
    if value["id"] is not None:
        del extra["id"]
    return with_raw(ToolCall(value["id"] or "", inner["name"], arguments, extra), value)


def arguments_text(value: Json) -> str:
    """Arguments as the text they should have been: some providers send the object itself, or null."""
    return value if isinstance(value, str) else "" if value is None else dumps(value).decode()


def call_json(call: ToolCall) -> Json:
    """A tool call of a message."""
    if call.raw is not None:
        return call.raw
    custom = call.extra.get("type") == "custom" or "custom" in call.extra
    kind, text = ("custom", "input") if custom else ("function", "arguments")
    inner = dict(call.extra.get(kind) or {})
    if text not in inner or arguments_text(inner[text]) != call.arguments:
        inner[text] = call.arguments
    body = {"id": call.id, "type": kind, **call.extra, kind: {**inner, "name": call.name}}
    if call.id:
        body["id"] = call.id
    if body["type"] is None:
        del body["type"]
    return body


def tool(value: Mapping[str, Json]) -> Tool:
    """A tool the caller offers; one that the provider runs itself has its type for a name."""
    for kind in ("function", "custom"):
        inner = value.get(kind)
        if isinstance(inner, dict) and isinstance(inner.get("name"), str) and inner["name"]:
            rest = without(inner, "name")
            description = rest.pop("description") if isinstance(rest.get("description"), str) else None
            has_schema = isinstance(rest.get("parameters"), dict) and rest["parameters"]
            parameters = rest.pop("parameters") if has_schema else {}
            return with_raw(Tool(inner["name"], description, parameters, {**value, kind: rest}), value)
    name = "" if "function" in value or "custom" in value else value.get("type")
    return with_raw(Tool(name if isinstance(name, str) else "", extra=value), value)


def tool_json(tool: Tool) -> Json:
    """A tool of a request."""
    if tool.raw is not None:
        return tool.raw
    kind = next((kind for kind in ("function", "custom") if kind in tool.extra), None)
    if not tool.name or (kind is None and tool.extra):
        return dict(tool.extra)  # One that the provider runs, or of an unknown shape: the JSON as it came.
    kind = kind or "function"
    inner = {**tool.extra.get(kind, {}), "name": tool.name}
    if tool.description is not None:
        inner["description"] = tool.description
    if tool.parameters:
        inner["parameters"] = dict(tool.parameters)
    return {"type": kind, **tool.extra, kind: inner} if not tool.extra else {**tool.extra, kind: inner}
