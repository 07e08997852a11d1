"""OpenAI Chat Completions, and what else is called at the same base URLs; as OpenAI, Azure and the compatible
servers (DeepSeek, Gemini, Groq, Mistral, Ollama, OpenRouter, vLLM ...) speak it.

The first choice of an answer is the Response's own message; what else that choice has is ``params["choices"]``, a list
of one object without content, so that nothing of it is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from attrs import frozen
from clippy_hookspecs import Choice, Endpoint, Json, Message, Request, Response, Text, Usage
from clippy_hookspecs.types import with_raw

from . import openai_replay
from .base import Glances, StreamReader, StreamWriter
from .openai_blocks import message as read_message
from .openai_blocks import messages_json, true_logprobs
from .openai_reader import ChatReader
from .openai_tools import tool as read_tool
from .openai_tools import tool_json
from .openai_usage import says_all, usage_as_told
from .openai_usage import usage as read_usage
from .openai_writer import ChatWriter
from .shapes import objects, plain_messages, streams, text_in

CHAT = Endpoint("chat.completions", chat=True, cacheable=True, retryable=True, streams=True, body="json")
COMPLETIONS = Endpoint("completions", cacheable=True, retryable=True, streams=True, body="json")
EMBEDDINGS = Endpoint("embeddings", cacheable=True, retryable=True, body="json")
MODERATIONS = Endpoint("moderations", retryable=True, body="json")
MODELS = Endpoint("models", retryable=True, body="json")

_POSTED = {"completions": COMPLETIONS, "embeddings": EMBEDDINGS, "moderations": MODERATIONS}
_ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


@frozen
class OpenAIChat:
    """The wire API ``openai.chat``."""

    of_request: Glances
    of_response: Glances
    name = "openai.chat"
    plain = staticmethod(plain_messages)

    def endpoint(self, method: str, path: str) -> Endpoint | None:
        """The end of the path decides, so any base URL will do: ``/v1``, an Azure deployment, a gateway's prefix."""
        parts = path.rstrip("/").split("/")
        if method == "POST":
            return CHAT if parts[-2:] == ["chat", "completions"] else _POSTED.get(parts[-1])
        if method == "GET" and "models" in parts[-2:]:
            return MODELS
        return None

    def request_fields(self, body: Mapping[str, Json]) -> dict[str, Any]:
        messages, tools = body.get("messages"), body.get("tools")
        return {
            "model": body["model"] if isinstance(body.get("model"), str) else "",
            "messages": tuple([read_message(item) for item in messages]) if objects(messages) else (),
            "tools": tuple([read_tool(item) for item in tools]) if objects(tools) else (),
            "stream": body.get("stream") is True,
            "params": _params(body),
        }

    def request_body(self, request: Request) -> dict[str, Json]:
        body: dict[str, Json] = {"model": request.model} if request.model else {}
        if request.messages or (request.endpoint.chat and "messages" not in request.params):
            body["messages"] = [item for message in request.messages for item in messages_json(message)]
        if request.tools:
            body["tools"] = [tool_json(tool) for tool in request.tools]
        if request.stream:
            body["stream"] = True
        return {**request.params, **body}

    def response_fields(self, body: Mapping[str, Json]) -> dict[str, Any]:
        rest = dict(body)
        fields: dict[str, Any] = {
            "message": None,
            "finish_reason": None,
            "usage": None,
            "id": rest.pop("id") if isinstance(rest.get("id"), str) else None,
            "model": rest.pop("model") if isinstance(rest.get("model"), str) else None,
            "more": (),
            "params": rest,
        }
        usage = fields["usage"] = _used(body)
        if usage is not None and says_all(usage, body["usage"]):
            del rest["usage"]
        choices = rest.get("choices")
        if _readable(choices):
            fields["message"], fields["finish_reason"], first = _taken_apart(choices[0])
            if "text" not in first:
                first["message"] = {}
            rest["choices"] = [first]
            if len(choices) > 1:
                fields["more"] = tuple(_choice(choice) for choice in choices[1:])
        else:
            fields["message"] = Message("assistant")
        return fields

    def response_body(self, response: Response) -> dict[str, Json]:
        params, made = response.params, {}
        if not params or params.keys() == {"created"}:  # no provider's body of this API, so what SDKs need of one
            made = {"id": "chatcmpl-clippy", "object": "chat.completion", "created": 0, "model": ""}
        body: dict[str, Json] = {**made, **params}
        for name, value in (("id", response.id), ("model", response.model)):
            if value is not None:
                body[name] = value
        first = _first(params)
        if first is not None or made or response.more or response.message.blocks or response.finish_reason:
            finish_reason = response.finish_reason or ("stop" if made else None)
            choices = [Choice(response.message, finish_reason, first or {}), *response.more]
            body["choices"] = [_choice_json(number, choice) for number, choice in enumerate(choices)]
        if response.usage is not None:
            body["usage"] = usage_as_told(response.usage, params.get("usage"))
        return body

    def error_body(self, status: int, code: str, message: str) -> dict[str, Json]:
        kind = _ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def reader(self) -> StreamReader:
        return ChatReader()

    def writer(self) -> StreamWriter:
        return ChatWriter()

    def split(self, response: Response, request: Request) -> tuple[bytes, ...]:
        return openai_replay.split(self.response_body(response), wants_usage(request))

    def with_usage_as_asked(self, events: Sequence[bytes], response: Response, request: Request) -> tuple[bytes, ...]:
        """The *events* of a stream of this API with the usage chunk if *request* asks for it, without it if not."""
        usage = self.response_body(response).get("usage")
        return openai_replay.with_usage_as_asked(events, usage if wants_usage(request) else None, wants_usage(request))


