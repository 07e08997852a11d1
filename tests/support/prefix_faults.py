"""Ten faults that break the prefix of every prompt, each a small plugin, and some plugins that break nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from attrs import define, evolve, field
from clippy_hookspecs import Message, Request, Text, hookimpl

Numbers = Any


def _numbers() -> Numbers:
    return count(1)


def _with_text(message: Message, change: Callable[[str], str]) -> Message:
    blocks = tuple(
        evolve(block, text=change(block.text)) if isinstance(block, Text) else block for block in message.blocks
    )
    return evolve(message, blocks=blocks)


def _replaced(request: Request, at: int, message: Message) -> Request:
    return evolve(request, messages=(*request.messages[:at], message, *request.messages[at + 1 :]))


def _first(request: Request, *roles: str) -> int:
    return next(at for at, message in enumerate(request.messages) if message.role in roles)


@define(eq=False)
class TimeInSystem:
    """Tells the model what time it is, in front of everything."""

    numbers: Numbers = field(factory=_numbers)

    @hookimpl
    def pre_request(self, request: Request) -> Request:
        at = _first(request, "system", "developer")
        told = f"It is 2026-11-28 10:{next(self.numbers):02d}. "
        return _replaced(request, at, _with_text(request.messages[at], lambda text: told + text))


@define(eq=False)
class ShuffledTools:
    """Hands on the tools as a set would."""

    numbers: Numbers = field(factory=_numbers)

    @hookimpl
    def pre_request(self, request: Request) -> Request:
        by = next(self.numbers) % len(request.tools)
        return evolve(request, tools=request.tools[by:] + request.tools[:by])


@define(eq=False)
class DroppedTurn:
    """Keeps the newest questions and what came after them."""

    keep: int = 2

    @hookimpl
    def compress_context(self, request: Request) -> Request | None:
        questions = [at for at, one in enumerate(request.messages) if one.role == "user" and not one.tool_results]
        if len(questions) <= self.keep:
            return None
        head, tail = request.messages[: questions[0]], request.messages[questions[-self.keep] :]
        return evolve(request, messages=(*head, *tail))


@define(eq=False)
class Whitespace:
    """Tidies the white space of what was said before, anew each time."""

    numbers: Numbers = field(factory=_numbers)

    @hookimpl
    def pre_request(self, request: Request) -> Request:
        at, gap = _first(request, "user"), " " * (1 + next(self.numbers) % 3)
        return _replaced(request, at, _with_text(request.messages[at], lambda text: text.replace(" ", gap)))


@define(eq=False)
class ToolDescription:
    """Says in a tool's description how often it was used."""

    numbers: Numbers = field(factory=_numbers)

    @hookimpl
    def pre_attempt(self, request: Request) -> Request:
        tool = request.tools[1]
        tool = evolve(tool, description=f"{tool.description} Used {next(self.numbers)} times.")
        return evolve(request, tools=(request.tools[0], tool, *request.tools[2:]))


@define(eq=False)
class RequestId:
    """Puts an id of the request before the first words of the user."""

    numbers: Numbers = field(factory=_numbers)

    @hookimpl
    def pre_request(self, request: Request) -> Request:
        name = f"req-{next(self.numbers):04x}f00d"
        at = _first(request, "user")
        message = request.messages[at]
        return _replaced(request, at, evolve(message, blocks=(Text(name), *message.blocks)))


@define(eq=False)
class Summary:
    """Compresses the conversation anew each turn: all that is old becomes a sentence."""

    @hookimpl
    def compress_context(self, request: Request) -> Request | None:
        at = _first(request, "user")
        old, new = request.messages[at:-2], request.messages[-2:]
        if not old or any(message.tool_results for message in new):
            return None
        summary = Message("user", (Text(f"Before, {len(old)} messages were exchanged."),))
        return evolve(request, messages=(*request.messages[:at], summary, *new))


@define(eq=False)
class Redaction:
    """Redacts names with a new pseudonym each time."""

    numbers: Numbers = field(factory=_numbers)

    @hookimpl
    def pre_request(self, request: Request) -> Request:
        name = f"PERSON_{next(self.numbers)}"
        return evolve(
            request, messages=tuple(_with_text(one, lambda text: text.replace("Ada", name)) for one in request.messages)
        )


@define(eq=False)
class Parameters:
    """Changes a parameter that stands in the prompt before the messages."""

    numbers: Numbers = field(factory=_numbers)

    @hookimpl
    def pre_attempt(self, request: Request) -> Request:
        turn = next(self.numbers)
        schema = {"type": "object", "title": f"Answer {turn}"}
        changed: dict[str, Any] = {
            "openai.chat": {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}},
            "openai.responses": {"text": {"format": {"type": "json_schema", "name": "a", "schema": schema}}},
            "anthropic.messages": {"thinking": {"type": "enabled", "budget_tokens": 1024 + turn}},
        }[request.api]
        return evolve(request, params={**request.params, **changed})


@define(eq=False)
class Steady:
    """Changes every request in the same way: no fault, and not to be taken for one."""

    @hookimpl
    def compress_context(self, request: Request) -> Request:
        at = _first(request, "system", "developer")
        return _replaced(request, at, _with_text(request.messages[at], lambda text: text + " Be brief."))


@define(eq=False)
class SteadyHeader:
    """Adds a header to every attempt, which is no part of the prompt."""

    @hookimpl
    def pre_attempt(self, request: Request) -> Request:
        return evolve(request, headers=request.headers.replace("x-team", "blue"))


FAULTS: dict[str, tuple[Callable[[], object], str, str]] = {
    "time": (TimeInSystem, "system", "time"),
    "tools": (ShuffledTools, "tools", "order"),
    "dropped": (DroppedTurn, "turns", "removed"),
    "whitespace": (Whitespace, "turns", "whitespace"),
    "description": (ToolDescription, "tools", "number"),
    "request-id": (RequestId, "turns", "id"),
    "summary": (Summary, "turns", ""),
    "redaction": (Redaction, "", ""),
    "parameters": (Parameters, "parameters", ""),
}
"""Of each fault: its plugin, the part of the prompt that it breaks, and how ("": any)."""
