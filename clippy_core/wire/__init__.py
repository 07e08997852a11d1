"""The wire APIs: bytes to the contract's values and back.  Nothing here waits, sends or keeps state between calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import is_
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from clippy_hookspecs import UNKNOWN_ENDPOINT, Endpoint, Headers, Json, Message, Request, Response
from clippy_hookspecs.stored import body_decoders

from ..jsonio import dumps, loads
from . import anthropic_messages, openai_chat, openai_responses
from .base import CorruptEvent, Glances, StreamEvent, StreamReader, StreamWriter, WireApi
from .errors import ends_amid, error_in
from .sse import SseDecoder, SseEvent, SseLimitError
from .stream import StreamDecoder

_ALL: tuple[WireApi, ...] = (openai_chat.API, openai_responses.API, anthropic_messages.API)
APIS: dict[str, WireApi] = {api.name: api for api in _ALL}
"""The wire APIs by name."""


@lru_cache(maxsize=256)
def find(method: str, path: str) -> tuple[WireApi | None, Endpoint]:
    """Whose call this is and what may be done with it; (None, UNKNOWN_ENDPOINT) for a call of no API of ours."""
    for api in APIS.values():
        endpoint = api.endpoint(method.upper(), path)
        if endpoint is not None:
            return api, endpoint
    return None, UNKNOWN_ENDPOINT


@lru_cache(maxsize=256)
def _called(method: str, url: str) -> tuple[WireApi | None, Endpoint]:
    """:func:`find` for a whole URL.  A program calls few addresses, and taking one apart costs as much as its JSON."""
    return find(method, urlsplit(url).path)


class KeptBody(dict[str, Json]):
    """The ``params`` of a decoded body, which remember the body.

    A change to a header gives a request without ``raw``.  If everything that was decoded is still the same objects,
    the body is nevertheless what came, and these are its bytes: no digit of it is lost, nor a body nobody can read.
    """

    __slots__ = ("body", "fields", "unsaid", "whole")

    def __init__(
        self,
        params: Mapping[str, Json],
        body: bytes,
        fields: Mapping[str, Any],
        unsaid: Mapping[str, Json],
        whole: dict[str, Json] | None,
    ) -> None:
        super().__init__(params)
        self.body, self.fields = body, fields
        self.unsaid = unsaid
        """Fields that the contract's values cannot tell from absent ones, like ``"stream": false``."""
        self.whole = whole
        """The JSON object that was read from the body, None if it was not read as one."""

    def __reduce__(self) -> tuple[Any, ...]:
        return KeptBody, (dict(self), self.body, self.fields, self.unsaid, self.whole)

    def unchanged(self, value: Request | Response) -> bool:
        """Whether *value* holds the very objects that were decoded from the body."""
        return all(map(is_, [getattr(value, name) for name in self.fields], self.fields.values()))


# --- requests ---------------------------------------------------------------------------------------------------------


def decode_request(
    method: str,
    url: str,
    query: str,
    headers: Headers,
    body: bytes,
    *,
    stream: bool | None = None,
    flat: dict[str, Json] | None = None,
) -> Request:
    """The request these bytes are; its body is read when somebody looks.

    A body that is not a JSON object, or that is encoded, gives empty fields and keeps its bytes.  *stream* is what the
    body says of that, for those who wrote it: to be asked for it alone it is not read.  *flat* is what reading it
    would give, for those who have that already and know that it :func:`~clippy_core.jsonio.is_flat`: from now on nobody
    may change it.
    """
    api, endpoint = _called(method, url)
    request = Request.undecoded(
        _read_request if flat is None else Opened(_read_request, flat, flat=True),
        body,
        api=api.name if api is not None else "",
        endpoint=endpoint,
        method=method,
        url=url,
        query=query,
        headers=headers,
    )
    if stream is not None:
        object.__setattr__(request, "stream", stream)
    return request


def encode_request(request: Request) -> bytes:
    """The body of *request*: the bytes that came unless something in it was changed.

    Raises ValueError for a request with messages of an API that nobody here speaks.
    """
    if request.raw is not None:
        return request.raw
    params = request.params
    if isinstance(params, KeptBody):
        if params.unchanged(request):
            return params.body
        return dumps({**params.unsaid, **_api(request).request_body(request)})
    if not request.api and not request.messages and not params:
        return b""
    return dumps(_api(request).request_body(request))