def _params(body: Mapping[str, Json]) -> dict[str, Json]:
    """What of a request's body no other field holds: what is not modelled, or not in the shape that is documented."""
    rest = dict(body)
    rest.pop("stream", None)
    if isinstance(rest.get("model"), str):
        del rest["model"]
    for name in ("messages", "tools"):
        value = rest.get(name)
        if value is not None and (objects(value) or value == []):
            del rest[name]
    return rest


def wants_usage(request: Request) -> bool:
    """Whether the caller of a stream asked for its usage."""
    options = request.params.get("stream_options")
    return isinstance(options, Mapping) and options.get("include_usage") is True


def _readable(choices: Json) -> TypeGuard[list[dict[str, Json]]]:
    if type(choices) is list and len(choices) == 1 and type(choices[0]) is dict:  # as nearly always
        return _is_choice(choices[0])
    return objects(choices) and all(map(_is_choice, choices))


def _is_choice(value: Mapping[str, Json]) -> bool:
    return isinstance(value.get("message"), dict) or isinstance(value.get("text"), str)


def _choice(value: Mapping[str, Json]) -> Choice:
    return with_raw(Choice(*_taken_apart(value)), value)


def _taken_apart(value: Mapping[str, Json]) -> tuple[Message, str | None, dict[str, Json]]:
    """Message, finish reason and the rest of a choice."""
    message, extra = _message(value), dict(value)
    if isinstance(extra.get("message"), dict):
        del extra["message"]
    else:
        extra["text"] = ""
    finish_reason = extra.pop("finish_reason") if isinstance(extra.get("finish_reason"), str) else None
    return message, finish_reason, extra


def _message(choice: Mapping[str, Json]) -> Message:
    said = choice.get("message")
    if isinstance(said, dict):
        return read_message(said)
    return Message("assistant", (Text(choice["text"]),))  # the legacy completions: text without a message


def _first(params: Mapping[str, Json]) -> dict[str, Json] | None:
    """The rest of the first choice, None if there is none or it is not one that :func:`_choice` left."""
    rest = params.get("choices")
    return rest[0] if objects(rest) and len(rest) == 1 and _readable(rest) else None


def _choice_json(number: int, choice: Choice) -> Json:
    if choice.raw is not None:
        return choice.raw
    rest: Mapping[str, Json] = choice.extra or {"finish_reason": None, "message": {"content": None}}
    body: dict[str, Json] = dict(rest) if choice.extra else {"index": number, **rest}
    if choice.finish_reason is not None:
        body["finish_reason"] = choice.finish_reason
    message = choice.message
    if message.raw is None:
        true_logprobs(body, message.text, message.refusal or "")
    if "text" in body:
        body["text"] = message.text
    else:
        body["message"] = message.raw or {**rest.get("message", {}), **_only_message(message)}
    return body


def _only_message(message: Message) -> dict[str, Json]:
    written = messages_json(message)
    if len(written) != 1:
        raise ValueError("an answer is one message; tool results belong into a request")
    return dict(written[0])


def _said(body: Mapping[str, Json]) -> Message:
    choices = body.get("choices")
    return _message(choices[0]) if _readable(choices) else Message("assistant")


def _text(body: Mapping[str, Json]) -> str | None:
    """The text of an answer that is one message of one text; None for any other, of which the message must be made."""
    choices = body.get("choices")
    if type(choices) is not list or len(choices) != 1 or type(choices[0]) is not dict:
        return None
    said = choices[0].get("message")
    content = said.get("content") if type(said) is dict and said.get("role") == "assistant" else None
    return content if type(content) is str else None


def _finish(body: Mapping[str, Json]) -> str | None:
    choices = body.get("choices")
    return _reason(choices[0]) if _readable(choices) else None


def _reason(choice: Mapping[str, Json]) -> str | None:
    reason = choice.get("finish_reason")
    return reason if isinstance(reason, str) else None


def _used(body: Mapping[str, Json]) -> Usage | None:
    usage = body.get("usage")
    return read_usage(usage) if isinstance(usage, dict) else None


def _others(body: Mapping[str, Json]) -> tuple[Choice, ...]:
    choices = body.get("choices")
    if type(choices) is list and len(choices) == 1:
        return ()
    return tuple([_choice(choice) for choice in choices[1:]]) if _readable(choices) else ()


API = OpenAIChat(
    of_request={"model": text_in("model", ""), "params": _params, "stream": streams},
    of_response={
        "id": text_in("id"),
        "model": text_in("model"),
        "message": _said,
        "text": _text,
        "finish_reason": _finish,
        "usage": _used,
        "more": _others,
    },
)
"""The one instance: it has no state."""
