"""Keeps a conversation within a token budget: instructions, pinned and newest messages stay, the oldest turns go.

Tool calls go with their results and their reasoning (:mod:`.units`); the cut is deep and then stays where it is, so
that the provider's prompt cache keeps hitting (:mod:`.window`).  What stays are the same objects as before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Final, Literal

from attrs import Attribute, define, evolve, field
from attrs.validators import and_, deep_iterable, ge, gt, in_, le, min_len, optional
from clippy_hookspecs import (
    Block,
    ContextBudgetError,
    Image,
    Message,
    Opaque,
    Refusal,
    Request,
    RequestContext,
    StashKey,
    TokenCounter,
    Tool,
    ToolResult,
    hookimpl,
)

from .units import instructs, units_of
from .window import Window

PINNED: Final[StashKey[list[Callable[[Message], bool]]]] = StashKey("context-window.pinned")
"""Where other plugins say what must stay: ``ctx.stash.setdefault(PINNED, list).append(predicate)``."""

_OUTPUT_LIMITS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_COUNTED_PARAMS: Final = ("instructions", "response_format", "text", "output_config", "functions")
"""Parameters that become a part of the prompt."""

_ANSWER_FRAME: Final = 3
"""Every answer is primed with three tokens (OpenAI cookbook, *How to count tokens with tiktoken*)."""


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@define(eq=False)
class ContextWindow:
    """Keeps a conversation within a token budget."""

    max_tokens: int | None = field(
        default=None,
        validator=optional(gt(0)),
        metadata=_doc("context window of the model, input and answer; None: only the route's context_tokens counts"),
    )
    reserve: int | None = field(
        default=None,
        validator=optional(ge(0)),
        metadata=_doc("tokens of max_tokens left to the answer; None: what the request asks for, at most half"),
    )
    target: float = field(
        default=0.6,
        validator=and_(gt(0), le(1)),
        metadata=_doc("how much of the room for old messages a cut fills: 1 cuts little and often, 0.6 the reverse"),
    )
    pin_first: int = field(
        default=0, validator=ge(0), metadata=_doc("how many messages after the instructions are always kept")
    )
    pin_text: tuple[str, ...] = field(
        default=(),
        validator=deep_iterable(min_len(1)),
        metadata=_doc("messages that contain one of these texts are always kept"),
    )
    on_overflow: Literal["send", "refuse"] = field(
        default="send",
        validator=in_(("send", "refuse")),
        metadata=_doc("when what must stay is too large: send only that, or refuse with status 400"),
    )

    @reserve.validator
    def _check_reserve(self, _: Attribute[int | None], value: int | None) -> None:
        if value is not None and self.max_tokens is not None and value >= self.max_tokens:
            raise ValueError(
                f"reserve ({value}) must be less than max_tokens ({self.max_tokens}): nothing else would fit"
            )

    @hookimpl
    def compress_context(self, request: Request, budget: int | None, ctx: RequestContext) -> Request | None:
        """Drop the oldest turns that are too many; None without a limit or when everything fits."""
        limit = self._limit(request, budget)
        if limit is None or not request.messages or _surely_fits(request, limit):
            return None
        counter = ctx.services.get(TokenCounter)
        counts = [counter.count_message(message, request.model) for message in request.messages]
        extras = _extras(request, counter)
        if extras + sum(counts) <= limit:
            return None
        kept, needed = self._keep(request.messages, counts, extras, limit, ctx)
        if needed > limit and self.on_overflow == "refuse":
            message = (
                f"The instructions, pinned and newest messages need about {needed} tokens and {max(0, limit)} are "
                "allowed: shorten them, pin less, or raise max_tokens of context-window or context_tokens of the route."
            )
            raise Refusal(message, 400, "context_budget") from ContextBudgetError(message, needed, max(0, limit))
        return None if len(kept) == len(request.messages) else evolve(request, messages=kept)

    def _limit(self, request: Request, budget: int | None) -> int | None:
        """Input tokens that are allowed.  The host's *budget* is of input alone, so nothing is reserved from it."""
        if self.max_tokens is None:
            return budget
        reserve = min(_asked(request), self.max_tokens // 2) if self.reserve is None else self.reserve
        own = self.max_tokens - reserve
        return own if budget is None else min(own, budget)

    def _keep(
        self, messages: tuple[Message, ...], counts: list[int], extras: int, limit: int, ctx: RequestContext
    ) -> tuple[tuple[Message, ...], int]:
        """The messages that stay, and their tokens with everything else that is sent."""
        units = units_of(messages)
        pinned = self._pinned(messages, ctx)
        always = {place for place, message in enumerate(messages) if instructs(message)}
        if not units:
            return messages, extras + sum(counts)
        instructed = list(
            accumulate((count if place in always else 0 for place, count in enumerate(counts)), initial=0)
        )
        fixed = [extras + instructed[unit.places[-1]] for unit in units]
        fixed[-1] = extras + instructed[-1]
        window = Window(
            units,
            [sum(counts[place] for place in unit.places) for unit in units],
            fixed,
            frozenset(index for index, unit in enumerate(units) if not pinned.isdisjoint(unit.places)),
        )
        start = window.start(limit, self.target)
        stay = {*always, *(place for unit in window.kept(start) for place in units[unit].places)}
        kept = tuple(message for place, message in enumerate(messages) if place in stay)
        return kept, window.cost(start, len(units) - 1)

    def _pinned(self, messages: tuple[Message, ...], ctx: RequestContext) -> set[int]:
        asked = ctx.stash.get(PINNED) or []
        turns = [(place, message) for place, message in enumerate(messages) if not instructs(message)]
        return {
            place
            for number, (place, message) in enumerate(turns)
            if number < self.pin_first
            or any(text in message.text for text in self.pin_text)
            or any(predicate(message) for predicate in asked)
        }


def _asked(request: Request) -> int:
    """How many tokens the answer may have, 0 if the request does not say."""
    for name in _OUTPUT_LIMITS:
        value = request.params.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return 0


def _extras(request: Request, counter: TokenCounter) -> int:
    """Tokens of what is sent besides the messages."""
    tools = [_tool_json(tool) for tool in request.tools]
    params = [request.params[name] for name in _COUNTED_PARAMS if request.params.get(name)]
    texts = [value if isinstance(value, str) else json.dumps(value, default=str) for value in [*tools, *params]]
    return _ANSWER_FRAME + sum(counter.count(text, request.model) for text in texts)


def _tool_json(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters, **tool.extra}


def _surely_fits(request: Request, limit: int) -> bool:
    """Whether the body is so small that counting is idle: no byte of text is two tokens, but an image may be many."""
    if request.raw is None or 2 * len(request.raw) > limit:
        return False
    return not any(_has_media(message.blocks) for message in request.messages)


def _has_media(blocks: Sequence[Block]) -> bool:
    return any(
        isinstance(block, Image | Opaque) or (isinstance(block, ToolResult) and _has_media(block.content))
        for block in blocks
    )