def parsed_body(request: Request) -> dict[str, Json] | None:
    """The JSON object that the body of *request* is, None if it is none.

    It is the one that the request was decoded from while nothing in that was changed, so that no body is parsed twice.
    Others hold parts of it: it must not be changed.
    """
    opened = unread(request)
    if opened is not None and opened.whole is not None:
        return opened.whole
    params = request.params
    kept = params if isinstance(params, KeptBody) else None
    if kept is not None and kept.whole is not None and (kept.body is request.raw or kept.unchanged(request)):
        return kept.whole
    try:
        body = loads(encode_request(request))
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def unread(request: Request) -> Opened | None:
    """The JSON of a request whose values nobody has made yet, None for any other request."""
    decoder = request.decoder
    if type(decoder) is Opened:
        return decoder
    return decoder.open(request) if type(decoder) is Reader else None


def _request_values(request: Request, body: dict[str, Json] | None, known: Mapping[str, Any]) -> Mapping[str, Any]:
    raw = request.raw or b""
    if body is None:
        nothing = {"model": "", "messages": (), "tools": (), "params": {}, "stream": False}
        return _kept(request.api, nothing, raw, {}, None)
    return _kept(request.api, {**APIS[request.api].request_fields(body), **known}, raw, _unsaid(body), body)


def _unsaid(body: Mapping[str, Json]) -> dict[str, Json]:
    said = body.get
    if said("stream", True) is True and said("model", True) and said("messages", True) and said("tools", True):
        return {}
    unsaid = {name: body[name] for name in ("model", "messages", "tools") if name in body and not body[name]}
    if said("stream", True) is not True:
        unsaid["stream"] = body["stream"]
    return unsaid


def _request_glances(api: WireApi) -> Glances:
    """How single fields of a request are told.

    Most who look into a request look for a parameter, and to make values of all its messages for that costs the more
    the longer the conversation is.
    """
    if "params" not in api.of_request:
        return api.of_request
    params, never = api.of_request["params"], {"api": None}

    def alone(body: Mapping[str, Json]) -> KeptBody:
        """They remember no body before all of it is read: a change that reads none of the messages writes it anew."""
        return KeptBody(params(body), b"", never, _unsaid(body), None)

    return {**api.of_request, "params": alone}


# --- responses --------------------------------------------------------------------------------------------------------


def decode_response(
    api: WireApi | None, status: int, headers: Headers, body: bytes, extensions: Mapping[str, Any] | None = None
) -> Response:
    """The answer these bytes are; its body is read when somebody looks, and then as :func:`decode_request` does."""
    return Response.undecoded(
        _read_response,
        body,
        api=api.name if api is not None else "",
        status=status,
        headers=headers,
        extensions=extensions or {},
    )


def encode_response(response: Response) -> bytes:
    """The body of *response*: the bytes that came unless something in it was changed.

    Raises ValueError for an answer with content of an API that nobody here speaks.
    """
    if response.raw is not None:
        return response.raw
    if isinstance(response.params, KeptBody) and response.params.unchanged(response):
        return response.params.body
    if not response.api and response.message == Message("assistant") and not response.params:
        return b""
    return dumps(_api(response).response_body(response))


def in_wire_form(response: Response) -> Response:
    """*response* with its body as ``raw``, as a cache entry needs it."""
    if response.raw is not None:
        return response
    return Response.undecoded(
        _read_response,
        encode_response(response),
        api=response.api,
        status=response.status,
        headers=response.headers,
        provenance=response.provenance,
        extensions=response.extensions,
    )


def carries_error(api: WireApi | None, body: bytes | Json) -> bool:
    """Whether the body of an answer with a good status is an error object all the same, or JSON that ends amid it.

    *api* is None for an answer of no API of ours, which is not judged.
    """
    if api is None:
        return False
    if isinstance(body, bytes):
        if ends_amid(body):
            return True
        if body.find(b"error") < 0 and body.find(b"base_resp") < 0:  # faster than "in", which raises and catches
            return False
        try:
            body = loads(body)
        except ValueError:
            return False
    return isinstance(body, dict) and error_in(body)


