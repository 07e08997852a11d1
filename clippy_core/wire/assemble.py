"""A stream as a whole answer, and a stored answer as a stream.

:class:`Assembler` is one for all wire APIs.  A reader says in the chunk's own fields what the contract has a place for
(kind, delta, block, choice, id, name, finish_reason, usage) and in ``chunk.extra``, under these keys, what it has not:

``response``   top-level fields of the answer (id, model, created ...); a later value that is not null replaces
``choice``     fields of the choice (logprobs ...); mappings are merged, lists are joined
``message``    fields of the message (role, annotations ...); mappings are merged, lists are joined
``block``      fields of the block numbered ``chunk.block`` (type, citations ...); mappings are merged, lists are joined
``opens``      the content kind of the block, for a *start* chunk whose block may stay empty
``signature``  a piece of the block's reasoning signature
``opaque``     the block itself, when it is one that we do not model; merged like ``block``
``input_json`` a piece of the JSON text that becomes ``input`` of such a block
``body``       the JSON of the whole answer, when the terminal event tells it; it counts if it says what the chunks said

Any other key is the reader's and writer's own business.  The ``extra`` of an *error* chunk is the event's JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import field, frozen
from clippy_hookspecs import (
    CONTENT_KINDS,
    CacheEntry,
    Choice,
    Chunk,
    Json,
    Message,
    Request,
    Response,
    ToolCall,
    Usage,
    evolve,
)

from . import APIS, StreamDecoder, openai_chat
from .base import CorruptEvent, WireApi
from .errors import named_status
from .growth import Growth, absorb, block_of, part_of
from .sse import SseLimitError

_NOT_OF_THE_ANSWER = frozenset({"id", "model", "usage", "obfuscation"})


class Assembler:
    """Makes the whole answer of the chunks of one stream, as they are: changed chunks give a changed answer."""

    def __init__(self, api: WireApi) -> None:
        self._api = api
        self._answers: dict[int, Growth] = {}
        self._response: dict[str, Json] = {}
        self._body: Mapping[str, Json] | None = None
        self._usage: Usage | None = None

    def add(self, chunk: Chunk) -> None:
        """Take one chunk, in the order of the stream."""
        if chunk.usage is not None:
            self._usage = later_usage(self._usage, chunk.usage)
        if chunk.finish_reason is not None:
            self._answer(chunk.choice).finish_reason = chunk.finish_reason
        if chunk.kind in CONTENT_KINDS:
            part = part_of(self._answer(chunk.choice), chunk.block, chunk.kind)
            part.text.append(chunk.delta)
            part.id, part.name = part.id or chunk.id, part.name or chunk.name
        if chunk.extra and chunk.kind != "error":
            self._add_extra(chunk, chunk.extra)

    def response(self) -> Response:
        """The answer so far; nothing that was added is lost by asking."""
        message, finish_reason = self._message(0), self._answer(0).finish_reason
        told = self._told(message)
        if told is not None:
            return told
        params = {name: value for name, value in self._response.items() if name not in _NOT_OF_THE_ANSWER}
        if isinstance(params.get("object"), str):
            params["object"] = params["object"].removesuffix(".chunk")
        if self._answer(0).choice:
            params["choices"] = [_choice_rest(self._answer(0).choice, 0)]
        return Response(
            api=self._api.name,
            message=message,
            finish_reason=finish_reason,
            usage=self._usage,
            id=_text_or_none(self._response.get("id")),
            model=_text_or_none(self._response.get("model")),
            more=tuple(self._choice(number) for number in sorted(self._answers) if number != 0),
            params=params,
        )

    def _told(self, message: Message) -> Response | None:
        """The answer of the terminal event: it has fields no delta brings, but must not undo a plugin's change."""
        if self._body is None:
            return None
        fields = dict(self._api.response_fields(self._body))
        if _said(fields["message"]) == _said(message) and self._usage in (fields["usage"], None):
            return Response(api=self._api.name, **fields)
        return None

    def _add_extra(self, chunk: Chunk, extra: Mapping[str, Json]) -> None:
        for name, value in extra.get("response", {}).items():
            if value is not None or name not in self._response:
                self._response[name] = value
        if "body" in extra:
            self._body = extra["body"]
        answer = self._answer(chunk.choice)
        absorb(answer.choice, extra.get("choice", {}))
        absorb(answer.message, extra.get("message", {}))
        if extra.keys() & {"block", "opens", "opaque", "signature", "input_json"}:
            part = part_of(answer, chunk.block, extra.get("opens") or ("opaque" if "opaque" in extra else ""))
            absorb(part.extra, extra.get("block", {}))
            absorb(part.opaque, extra.get("opaque", {}))
            part.signature.append(extra.get("signature", ""))
            part.input_json.append(extra.get("input_json", ""))

    def _answer(self, choice: int) -> Growth:
        return self._answers.setdefault(choice, Growth())

    def _choice(self, number: int) -> Choice:
        answer = self._answers[number]
        return Choice(self._message(number), answer.finish_reason, _choice_rest(answer.choice, number))

    def _message(self, number: int) -> Message:
        answer = self._answer(number)
        numbered = sorted(answer.parts.items(), key=lambda item: item[0][0])
        blocks = tuple(block_of(part, self._api.name) for _, part in numbered if part.kind)
        extra = {name: value for name, value in answer.message.items() if name != "role"}
        return Message(_text_or_none(answer.message.get("role")) or "assistant", blocks, extra)


def later_usage(old: Usage | None, new: Usage) -> Usage:
    """Usage is cumulative: the last report wins, except where it is silent about what an earlier one said."""
    if old is None:
        return new
    return evolve(
        new,
        input=new.input or old.input,
        output=new.output or old.output,
        cache_read=new.cache_read or old.cache_read,
        cache_write=new.cache_write or old.cache_write,
        reasoning=new.reasoning or old.reasoning,
        extra={**old.extra, **new.extra},
    )


