"""Which calls a key may make, where it may not make all."""

from __future__ import annotations

from collections.abc import Sequence

MODELS = "models"
_OF_MODELS = (
    *(
        f"POST /v1/{name}"
        for name in (
            "chat/completions", "completions", "responses", "messages", "messages/count_tokens", "embeddings",
            "moderations", "rerank",
        )
    ),
    "GET /v1/models",
    "GET /v1/models/*",
)  # fmt: skip
"""What asks a model, or which there are: nothing that is kept at the provider, and nothing that is read or deleted."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "*"})


def fault_of_call(call: str) -> str | None:
    """What is wrong with *call* as one that a key may make, None if nothing is."""
    method, _, path = call.partition(" ")
    if call == MODELS or (method in _METHODS and path.startswith("/v1/") and not set(path) & set("[]?% ")):
        return None
    return f'{call!r} is no call: write "models", or method and path with stars, such as "POST /v1/audio/*"'


def allowed(calls: Sequence[str], method: str, path: str) -> bool:
    """Whether one of *calls* is this one.

    *path*, decoded once, must be plain: whoever reads ``/v1/audio/../files`` otherwise than we do reads another call.
    """
    steps = path.split("/")
    if "." in steps or ".." in steps or "" in steps[1:-1] or any(mark in path for mark in "%\\;"):
        return False
    below = path.rstrip("/")
    asked = f"{method} {below if below.startswith('/v1/') else '/v1' + below}"
    known = [one for call in calls for one in (_OF_MODELS if call == MODELS else (call,))]
    return any(fits(asked, one.split("*")) for one in known)


def fits(text: str, parts: Sequence[str]) -> bool:
    """Whether *text* is *parts* with anything between them: a pattern that was cut at its stars."""
    first, *rest = parts
    if not rest:
        return text == first
    *middle, last = rest
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
