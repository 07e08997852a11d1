"""The parameters of a request in another wire API's words, and what has none there.

What changes how an answer reads or ends must cross or be refused: a program that asks for JSON must not get prose.
What only tunes a model (``seed``, penalties, effort) stays behind.  Names and ranges are those of the APIs' references,
as the official SDKs' types have them (openai 3.54, anthropic 2.12).
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from clippy_hookspecs import Json, Message, Opaque, Request, Tool

from .translate_tools import choosing, uncallable
from .translate_turns import translate_turns

_LIMIT = {
    "openai.chat": "max_completion_tokens",
    "openai.responses": "max_output_tokens",
    "anthropic.messages": "max_tokens",
}
_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_NEW_LIMIT = ("openai.com", "openai.azure.com", "services.ai.azure.com", "openrouter.ai")
"""Who speaks OpenAI's chat and knows ``max_completion_tokens``, which OpenAI's reasoning models demand.

Others refuse it or do not obey it (editor-code-assistant/eca 231, yazinsai/OpenOats 319) and know ``max_tokens``.
"""

ANTHROPIC_MAX_TOKENS = 4096
"""What a request gets that names no limit, where the API requires one."""

_LEAST_LIMIT = 16
"""Responses refuses less; programs ask for one token to see whether a model is there (earendil-works/pi 6265)."""

_MOST_STOPS = 4
_HOTTEST = 1.0
"""Anthropic's temperatures go from 0 to 1, OpenAI's to 2."""


def translate_params(request: Request, api: str, host: str, tools: tuple[Tool, ...]) -> dict[str, Json]:
    """The parameters of *request* in the words of *api* as *host* speaks it; its tools there will be *tools*."""
    params = request.params
    out = _sampling(params, api)
    limit = next((params[name] for name in _LIMITS if params.get(name) is not None), None)
    if limit is None and api == "anthropic.messages":
        limit = ANTHROPIC_MAX_TOKENS
    if api == "openai.responses" and type(limit) is int and 0 < limit < _LEAST_LIMIT:
        limit = _LEAST_LIMIT
    if limit is not None:
        new = any(f".{host}".endswith(f".{known}") for known in _NEW_LIMIT)
        out["max_tokens" if api == "openai.chat" and not new else _LIMIT[api]] = limit
    if tools:
        out |= choosing(params, api)
    if request.stream and api == "openai.chat":
        out["stream_options"] = {"include_usage": True}  # the caller's API tells usage unasked
    stop = _stop(params)
    if stop and api == "openai.chat":
        out["stop"] = stop
    elif stop and api == "anthropic.messages":
        out["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    form = form_of(request)
    if form is not None and (said := form.said(api)) is not None:
        out |= said
    return out


def _sampling(params: Mapping[str, Json], api: str) -> dict[str, Json]:
    out = {name: params[name] for name in ("temperature", "top_p") if params.get(name) is not None}
    if api == "anthropic.messages" and "temperature" in out:
        out.pop("top_p", None)  # newer models take one of the two (BerriAI/litellm 15097)
        if isinstance(out["temperature"], (int, float)):
            out["temperature"] = min(out["temperature"], _HOTTEST)
    return out


def _stop(params: Mapping[str, Json]) -> Json:
    return params.get("stop", params.get("stop_sequences"))


# --- the form of the answer -----------------------------------------------------------------------------------------


@frozen
class Form:
    """The form that an answer must have: ``json_schema`` with its fields, ``json_object``, or another's own word."""

    kind: str
    fields: Mapping[str, Json]

    def said(self, api: str) -> dict[str, Json] | None:
        """The parameter that asks for it in *api*, None if there is none."""
        fields = self.fields
        if self.kind == "json_object" and api != "anthropic.messages":
            form: Json = {"type": "json_object"}
        elif self.kind != "json_schema" or not isinstance(fields.get("schema"), Mapping):
            return None
        elif api == "anthropic.messages":
            return {"output_config": {"format": {"type": "json_schema", "schema": fields["schema"]}}}
        elif api == "openai.chat":
            form = {"type": "json_schema", "json_schema": fields}
        else:
            form = {"type": "json_schema", **fields}
        return {"response_format": form} if api == "openai.chat" else {"text": {"format": form}}


