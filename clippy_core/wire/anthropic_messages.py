"""Anthropic Messages: ``POST /v1/messages`` and what belongs to it.

The top-level ``system`` field is the first message, with role ``system``; a system message that stood in the list of
messages says so with ``extra["role"] = "messages"``, every other one goes to the field.  Shapes are those of the
official SDK's types (anthropic 2.12) and docs.claude.com.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from clippy_hookspecs import Endpoint, Json, Message, Request, Response, Text

from .anthropic_blocks import (
    decode_block,
    decode_message,
    decode_system,
    decode_tool,
    decode_usage,
    encode_block,
    encode_content,
    encode_message,
    encode_tool,
    encode_usage,
)
from .anthropic_stream import MessagesReader
from .anthropic_writer import MessagesWriter, message_opening, split_message
from .base import Glances, StreamReader, StreamWriter
from .shapes import nothing, plain_messages, streams, text_in
from .values import message_of

_CHAT = Endpoint("messages", chat=True, cacheable=True, retryable=True, streams=True, body="json")
_COUNT = Endpoint("messages.count_tokens", cacheable=True, retryable=True, body="json")
_MODELS = Endpoint("models", retryable=True)

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def _plain(body: Mapping[str, Json]) -> bool:
    return type(body.get("system")) is not list and plain_messages(body)


@frozen
class AnthropicMessages:
    """The wire module's functions as one object."""

    of_request: Glances
    of_response: Glances
    name = "anthropic.messages"
    plain = staticmethod(_plain)

    def endpoint(self, method: str, path: str) -> Endpoint | None:
        """Messages, token counting and the list of models; also Vertex AI's ``:rawPredict`` forms of the first two.

        Batches and files change what the server keeps, so they stay unknown.  So does Bedrock's ``/invoke``: its
        streams are AWS event streams, not server-sent events.
        """
        parts = path.rstrip("/").split("/")
        if method == "POST":
            # Assistants threads have messages of their own.
            if parts[-1] == "messages" and "threads" not in parts and "conversations" not in parts:
                return _CHAT
            if parts[-2:] == ["messages", "count_tokens"] or parts[-1] == "count-tokens:rawPredict":
                return _COUNT
            model, _, method_name = parts[-1].rpartition(":")
            if model and "anthropic" in parts and method_name in ("rawPredict", "streamRawPredict"):
                return _CHAT
        if method == "GET" and "models" in parts[-2:]:
            return _MODELS
        return None

    # --- requests -------------------------------------------------------------------------------------------------

    def request_fields(self, body: Mapping[str, Json]) -> dict[str, Any]:
        """The lazy fields of a Request.  What is not of the promised shape stays in ``params`` as it came."""
        params = dict(body)
        model = params.pop("model") if isinstance(body.get("model"), str) else ""
        messages: list[Message] = []
        system = decode_system(params.get("system"))
        if system is not None:
            del params["system"]
            messages.append(system)
        if isinstance(body.get("messages"), list):
            messages += [_in_list(item) for item in params.pop("messages")]
        tools = params.pop("tools") if isinstance(body.get("tools"), list) else []
        params.pop("stream", None)
        return {
            "model": model,
            "messages": tuple(messages),
            "tools": tuple([decode_tool(tool) for tool in tools]),
            "params": params,
            "stream": body.get("stream") is True,
        }

    def request_body(self, request: Request) -> dict[str, Json]:
        """The JSON body of *request*."""
        body: dict[str, Json] = dict(request.params)
        system = [message for message in request.messages if _is_system(message)]
        turns = [message for message in request.messages if not _is_system(message)]
        if request.model:
            body["model"] = request.model
        if system:
            body["system"] = _system_json(system)
        if turns:
            body["messages"] = [encode_message(message) for message in turns]
        if request.tools:
            body["tools"] = [encode_tool(tool) for tool in request.tools]
        if request.stream:
            body["stream"] = True
        return body

    # --- answers --------------------------------------------------------------------------------------------------

    def response_fields(self, body: Mapping[str, Json]) -> dict[str, Any]:
        """The lazy fields of a Response; an error or anything else that is no message keeps all in ``params``."""
        content, finish, usage = body.get("content"), body.get("stop_reason"), decode_usage(body.get("usage"))
        params = dict(body)
        if isinstance(content, list) and content:
            role = params.pop("role", None)
            blocks = tuple([decode_block(block) for block in params.pop("content")])
            named = isinstance(role, str)
            message = message_of(role if named else "assistant", blocks, {} if named else {"role": role})
        else:
            message = Message("assistant")
        for name in ("id", "model", "stop_reason"):
            if isinstance(body.get(name), str):
                del params[name]
        if usage is not None:
            del params["usage"]
        return {
            "message": message,
            "finish_reason": finish if isinstance(finish, str) else None,
            "usage": usage,
            "id": body["id"] if isinstance(body.get("id"), str) else None,
            "model": body["model"] if isinstance(body.get("model"), str) else None,
            "more": (),
            "params": params,
        }

    def response_body(self, response: Response) -> dict[str, Json]:
        """The JSON body of *response*."""
        body: dict[str, Json] = dict(response.params)
        if not body and (response.message.blocks or response.finish_reason is not None):
            body = message_opening({})  # an answer that was made: the SDKs read all of these fields
        if response.id is not None:
            body["id"] = response.id
        if response.model is not None:
            body["model"] = response.model
        message = response.message
        if message.blocks:
            body |= {"role": message.role, **message.extra}
            body["content"] = [encode_block(block) for block in message.blocks]
            body.setdefault("type", "message")
            if body["role"] is None:
                del body["role"]
        elif body.get("type") == "message":
            body.setdefault("role", message.role)
            body.setdefault("content", [])
        if response.finish_reason is not None:
            body["stop_reason"] = response.finish_reason
        if response.usage is not None:
            body["usage"] = encode_usage(response.usage)
        return body

    def error_body(self, status: int, code: str, message: str) -> dict[str, Json]:
        """An error as the API writes it.  Its ``type`` is one of the API's own; ours goes to ``details.error_code``."""
        kind = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
        error: dict[str, Json] = {"type": kind, "message": message}
        if code and code != kind:
            error["details"] = {"error_code": code}
        return {"type": "error", "error": error}

    # --- streams --------------------------------------------------------------------------------------------------

    def reader(self) -> StreamReader:
        """A reader for one stream."""
        return MessagesReader()

    def writer(self) -> StreamWriter:
        """A writer for one stream."""
        return MessagesWriter()

    def split(self, response: Response, request: Request) -> tuple[bytes, ...]:
        """*response* as events, message_start to message_stop."""
        del request  # The API has one way of streaming.
        return split_message(self.response_body(response))


def _in_list(item: Json) -> Message:
    message = decode_message(item)
    if message.role != "system":
        return message
    return message_of("system", message.blocks, {**message.extra, "role": "messages"}, item)


def _is_system(message: Message) -> bool:
    return message.role in ("system", "developer") and message.extra.get("role") != "messages"


def _system_json(system: list[Message]) -> Json:
    """One system message as it is; several, which only a plugin can make, as one list of blocks."""
    if len(system) == 1:
        message = system[0]
        return message.raw if message.raw is not None else encode_content(message.blocks, message.extra)
    blocks = [block for message in system for block in message.blocks]
    return [encode_block(block) for block in blocks if not (isinstance(block, Text) and not block.text)]


API = AnthropicMessages(
    of_request={"model": text_in("model", ""), "stream": streams},
    of_response={
        "id": text_in("id"),
        "model": text_in("model"),
        "finish_reason": text_in("stop_reason"),
        "usage": lambda body: decode_usage(body.get("usage")),
        "more": nothing,
    },
)