def _response_values(response: Response, body: dict[str, Json] | None, known: Mapping[str, Any]) -> Mapping[str, Any]:
    raw = response.raw or b""
    if body is None:
        nothing = {"message": Message("assistant"), "finish_reason": None, "usage": None, "id": None, "model": None}
        return _kept(response.api, {**nothing, "more": (), "params": {}}, raw, {}, None)
    return _kept(response.api, {**APIS[response.api].response_fields(body), **known}, raw, {}, body)


# --- both -------------------------------------------------------------------------------------------------------------


@frozen
class Reader:
    """Reads bodies when somebody first looks: a decoder of :meth:`Request.undecoded` and :meth:`Response.undecoded`.

    First their JSON; then most look only at a field or two (is it a stream, how did it end, what did it use), and to
    make the values of all the others costs four times as much.
    """

    values: Callable[[Any, dict[str, Json] | None, Mapping[str, Any]], Mapping[str, Any]]
    glances: Mapping[str, Mapping[str, Callable[[Mapping[str, Json]], Any]]]

    def open(self, value: Request | Response) -> Opened:
        """Read the JSON of *value*, and keep it for whoever looks next."""
        whole = _object(value.headers, value.raw or b"") if value.api in APIS else None
        opened = Opened(self, whole)
        object.__setattr__(value, "decoder", opened)
        return opened

    def some(self, value: Request | Response, name: str) -> Mapping[str, Any] | None:
        return self.open(value).some(value, name)

    def text(self, value: Response) -> str | None:
        return self.open(value).text(value)

    def __call__(self, value: Request | Response) -> Mapping[str, Any]:
        return self.open(value)(value)


class Opened:
    """The decoder of a body whose JSON has been read; ``known`` are the fields that somebody has looked at already.

    ``flat``: that it is so is known already.
    """

    __slots__ = ("flat", "known", "reader", "whole")

    def __init__(self, reader: Reader, whole: dict[str, Json] | None, *, flat: bool = False) -> None:
        self.reader, self.whole, self.flat = reader, whole, flat
        self.known: dict[str, Any] = {}

    def some(self, value: Request | Response, name: str) -> Mapping[str, Any] | None:
        if self.whole is None:
            return None
        if name not in self.known:
            glance = self.reader.glances[value.api].get(name)
            if glance is None:
                return None
            self.known[name] = glance(self.whole)
        return self.known

    def text(self, value: Response) -> str | None:
        """The text of an answer whose message is one plain text, None for any other."""
        if self.whole is None:
            return None
        glance = self.reader.glances[value.api].get("text")
        return None if glance is None else glance(self.whole)

    def __call__(self, value: Request | Response) -> Mapping[str, Any]:
        return self.reader.values(value, self.whole, self.known)


_read_request = Reader(_request_values, {name: _request_glances(api) for name, api in APIS.items()})
_read_response = Reader(_response_values, {name: api.of_response for name, api in APIS.items()})


def _kept(
    api: str, fields: dict[str, Any], raw: bytes, unsaid: Mapping[str, Json], whole: dict[str, Json] | None
) -> dict[str, Any]:
    params = fields.pop("params")
    fields["api"] = api
    # Those that somebody has looked at by themselves stay the same object: put back, they are no change.
    kept = params if isinstance(params, KeptBody) else KeptBody(params, raw, fields, unsaid, whole)
    kept.body, kept.fields, kept.unsaid, kept.whole = raw, fields, unsaid, whole
    return {**fields, "params": kept}


def _object(headers: Headers, raw: bytes) -> dict[str, Json] | None:
    encoding = headers.get("content-encoding")
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        return None
    try:
        body = loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _api(value: Request | Response) -> WireApi:
    api = APIS.get(value.api)
    if api is None:
        what = "request" if isinstance(value, Request) else "response"
        raise ValueError(f"a changed {what} of the wire API {value.api!r} cannot be written; known are {sorted(APIS)}")
    return api


body_decoders.update(dict.fromkeys(APIS, _read_response))

__all__ = [
    "APIS",
    "CorruptEvent",
    "KeptBody",
    "SseDecoder",
    "SseEvent",
    "SseLimitError",
    "StreamDecoder",
    "StreamEvent",
    "StreamReader",
    "StreamWriter",
    "WireApi",
    "carries_error",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "find",
    "in_wire_form",
    "parsed_body",
    "unread",
]
