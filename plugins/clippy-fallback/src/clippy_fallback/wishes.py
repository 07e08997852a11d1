"""What a request asks of the form of its answer, in the words of each wire API."""

from __future__ import annotations

from collections.abc import Mapping

from clippy_hookspecs import Json, Request


def bound_to_a_form(request: Request) -> str | None:
    """The form that a program will rely on (JSON, a tool call), which no fixed text has; None for plain words.

    Names are those of the APIs' references: ``response_format`` (Chat Completions), ``text.format`` (Responses),
    ``output_config.format`` and its former name ``output_format`` (Messages), ``tool_choice`` (all).
    """
    params = request.params
    wanted = (
        params.get("response_format"),
        _of(params.get("text"), "format"),
        _of(params.get("output_config"), "format"),
        params.get("output_format"),
    )
    if any(isinstance(form, Mapping) and form.get("type") not in (None, "text") for form in wanted):
        return "JSON"
    choice = params.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, Mapping) else choice
    return None if kind in (None, "auto", "none") else "a tool call"


def _of(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, Mapping) else None
