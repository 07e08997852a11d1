"""What may be done with a stream that broke after a part of it was delivered.

Sending a request again that was partly answered says things twice, so the rule is strict: only after a failure that
passes by itself.  Whether two parts make one answer the host knows, and refuses what does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from clippy_hookspecs import ErrorInfo, Json, Request

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


def _kind(value: Json) -> str:
    """The ``type`` of an object, "" for anything else."""
    kind = value.get("type") if isinstance(value, Mapping) else None
    return kind if isinstance(kind, str) else ""
