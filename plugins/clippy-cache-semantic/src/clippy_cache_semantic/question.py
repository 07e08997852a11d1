"""Which requests may be answered by what was asked in other words, and what of them must be the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from attrs import frozen
from clippy_hookspecs import Json, Message, Reasoning, RefusalText, Request, Text

_STRUCTURED = (
    "functions",
    "function_call",
    "tool_choice",
    "output_format",
    "output_config",
    "web_search_options",
    "audio",
)
"""Parameters by which an answer is more than words for a person."""
_WORDS = (Text, RefusalText, Reasoning)


@frozen
class Question:
    """The last message of a conversation, and the digest of all that came before it."""

    partition: str
    text: str


def question_of(request: Request, partition: str | None, max_chars: int) -> Question | None:
    """What is asked, None for a request that only an equal one may share an answer with.

    That is one with tools, a JSON mode, several answers or anything but text; whose last message is not the user's; or
    whose question is empty or longer than *max_chars*.  *partition* stands for everything but the messages.
    """
    if (
        partition is None
        or not request.endpoint.chat
        or request.tools
        or not request.messages
        or _structured(request.params)
    ):
        return None
    *before, last = request.messages
    if last.role != "user" or not all(isinstance(block, Text) for block in last.blocks):
        return None
    if not all(isinstance(block, _WORDS) for message in before for block in message.blocks):
        return None
    text = "\n".join(block.text for block in last.blocks if isinstance(block, Text))
    if not text.strip() or len(text) > max_chars:
        return None
    around = [
        partition,
        [_plain(message) for message in before],
        last.extra,
        [block.extra for block in last.blocks if isinstance(block, Text)],
    ]
    try:
        said = json.dumps(around, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return None  # nothing that came over the wire; what cannot be compared is not shared
    return Question(hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest(), text)


def _structured(params: Mapping[str, Json]) -> bool:
    if any(params.get(name) for name in _STRUCTURED) or params.get("n") not in (None, 1):
        return True
    shape, text, modalities = params.get("response_format"), params.get("text"), params.get("modalities")
    if isinstance(text, Mapping):
        shape = shape or text.get("format")
    plain = shape is None or (isinstance(shape, Mapping) and shape.get("type") == "text")
    return not plain or modalities not in (None, ["text"])


def _plain(message: Message) -> list[Json]:
    blocks = [[type(block).__name__, block.text, block.extra] for block in message.blocks if isinstance(block, _WORDS)]
    return [message.role, message.extra, blocks]
