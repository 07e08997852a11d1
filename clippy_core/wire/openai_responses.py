"""OpenAI Responses: ``POST /v1/responses`` and what belongs to it.

``instructions`` is the first message, with role ``system`` and ``extra["role"] = "instructions"``; an ``input`` that is
a string is a user message with ``extra["role"] = "input"``; every item of a list is a message.  All items of an answer
are one message.  Shapes are those of the official SDK's types (openai 3.54).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from clippy_hookspecs import Endpoint, Json, Message, Request, Response

from .base import Glances, StreamReader, StreamWriter
from .responses_items import decode_input_item, decode_output, encode_items
from .responses_parts import decode_tool, decode_usage, encode_tool, encode_usage, plain
from .responses_places import finish_reason
from .responses_split import split_response, status_fields
from .responses_stream import ResponsesReader
from .responses_writer import ResponsesWriter
from .shapes import nothing, streams, text_in
from .values import message_of, text_of

_CHAT = Endpoint("responses", chat=True, cacheable=True, retryable=True, streams=True, body="json")
_COUNT = Endpoint("responses.input_tokens", cacheable=True, retryable=True, body="json")

_ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def _one_text(body: Mapping[str, Json]) -> bool:
    return type(body.get("input")) is str


@frozen
class OpenAIResponses:
    """The wire module's functions as one object."""

    of_request: Glances
    of_response: Glances
    name = "openai.responses"
    plain = staticmethod(_one_text)

    def endpoint(self, method: str, path: str) -> Endpoint | None:
        """Only what creates an answer or counts its input: the other paths are about what the provider keeps."""
        parts = path.rstrip("/").split("/")
        if method != "POST":
            return None
        if parts[-1] == "responses":
            return _CHAT
        return _COUNT if parts[-2:] == ["responses", "input_tokens"] else None

    # --- requests -------------------------------------------------------------------------------------------------

    def request_fields(self, body: Mapping[str, Json]) -> dict[str, Any]:
        """The lazy fields of a Request.  What is not of the promised shape stays in ``params`` as it came."""
        params = dict(body)
        model = params.pop("model") if isinstance(body.get("model"), str) else ""
        messages: list[Message] = []
        if isinstance(body.get("instructions"), str):
            messages.append(message_of("system", (text_of(params.pop("instructions"), {}),), {"role": "instructions"}))
        given = body.get("input")
        if isinstance(given, str):
            del params["input"]
            messages.append(message_of("user", (text_of(given, {}),), {"role": "input"}))
        elif isinstance(given, list) and given:
            del params["input"]
            messages += [decode_input_item(item) for item in given]
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
        instructions = [message for message in request.messages if message.extra.get("role") == "instructions"]
        turns = [message for message in request.messages if message.extra.get("role") != "instructions"]
        if request.model:
            body["model"] = request.model
        if instructions:
            body["instructions"] = "\n\n".join(message.text for message in instructions)
        if len(turns) == 1 and turns[0].extra.get("role") == "input" and [*map(plain, turns[0].blocks)] == [True]:
            body["input"] = turns[0].text
        elif turns:
            body["input"] = [item for message in turns for item in encode_items(message, answer=False)]
        if request.tools:
            body["tools"] = [encode_tool(tool) for tool in request.tools]
        if request.stream:
            body["stream"] = True
        return body

    # --- answers --------------------------------------------------------------------------------------------------

    def response_fields(self, body: Mapping[str, Json]) -> dict[str, Any]:
        """The lazy fields of a Response; an error or anything else that is no answer keeps all in ``params``."""
        output, usage = body.get("output"), decode_usage(body.get("usage"))
        params = dict(body)
        told = isinstance(output, list) and output
        message = decode_output(params.pop("output")) if told else Message("assistant")
        for name in ("id", "model"):
            if isinstance(body.get(name), str):
                del params[name]
        if usage is not None:
            del params["usage"]
        return {
            "message": message,
            "finish_reason": finish_reason(body),
            "usage": usage,
            "id": body["id"] if isinstance(body.get("id"), str) else None,
            "model": body["model"] if isinstance(body.get("model"), str) else None,
            "more": (),
            "params": params,
        }

    def response_body(self, response: Response) -> dict[str, Json]:
        """The JSON body of *response*; a plugin's own answer gets the fields that an SDK needs."""
        body: dict[str, Json] = dict(response.params)
        ours = not body or body.keys() == {"created_at"}
        if ours:
            made = {"id": "resp_0", "object": "response", "created_at": 0, "error": None, "model": ""}
            body = {**made, "output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], **body}
        if response.id is not None:
            body["id"] = response.id
        if response.model is not None:
            body["model"] = response.model
        if response.message.blocks:
            body["output"] = encode_items(response.message, answer=True)
        elif body.get("object") == "response":
            body.setdefault("output", [])
        if isinstance(body.get("output_text"), str):
            body["output_text"] = response.message.text  # Some servers repeat the text here.
        if response.usage is not None:
            body["usage"] = encode_usage(response.usage)
        if response.finish_reason not in (None, finish_reason(body)) or ours:
            body |= status_fields(response.finish_reason)
        return body

    def error_body(self, status: int, code: str, message: str) -> dict[str, Json]:
        """An error as the API writes it."""
        kind = _ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    # --- streams --------------------------------------------------------------------------------------------------

    def reader(self) -> StreamReader:
        """A reader for one stream."""
        return ResponsesReader()

    def writer(self) -> StreamWriter:
        """A writer for one stream."""
        return ResponsesWriter()

    def split(self, response: Response, request: Request) -> tuple[bytes, ...]:
        """*response* as events, response.created to the terminal one."""
        del request  # The API has one way of streaming.
        return split_response(self.response_body(response))


API = OpenAIResponses(
    of_request={"model": text_in("model", ""), "stream": streams},
    of_response={
        "id": text_in("id"),
        "model": text_in("model"),
        "finish_reason": finish_reason,
        "usage": lambda body: decode_usage(body.get("usage")),
        "more": nothing,
    },
)
