"""A plugin that looks at whole answers."""

from __future__ import annotations

from attrs import define, field
from clippy_hookspecs import Refusal, Response, hookimpl


@define(eq=False)
class Plugin:
    """Lets no empty answer through."""

    refuse_empty: bool = field(default=False, metadata={"doc": "refuse an answer without text and without tool calls"})

    @hookimpl
    def on_response(self, response: Response) -> None:
        """Refuse an empty answer; a stream then ends without its terminal event, and nothing is stored."""
        if self.refuse_empty and not response.text.strip() and not response.message.tool_calls:
            raise Refusal("the model answered nothing", status=502, code="empty_answer")
