"""What may be done with a stream that broke after a part of it was delivered.

Sending a request again that was partly answered says things twice, so the rules are strict: a failure that passes by
itself, and for going on an answer that is nothing but text.  Pure functions of what is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from clippy_hookspecs import ErrorInfo, Json, Reasoning, Request, Response, Text

_CLAUDE = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
_LAST_TO_PREFILL = (4, 5)
"""Later Claudes refuse a conversation that ends with the assistant's turn (Anthropic's guide to Claude 4.6, "Prefill
removal")."""


def passes_by_itself(error: ErrorInfo) -> bool:
    """Whether a broken stream may come to its end when it is tried again.

    By the category and not by ``retryable``, which says of everything that was partly delivered that it is not: a
    retry would be one.  Nothing about the key, the account, the request or the content is transient.
    """
    return error.category == "transient" and error.should_retry is not False


def can_continue(partial: Response | None, request: Request | None) -> bool:
    """Whether a model can go on from *partial* so that both parts are one answer.

    Not from inside a tool call, nor after reasoning that is bound to its answer by a signature, nor in the middle of
    JSON, whose halves only fit when nothing is repeated, nor when several answers came beside each other.
    """
    if partial is None or request is None or partial.more or partial.finish_reason is not None:
        return False
    blocks = partial.message.blocks
    plain = all(isinstance(block, Text) or (isinstance(block, Reasoning) and not block.signature) for block in blocks)
    return plain and bool(partial.text) and not (_wants_json(request.params) or _must_call(request.params))


def method_for(method: str, request: Request) -> str:
    """``prefill`` or ``prompt`` for the setting *method*; ``auto`` prefills where that is exact."""
    if method != "auto":
        return method
    thinks = _kind(request.params.get("thinking")) not in ("", "disabled")
    exact = request.api == "anthropic.messages" and not thinks and _takes_prefill(request.model)
    return "prefill" if exact else "prompt"


def _takes_prefill(model: str) -> bool:
    found = _CLAUDE.search(model)
    return found is not None and (int(found[1]), int(found[2] or 0)) <= _LAST_TO_PREFILL


def _wants_json(params: Mapping[str, Json]) -> bool:
    """OpenAI's ``response_format`` and ``text.format``, Anthropic's ``output_format`` and ``output_config.format``."""
    formats = [params.get("response_format"), params.get("output_format")]
    formats += [_within(params.get(name), "format") for name in ("text", "output_config")]
    return any(form is not None and _kind(form) != "text" for form in formats)


def _must_call(params: Mapping[str, Json]) -> bool:
    choice = params.get("tool_choice")
    said = choice if isinstance(choice, str) else _kind(choice)
    return said not in ("", "auto", "none")


def _within(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, Mapping) else None


def _kind(value: Json) -> str:
    """The ``type`` of an object, "" for anything else."""
    kind = _within(value, "type")
    return kind if isinstance(kind, str) else ""