def _said(message: Message) -> tuple[Any, ...]:
    calls = [(call.id, call.name, call.arguments) for call in message.tool_calls]
    return message.text, message.reasoning, message.refusal, calls


def _choice_rest(choice: dict[str, Json], number: int) -> dict[str, Json]:
    """What a choice has beside its content, with what OpenAI's answers have even if they say nothing."""
    rest = {"index": number, "finish_reason": None, **choice}
    return rest if "text" in rest else {**rest, "message": {"content": None}}


def _text_or_none(value: Json) -> str | None:
    return value if isinstance(value, str) else None


# --- a whole stream ---------------------------------------------------------------------------------------------------


@frozen
class StreamError:
    """Why a stream did not arrive whole.

    ``kind``: *error_event* (``body`` is its JSON), *corrupt* (an event that cannot be read) or *truncated* (an end
    before the terminal event).  What broke on the way is transient; an error event says by its type or code what it is
    (a classifier plugin knows more of those).  Sending again can help while nothing was ``committed``.
    """

    kind: str
    message: str
    committed: bool
    body: Mapping[str, Json] = field(factory=dict)

    @property
    def category(self) -> str:
        """transient, rate_limit, auth, validation or permanent."""
        told = " ".join(_codes(self.body)).lower().replace("_", "")
        named = next((category for words, category in _CATEGORIES if any(word in told for word in words)), None)
        return named or _STATUSES.get(named_status(self.body) or 0, "transient")

    @property
    def retryable(self) -> bool:
        """Whether the same request may be sent again."""
        return not self.committed and self.category in ("transient", "rate_limit")


_CATEGORIES = (
    (("quota", "billing", "credit", "notfound"), "permanent"),
    (("ratelimit", "toomanyrequests"), "rate_limit"),
    (("authentication", "permission", "apikey", "unauthorized", "forbidden"), "auth"),
    (("invalidrequest", "invalidprompt", "contextlength", "badrequest", "requesttoolarge"), "validation"),
    (("contentfilter", "contentpolicy"), "validation"),
)
"""By what the codes have in their names, without the underlines that some servers leave out."""
_STATUSES = {
    400: "validation", 401: "auth", 402: "permanent", 403: "auth", 404: "permanent", 413: "validation",
    422: "validation", 429: "rate_limit",
}  # fmt: skip
"""For servers that tell of an error by its HTTP status alone (OpenRouter, vLLM)."""


def _codes(body: Mapping[str, Json]) -> list[str]:
    """The words by which an error event says what it is, wherever its API puts them."""
    inner = body.get("error")
    response = body.get("response")
    nested = response.get("error") if isinstance(response, Mapping) else None
    places = [place for place in (body, inner, nested) if isinstance(place, Mapping)]
    return [word for place in places for name in ("code", "type") if isinstance(word := place.get(name), str)]


@frozen
class StreamResult:
    """What a streamed answer came to.  ``complete`` is false if and only if there is an ``error``."""

    response: Response
    committed: bool
    error: StreamError | None = None

    @property
    def complete(self) -> bool:
        return self.error is None

    @property
    def text(self) -> str:
        return self.response.text

    @property
    def reasoning(self) -> str:
        return self.response.message.reasoning

    @property
    def refusal(self) -> str | None:
        return self.response.message.refusal

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self.response.message.tool_calls

    @property
    def usage(self) -> Usage | None:
        return self.response.usage

    @property
    def finish_reason(self) -> str | None:
        return self.response.finish_reason


def assemble_stream(api: WireApi, parts: Iterable[bytes]) -> StreamResult:
    """What the bytes of a streamed answer say, however they are cut; what came before an error is kept.

    A stream ends with its API's terminal event, or when every choice has its finish reason; an end before that is an
    error (reliability.md 1.6).  Nothing after an error event or the terminal event counts.
    """
    decoder, assembler = StreamDecoder(api), Assembler(api)
    committed = False
    try:
        for chunk in _chunks(decoder, parts):
            assembler.add(chunk)
            committed = committed or chunk.content
            if chunk.kind == "error":
                error = StreamError("error_event", "the provider sent an error event", committed, chunk.extra)
                return StreamResult(assembler.response(), committed, error)
            if chunk.kind == "done":
                return StreamResult(assembler.response(), committed)
    except (CorruptEvent, SseLimitError) as problem:
        return StreamResult(assembler.response(), committed, StreamError("corrupt", str(problem), committed))
    if decoder.complete:
        return StreamResult(assembler.response(), committed)
    error = StreamError("truncated", "the stream ended before its terminal event", committed)
    return StreamResult(assembler.response(), committed, error)


def _chunks(decoder: StreamDecoder, parts: Iterable[bytes]) -> Iterator[Chunk]:
    for part in parts:
        for event in decoder.feed(part):
            yield from event.chunks
    for event in decoder.finish():
        yield from event.chunks


def replay(entry: CacheEntry, request: Request) -> tuple[bytes, ...]:
    """A stored answer as the events of a stream for the caller of *request*.

    The provider's own events, if the answer came as a stream, else the answer cut into events; OpenAI's usage chunk is
    there if and only if the caller asked for it.  Raises ValueError for an answer of an API that nobody here speaks.
    """
    response = entry.response
    api = APIS.get(response.api)
    if api is None:
        raise ValueError(f"an answer of the wire API {response.api!r} cannot be streamed; known are {sorted(APIS)}")
    if not entry.events:
        return api.split(response, request)
    if api is openai_chat.API:
        return openai_chat.API.with_usage_as_asked(entry.events, response, request)
    return entry.events
