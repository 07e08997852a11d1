"""What was said, in the JSON of the conventions: only for those who switched it on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from clippy_hookspecs import (
    AuditRecord,
    Block,
    Image,
    Message,
    Reasoning,
    RefusalText,
    Request,
    Response,
    Text,
    ToolCall,
    ToolResult,
)

from .conventions import Attributes

_INSTRUCTIONS = ("system", "developer")


def content_attributes(record: AuditRecord) -> Attributes:
    """The messages, instructions, tools and answers of a record, as far as the host gave them."""
    found: Attributes = {}
    if record.request is not None and record.request.endpoint.chat:
        found |= _of_request(record.request)
    if record.response is not None:
        found |= _of_response(record.response)
    return found


def _of_request(request: Request) -> Attributes:
    said = [message for message in request.messages if message.role not in _INSTRUCTIONS]
    told = [part for message in request.messages if message.role in _INSTRUCTIONS for part in _parts(message.blocks)]
    found: Attributes = {"gen_ai.input.messages": _json([_message(message) for message in said])}
    if told:
        found["gen_ai.system_instructions"] = _json(told)
    if request.tools:
        found["gen_ai.tool.definitions"] = _json(
            [
                {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters}
                for tool in request.tools
            ]
        )
    return found


def _of_response(response: Response) -> Attributes:
    answers = [(response.message, response.finish_reason), *((one.message, one.finish_reason) for one in response.more)]
    found: Attributes = {
        "gen_ai.output.messages": _json(
            [{**_message(message), "finish_reason": reason or ""} for message, reason in answers]
        )
    }
    if response.id:
        found["gen_ai.response.id"] = response.id
    if response.model:
        found["gen_ai.response.model"] = response.model
    return found


def _message(message: Message) -> dict[str, Any]:
    return {"role": message.role, "parts": _parts(message.blocks)}


def _parts(blocks: Iterable[Block]) -> list[dict[str, Any]]:
    return [_part(block) for block in blocks]


def _part(block: Block) -> dict[str, Any]:
    match block:
        case Text(text) | RefusalText(text):
            return {"type": "text", "content": text}
        case Reasoning(text):
            return {"type": "reasoning", "content": text}
        case ToolCall(id, name, arguments):
            return {"type": "tool_call", "id": id, "name": name, "arguments": _read(arguments)}
        case ToolResult(call_id, content):
            return {"type": "tool_call_response", "id": call_id, "response": _parts(content)}
        case Image(url=str(url)) if not url.startswith("data:"):
            return {"type": "uri", "modality": "image", "uri": url.partition("?")[0]}
        case Image(media_type=kind):
            # The bytes themselves are for a store of pictures, not for a span.
            return {"type": "blob", "modality": "image", "mime_type": kind}
        case _:
            return {"type": block.kind}


def _read(arguments: str) -> Any:
    """A tool's arguments as JSON if the model wrote JSON, else its text."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _json(value: Any) -> str:
    """As plain ASCII: half a character is then an escape and no exporter's trouble."""
    return json.dumps(value, separators=(",", ":"), default=str)
