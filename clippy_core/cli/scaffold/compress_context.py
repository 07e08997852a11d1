"""A plugin that makes conversations fit."""

from __future__ import annotations

from attrs import define, field
from attrs.validators import ge, optional
from clippy_hookspecs import Request, evolve, hookimpl


@define(eq=False)
class Plugin:
    """Keeps the newest turns of a conversation."""

    turns: int | None = field(
        default=None, validator=optional(ge(1)), metadata={"doc": "questions to keep, with their answers; None: all"}
    )

    @hookimpl
    def compress_context(self, request: Request) -> Request | None:
        """Leave the oldest turns out.  The cut is before a question, so that no tool's result loses its call."""
        messages = request.messages
        questions = [
            place for place, message in enumerate(messages) if message.role == "user" and not message.tool_results
        ]
        if self.turns is None or len(questions) <= self.turns:
            return None
        start = questions[-self.turns]
        instructions = tuple(message for message in messages[:start] if message.role in ("system", "developer"))
        return evolve(request, messages=(*instructions, *messages[start:]))
