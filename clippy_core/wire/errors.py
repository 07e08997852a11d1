"""Which bodies say that a call failed although the status says it did not."""

from __future__ import annotations

from collections.abc import Mapping

from clippy_hookspecs import Json

from ..jsonio import loads


def error_in(body: Mapping[str, Json]) -> bool:
    """Whether *body* is an error object.

    ``error`` as an object or a text (OpenAI, Anthropic, Gemini, Ollama; null in good Responses answers), ``type`` or
    ``object`` with the value error (Anthropic, vLLM), ``errors`` of a failed call (Cloudflare), or an error inside a
    choice (OpenRouter).
    """
    if body.get("error") or body.get("object") == "error" or body.get("type") == "error":
        return True
    if body.get("errors") and body.get("success") is False:
        return True
    choices = body.get("choices")
    return isinstance(choices, list) and any(isinstance(choice, dict) and choice.get("error") for choice in choices)


def ends_amid(body: bytes) -> bool:
    """Whether *body* is a JSON object that breaks off: what is left when a server or a proxy loses the rest.

    Whole objects are told by their braces, at the cost of a count; only where these do not pair is the body read.  (So
    one that breaks off behind a brace is missed if its texts have as many closing ones too many.)
    """
    paired = body.rstrip()[-1:] == b"}" and body.count(b"{") == body.count(b"}")
    if paired or body.lstrip()[:1] != b"{":
        return False
    try:
        loads(body)
    except ValueError:
        return True
    return False