def form_of(request: Request) -> Form | None:
    """What *request* asks of the form of its answer; None for words."""
    params = request.params
    if request.api == "openai.chat":
        said = params.get("response_format")
    elif request.api == "openai.responses":
        said = _field(params.get("text"), "format")
    else:
        said = _field(params.get("output_config"), "format") or params.get("output_format")
    if not isinstance(said, Mapping) or said.get("type") in (None, "text"):
        return None
    kind = str(said["type"])
    if request.api == "anthropic.messages":  # it has no names, and always keeps to the schema
        return Form(kind, {"name": "answer", "schema": said.get("schema"), "strict": True})
    fields = said.get("json_schema") if request.api == "openai.chat" else said
    fields = fields if isinstance(fields, Mapping) else {}
    return Form(kind, {name: value for name, value in fields.items() if name != "type"})


def _field(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, Mapping) else None


# --- what cannot cross ----------------------------------------------------------------------------------------------

_READ = frozenset(
    {"", "message", "text", "output_text", "function_call", "custom_tool_call", "tool_use", "tool_result"}
)
"""The kinds of blocks that are never opaque unless they cannot be read."""


def untranslatable(request: Request, api: str) -> str | None:
    """What of *request* cannot be said in *api* and cannot be left out, in words; None if there is nothing."""
    params = request.params
    odd = next((name for name in ("messages", "input", "system", "tools") if params.get(name)), None)
    if any(not tool.name and (not tool.extra or "function" in tool.extra) for tool in request.tools):
        odd = "tools"
    if odd is not None or any(map(_is_unread, request.messages)):
        return f"its {odd or 'messages'} cannot be read, so they cannot be said otherwise"
    form = form_of(request)
    if form is not None and form.said(api) is None:
        return f"{api} has no way to ask for an answer of the form {form.kind}"
    if isinstance(params.get("n"), int) and params["n"] > 1:
        return f"{api} gives one answer, not {params['n']}"
    speaks = params.get("modalities")
    if params.get("audio") or (isinstance(speaks, list) and "audio" in speaks):
        return f"{api} does not speak"
    if _wants_logprobs(params):
        return f"{api} does not say there how likely its words were"
    why = _unstoppable(_stop(params), api) or uncallable(request, api)
    if why is not None:
        return why
    if params.get("functions"):
        return f"{api} has no functions of the former kind"
    if request.messages and request.messages[-1].role == "assistant" and request.messages[-1].text:
        return f"{api} does not go on from the beginning of an answer as {request.api} does"
    turns = translate_turns(request.messages, api)
    if all(turn.role == "system" for turn in turns) and (api == "anthropic.messages" or not turns):
        return f"nothing in it is said to the model that {api} would answer"
    return next((f"{api} has no {kind}" for message in request.messages for kind in _unsayable(message)), None)


def _unstoppable(stop: Json, api: str) -> str | None:
    """Why *api* cannot stop where it is to, in words."""
    words = [stop] if isinstance(stop, str) else stop
    if not words or not isinstance(words, list):
        return None
    if api == "openai.responses":
        return f"{api} has no stop sequences"
    if api == "openai.chat" and len(words) > _MOST_STOPS:
        return f"{api} stops at {_MOST_STOPS} sequences at most"
    if api == "anthropic.messages" and not all(isinstance(word, str) and word.strip() for word in words):
        return f"{api} does not stop at blanks"
    return None


def _wants_logprobs(params: Mapping[str, Json]) -> bool:
    include = params.get("include")
    named = isinstance(include, list) and "message.output_text.logprobs" in include
    return params.get("logprobs") is True or bool(params.get("top_logprobs")) or named


def _is_unread(message: Message) -> bool:
    """Whether *message* has words or calls of a shape that its API does not promise."""
    if any(message.extra.get(name) for name in ("content", "tool_calls", "function_call")):
        return True
    return any(isinstance(block, Opaque) and block.kind in _READ for block in message.blocks)


def _unsayable(message: Message) -> list[str]:
    """The blocks that a person or a tool put into the conversation and that we cannot say otherwise."""
    if message.role == "assistant":  # what the model's own provider did for it
        return []
    parts = [part for result in message.tool_results for part in result.content]
    parts += message.blocks
    return [part.kind or "unknown part" for part in parts if isinstance(part, Opaque)]
