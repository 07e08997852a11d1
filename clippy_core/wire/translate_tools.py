"""The tools of a request in another wire API's words: which of them cross, and which may or must be called."""

from __future__ import annotations

from collections.abc import Mapping

from clippy_hookspecs import Json, Request, Tool

_RUN_BY_CALLERS = (
    "bash_", "text_editor_", "memory_", "computer", "local_shell", "shell", "apply_patch", "namespace",
)  # fmt: skip
"""How the types of tools begin that a provider defines and the caller runs (SDKs' types, openai 3.54, anthropic 2.12).

A provider's other tools it runs itself.  A ``namespace`` holds functions of the caller's.
"""


def crossing(request: Request, api: str) -> tuple[Tool, ...]:
    """The tools of *request* in the words of *api*: the caller's own functions, and only those he allows."""
    may = _allowed(request.params.get("tool_choice"))
    own = [tool for tool in request.tools if _is_function(tool, request.api) and (may is None or tool.name in may)]
    return tuple([_tool(tool, request.api, api) for tool in own])


def _tool(tool: Tool, spoken: str, api: str) -> Tool:
    inner = tool.extra.get("function") if spoken == "openai.chat" else tool.extra
    strict = isinstance(inner, Mapping) and inner.get("strict") is True
    # Responses holds the model to the schema unless told otherwise, the others only if told so.
    said: dict[str, Json] = {"strict": strict} if strict or api == "openai.responses" else {}
    extra: dict[str, Json] = {"type": "function", "function": said} if said and api == "openai.chat" else said
    return Tool(tool.name, tool.description, tool.parameters or {"type": "object", "properties": {}}, extra)


def _is_function(tool: Tool, api: str) -> bool:
    """Whether the caller runs a tool himself and says its parameters as a schema; *api* is where it comes from.

    Others are the provider's own, whose names mean nothing elsewhere.
    """
    if api == "openai.chat":
        return bool(tool.name) and (not tool.extra or "function" in tool.extra)
    return bool(tool.name) and tool.extra.get("type") in (None, "custom" if api == "anthropic.messages" else None)


def _is_freeform(tool: Tool, api: str) -> bool:
    """Whether the model calls a tool with any text, as only OpenAI has it."""
    if api == "openai.chat":
        return "custom" in tool.extra
    return api == "openai.responses" and tool.extra.get("type") == "custom"


# --- which are called -----------------------------------------------------------------------------------------------


def choosing(params: Mapping[str, Json], api: str) -> dict[str, Json]:
    """Which tools must be called, and whether several at once may be."""
    given = params.get("tool_choice")
    alone = params.get("parallel_tool_calls") is False or (
        isinstance(given, Mapping) and given.get("disable_parallel_tool_use") is True
    )
    choice = _tool_choice(given, api)
    if api != "anthropic.messages":
        return {
            **({} if choice is None else {"tool_choice": choice}),
            **({"parallel_tool_calls": False} if alone else {}),
        }
    if alone and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {} if choice is None else {"tool_choice": choice}


def _tool_choice(choice: Json, api: str) -> Json:
    """``tool_choice`` of any API in the words of *api*; None for one that has no counterpart."""
    kind = _kind(choice)
    if kind in ("function", "tool") and isinstance(choice, Mapping):
        name = _name(choice)
        named: dict[str, Json] = {
            "openai.chat": {"type": "function", "function": {"name": name}},
            "openai.responses": {"type": "function", "name": name},
            "anthropic.messages": {"type": "tool", "name": name},
        }
        return named[api]
    plain = {"any": "required"}.get(str(kind), kind)
    if plain not in ("none", "auto", "required"):
        return None
    return {"type": {"required": "any"}.get(plain, plain)} if api == "anthropic.messages" else plain


def _kind(choice: Json) -> Json:
    """What sort of choice it is; among allowed tools, whether one must be called."""
    among = _among(choice)
    if among is not None:
        return among.get("mode")
    return choice.get("type") if isinstance(choice, Mapping) else choice


def _name(choice: Mapping[str, Json]) -> Json:
    function = choice.get("function")
    return function.get("name") if isinstance(function, Mapping) else choice.get("name")


def _among(choice: Json) -> Mapping[str, Json] | None:
    """The part of a choice among some of the tools that says which, None for any other choice."""
    if not isinstance(choice, Mapping) or choice.get("type") != "allowed_tools":
        return None
    inside = choice.get("allowed_tools")
    return inside if isinstance(inside, Mapping) else choice


def _allowed(choice: Json) -> list[Json] | None:
    """The names of the functions that may be called, None for all."""
    among = _among(choice)
    if among is None:
        return None
    tools = among.get("tools")
    return [_name(one) for one in tools if isinstance(one, Mapping)] if isinstance(tools, list) else []


# --- what cannot cross ----------------------------------------------------------------------------------------------


def uncallable(request: Request, api: str) -> str | None:
    """Why the model could not call in *api* what it is to call, or may, in words; None if it could."""
    for tool in request.tools:
        if _is_freeform(tool, request.api):
            return f"{api} has no tools that are called with any text, as {tool.name} is"
        sort = tool.extra.get("type")
        if isinstance(sort, str) and sort.startswith(_RUN_BY_CALLERS):
            return f"{api} has no {sort} tool, which the caller runs"
    choice = request.params.get("tool_choice")
    kind, names = _kind(choice), [tool.name for tool in crossing(request, api)]
    if kind in (None, "auto", "none") or (kind in ("required", "any") and names):
        return None
    which = _name(choice) if isinstance(choice, Mapping) and kind in ("function", "tool") else kind
    return None if which in names else f"{which} must be called, and no function of the caller's is that"
