"""What calls of our own client are given: what cannot be a request is said in words, what looks misspelt is told of."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, MutableSet
from typing import Any

from clippy_hookspecs import Message, Tool

from .jsonio import dumps

logger = logging.getLogger("clippy")

_NAMES = frozenset(
    {
        "audio", "background", "cache_control", "container", "context_management", "conversation", "diagnostics",
        "frequency_penalty", "function_call", "functions", "image", "include", "inference_geo", "input", "instructions",
        "logit_bias", "logprobs", "max_completion_tokens", "max_output_tokens", "max_tokens", "max_tool_calls",
        "metadata", "modalities", "models", "moderation", "n", "output_config", "parallel_tool_calls", "prediction",
        "presence_penalty", "previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_options",
        "prompt_cache_retention", "reasoning", "reasoning_effort", "response_format", "safety_identifier", "seed",
        "service_tier", "speed", "stop", "stop_sequences", "store", "stream", "stream_options", "system", "temperature",
        "text", "thinking", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user", "verbosity",
        "web_search_options",
    }
)  # fmt: skip
"""The parameters of the three wire APIs, as the official SDKs' types have them; and OpenRouter's ``models``."""
_OF_AN_SDK = {
    "extra_body": "every parameter goes into the body: give those in it by their names",
    "extra_headers": "headers are the route's: set routes.NAME.headers",
    "timeout": "set deadlines, or routes.NAME.deadlines",
}
"""What SDKs take beside the body, with what does the same here."""
_NEAR = 0.88
"""Of difflib: what differs from a known name in a letter or two.  ``top_a`` and ``min_tokens`` are other parameters."""
_MOST_TOLD = 16
_PLAIN = frozenset({str, int, float, bool, type(None)})
_MESSAGE = '{"role": "user", "content": "..."}'
_TOOL = '{"type": "function", "function": {"name": ...}}'


def check_names(model: Any, route: Any) -> None:
    """Raises TypeError for names that are no texts."""
    for name, given in (("model", model), ("route", route)):
        if given is not None and not isinstance(given, str):
            raise TypeError(f"{name} is a text, and not {_a(given)}")


def check_call(messages: Any, tools: Any, params: Mapping[str, Any], stream: bool) -> None:
    """Raises TypeError for what no request can be made of: what is wrong, where, and what to give instead."""
    if not isinstance(messages, str):
        _check_list("messages", messages, "a text, or a list of messages", _MESSAGE, Message)
    if tools:
        _check_list("tools", tools, "a list of tools", _TOOL, Tool)
    if params.get("stream", stream) != stream:
        other = "stream() reads a stream: for the whole answer call chat()"
        raise TypeError(other if stream else "chat() waits for the whole answer: for a stream call stream()")
    check_values(params)


def check_values(params: Mapping[str, Any]) -> None:
    """Raises TypeError for a parameter that JSON cannot say."""
    for name, value in params.items():
        if type(value) not in _PLAIN:
            try:
                dumps(value)
            except (TypeError, ValueError, RecursionError) as error:
                raise TypeError(f"{name} cannot be written as JSON: {error}") from error


def _check_list(name: str, given: Any, wanted: str, example: str, kind: type) -> None:
    if isinstance(given, Mapping):
        raise TypeError(f"{name} is {wanted} such as {example}, and not one alone: give [{name.removesuffix('s')}]")
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{name} is {wanted} such as {example}, and not {_a(given)}")
    for number, one in enumerate(given if isinstance(given, (list, tuple)) else ()):  # a generator says it once
        if not isinstance(one, (Mapping, kind)):
            raise TypeError(f"{name}[{number}] is one such as {example}, or a {kind.__name__}, and not {_a(one)}")
        if isinstance(one, Mapping):
            check_values({f"{name}[{number}][{key!r}]": value for key, value in one.items()})


def _a(given: Any) -> str:
    name = type(given).__name__
    return "None" if given is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def tell_of(params: Mapping[str, Any], told: MutableSet[str]) -> None:
    """Tell in the log, once each, of parameters that look as if they were meant otherwise.

    They go into the body all the same: a provider may have one of that name.
    """
    if _NAMES.issuperset(params):
        return
    for name in params.keys() - _NAMES - told:
        if len(told) >= _MOST_TOLD:
            return
        instead = _OF_AN_SDK.get(name) or _near(name)
        if instead:
            told.add(name)
            logger.warning("chat(%s=...) is sent to the provider as a parameter of that name; %s", name, instead)


def _near(name: str) -> str:
    import difflib  # only a name that we do not know needs it

    near = difflib.get_close_matches(name, sorted(_NAMES | {"messages", "model"}), 1, _NEAR)
    return f"did you mean {near[0]}?" if near else ""
