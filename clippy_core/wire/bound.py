"""What in a request is of use only to those who made it, and must not travel to another account or provider.

Two kinds.  Some can be left out and the conversation still says the same: signed or encrypted reasoning, ids of items.
Sent elsewhere they are refused, and with them the whole thread (features.md P17).  The rest *is* a part of the request
that stands only on the provider's side: a stored conversation, a file by its id.  Without it there is nothing to ask.

Sources: Amazon's guide to Claude ("Preserved thinking": a block is bound to the model and to the account), issues
openai/codex 8145 and Wei-Shaw/sub2api 3138 (``invalid_encrypted_content``, also for items without encrypted content),
vybestack/llxprt-code 2335 (other models), anomalyco/opencode 3077 (``thinking`` asks for its blocks back).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clippy_hookspecs import Block, Image, Json, Message, Opaque, Reasoning, Request, ToolCall, ToolResult, evolve

from .shapes import without

_IDS = "id"
_CHAT_REASONING = ("reasoning", "reasoning_content", "reasoning_details")
_STATE = ("previous_response_id", "conversation", "background")


# --- what can be left out -------------------------------------------------------------------------------------------


def unbound(request: Request, *, same_origin: bool) -> Request:
    """*request* for another account of its wire API, or another model; itself if nothing in it is bound.

    At the *same_origin* reasoning without a signature stays: there it is plain text that its provider wants back.
    """
    kept: list[Message] = []
    for message in request.messages:
        bare = _message(message, request.api, same_origin)
        if bare.blocks or not message.blocks:
            kept.append(bare)
    messages = tuple(kept)
    if len(messages) == len(request.messages) and all(map(_is, messages, request.messages)):
        return request
    thinking = request.params.get("thinking")
    enabled = isinstance(thinking, Mapping) and thinking.get("type") == "enabled"
    if enabled and _since_asked(messages) != _since_asked(request.messages):
        # Whoever asks for thinking amid a tool call must send what was thought before it.
        return evolve(request, messages=messages, params=without(request.params, "thinking"))
    return evolve(request, messages=messages)


def _is(one: object, other: object) -> bool:
    return one is other


def _message(message: Message, api: str, same_origin: bool) -> Message:
    blocks = tuple([_block(block, api) for block in message.blocks if not _is_bound(block, api, same_origin)])
    extra = message.extra
    if api == "openai.responses":
        extra = without(extra, _IDS) if _IDS in extra else extra
    elif api == "openai.chat" and not same_origin and any(name in extra for name in _CHAT_REASONING):
        extra = without(extra, *_CHAT_REASONING)
    if extra is message.extra and len(blocks) == len(message.blocks) and all(map(_is, blocks, message.blocks)):
        return message
    return evolve(message, blocks=blocks, extra=extra)


def _is_bound(block: Block, api: str, same_origin: bool) -> bool:
    if isinstance(block, Reasoning):
        return block.signature is not None or api == "openai.responses" or not same_origin
    return isinstance(block, Opaque) and block.kind in ("redacted_thinking", "reasoning")


def _block(block: Block, api: str) -> Block:
    """The ids of items link them to reasoning that is not there; Gemini's signatures stand in its calls."""
    name = {"openai.responses": _IDS, "openai.chat": "extra_content"}.get(api)
    if isinstance(block, ToolCall | ToolResult) and name is not None and name in block.extra:
        return evolve(block, extra=without(block.extra, name))
    return block


def _since_asked(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The turns of the model, and of its tools, since somebody last spoke to it."""
    start = max(
        (place for place, one in enumerate(messages, 1) if one.role == "user" and not one.tool_results), default=0
    )
    return messages[start:]


# --- what cannot ----------------------------------------------------------------------------------------------------


def kept_elsewhere(request: Request) -> str | None:
    """The part of *request* that only its provider's account has, in words; None if all of it is here."""
    params = request.params
    named = next((name for name in _STATE if params.get(name)), None)
    if named is not None:
        return f"it goes on from what the provider keeps ({named})"
    if isinstance(params.get("prompt"), Mapping):
        return "its prompt is one that the provider keeps"
    container = params.get("container")
    if isinstance(container, str) or (isinstance(container, Mapping) and container.get("id")):
        return "it goes on in a container of the provider's"
    if any(isinstance(message.extra.get("audio"), Mapping) for message in request.messages):
        return "it refers to audio that the provider keeps"
    return next((why for message in request.messages for block in message.blocks if (why := _kept(block))), None)


def _kept(block: Block) -> str | None:
    match block:
        case Image(url=None, data=None):
            return "an image in it is a file that the provider keeps"
        case ToolResult():
            return next((why for part in block.content if (why := _kept(part))), None)
        case Opaque(kind="item_reference"):
            return "it refers to an item that the provider keeps"
        case Opaque() if "compaction" in block.kind and "encrypted_content" in _names(block.data):
            return "a part of it is encrypted by the provider"
        case Opaque() if "file_id" in _names(block.data):
            return f"a {block.kind} in it is a file that the provider keeps"
    return None


def _names(value: Json) -> Iterator[str]:
    """The names of all fields in *value*, at whatever depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield from one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
