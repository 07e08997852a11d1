"""Which bodies say that a call failed although the status says it did not."""

from __future__ import annotations

from collections.abc import Mapping

from clippy_hookspecs import Json

from ..jsonio import dumps, loads

_STATUSES = (
    ("rate_limit", 429), ("quota", 429), ("overloaded", 529), ("timeout", 504), ("context_length", 400),
    ("invalid", 400), ("too_large", 413), ("authentication", 401), ("permission", 403), ("not_found", 404),
)  # fmt: skip
"""What the codes and types of errors have in their names, at OpenAI and at Anthropic."""
_ANSWERS = ("choices", "output", "content", "data", "results")
"""Where the wire APIs put what they were asked for: no failure brings any of it."""
_NAMED = ("code", "status", "status_code", "statusCode")
"""Where servers write the HTTP status of an error: OpenRouter and Gemini, and what frameworks add of themselves."""


def error_in(body: Mapping[str, Json]) -> bool:
    """Whether *body* is an error object.

    ``error`` as an object or a text (OpenAI, Anthropic, Gemini, Ollama; null in good Responses answers), ``type`` or
    ``object`` with the value error (Anthropic, vLLM), ``errors`` of a failed call (Cloudflare), a ``base_resp`` whose
    status is not 0 (MiniMax), ``error_message`` beside no answer (gateways), or an error inside a choice (OpenRouter).
    """
    if body.get("error") or body.get("object") == "error" or body.get("type") == "error":
        return True
    base = body.get("base_resp")
    if (isinstance(base, Mapping) and base.get("status_code")) or (
        body.get("error_message") and not any(body.get(name) for name in _ANSWERS)
    ):
        return True
    if body.get("errors") and body.get("success") is False:
        return True
    choices = body.get("choices")
    return isinstance(choices, list) and any(isinstance(choice, dict) and choice.get("error") for choice in choices)


def told_in(body: Json) -> tuple[str | None, str | None]:
    """Code and message of an error body or event, wherever its server has put them; None for what it does not say.

    Beside the shapes of :func:`error_in`: inside ``response`` (Responses' ``response.failed``), a list around it
    (Gemini), ``detail`` (FastAPI).
    """
    body = body[0] if isinstance(body, list) and body else body
    if not isinstance(body, Mapping):
        return None, None
    inside = body.get("response")
    told = _error_of(inside if isinstance(inside, Mapping) else body)
    if isinstance(told, str):
        told = {"code": body.get("code"), "message": told}
    codes = [told.get(name) for name in ("code", "type", "status", "code")]
    code = next((one for one in codes if isinstance(one, str) and one), codes[0])
    message = told.get("message") or told.get("detail")
    return str(code) if code else None, message if isinstance(message, str) or not message else dumps(message).decode()


def named_status(body: Json) -> int | None:
    """The HTTP status that an error body says its error has, None for one that names none."""
    body = body[0] if isinstance(body, list) and body else body
    if not isinstance(body, Mapping):
        return None
    told = _error_of(body)
    places = (told, body) if isinstance(told, Mapping) else (body,)
    named = (str(place.get(name)) for place in places for name in _NAMED)
    return next((int(one) for one in named if _is_error_status(one)), None)


def _is_error_status(text: str) -> bool:
    return len(text) == 3 and text.isdecimal() and text.isascii() and "400" <= text < "600"


def status_of(code: str | None) -> int:
    """The status that an error of this code would have had; 500 for one that nothing is known of."""
    if code is not None and _is_error_status(code):
        return int(code)
    return next((status for word, status in _STATUSES if word in (code or "").lower()), 500)


def _error_of(body: Mapping[str, Json]) -> Mapping[str, Json] | str:
    several, choices = body.get("errors"), body.get("choices")
    found = [body.get("error"), *(several if isinstance(several, list) else [])]
    found += [one.get("error") for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []
    return next((one for one in found if one and isinstance(one, Mapping | str)), body)


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
