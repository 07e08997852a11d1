"""What was said, as JSON values: only the detailed level writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clippy_hookspecs import (
    Block,
    Image,
    Json,
    Message,
    Opaque,
    Reasoning,
    Request,
    Response,
    ToolCall,
    ToolResult,
)

from .cleaner import Cleaner


def describe_request(request: Request | None, clean: Cleaner) -> dict[str, Json] | None:
    """What was asked, for a detailed record; None if the record has no content."""
    if request is None:
        return None
    return present(
        {
            "query": clean.text("?" + request.query)[1:] if request.query else None,
            "headers": clean.headers(request.headers),
            "messages": [_message(message, clean) for message in request.messages],
            "tools": [
                present({"name": clean.text(tool.name), "description": clean.optional(tool.description),
                          "parameters": clean.value(tool.parameters)})
                for tool in request.tools
            ],
            "params": clean.value(request.params),
        }
    )  # fmt: skip


def describe_response(response: Response | None, clean: Cleaner) -> dict[str, Json] | None:
    """What was answered, for a detailed record; None if the record has no content."""
    if response is None:
        return None
    return present(
        {
            "status": response.status,
            "headers": clean.headers(response.headers),
            "message": _message(response.message, clean),
            "more": [_message(choice.message, clean) for choice in response.more],
            "finish_reason": clean.optional(response.finish_reason),
            "id": clean.optional(response.id),
            "model": clean.optional(response.model),
        }
    )


def _message(message: Message, clean: Cleaner) -> dict[str, Json]:
    return {"role": clean.text(message.role), "blocks": _blocks(message.blocks, clean)}


def _blocks(blocks: Sequence[Block], clean: Cleaner) -> list[Json]:
    return [_block(block, clean) for block in blocks]


def _block(block: Block, clean: Cleaner) -> dict[str, Json]:
    kind: dict[str, Json] = {"type": type(block).__name__}
    if isinstance(block, ToolCall):
        return kind | {
            "id": clean.text(block.id),
            "name": clean.text(block.name),
            "arguments": clean.text(block.arguments),
        }
    if isinstance(block, ToolResult):
        return kind | {
            "call_id": clean.text(block.call_id),
            "content": _blocks(block.content, clean),
            "is_error": block.is_error,
        }
    if isinstance(block, Image):
        size = None if block.data is None else len(block.data)
        url = None if block.url is None or block.url.startswith("data:") else clean.url(block.url)
        return present(kind | {"url": url, "media_type": clean.optional(block.media_type), "data_characters": size})
    if isinstance(block, Opaque):
        return kind | {"kind": clean.text(block.kind), "data": clean.value(block.data)}
    if isinstance(block, Reasoning):
        size = None if block.signature is None else len(block.signature)
        return present(kind | {"text": clean.text(block.text), "signature_characters": size})
    return kind | {"text": clean.text(block.text)}


def present(fields: Mapping[str, Any]) -> dict[str, Json]:
    """*fields* without those that say nothing: None and what is empty.  False and 0 say something."""
    return {name: value for name, value in fields.items() if value or value == 0}
