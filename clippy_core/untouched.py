"""Law 2, untouched in, untouched out: what no plugin changed keeps the bytes that came."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import repeat
from operator import attrgetter
from typing import Any, TypeVar

from attrs import fields
from clippy_hookspecs import PluginError, Provenance, Request, Response, evolve
from clippy_hookspecs.blocks import draft
from clippy_hookspecs.types import UNREAD, with_raw

from .judging import signed
from .wire import encode_request, encode_response

V = TypeVar("V", Request, Response)

_REQUEST_BODY = ("model", "messages", "tools", "params", "stream")
_RESPONSE_BODY = ("message", "finish_reason", "usage", "id", "model", "more", "params")

_RequestDraft, _ResponseDraft = draft(Request), draft(Response)
_NAMES = {kind: tuple(one.name for one in fields(kind)) for kind in (Request, Response)}
_ALL = {
    kind: (draft_of, names, attrgetter(*names))
    for (kind, names), draft_of in zip(_NAMES.items(), (_RequestDraft, _ResponseDraft), strict=True)
}


def retouch(value: V, **changes: Any) -> V:
    """*value* with other fields that are not of its body: its bytes stay, and it is not decoded for this."""
    kind, decoder = type(value), value.decoder
    if decoder is None:
        draft_of, names, read = _ALL[kind]
        new = draft_of()
        filled = dict(zip(names, read(value), strict=True), **changes)
        deque(map(setattr, repeat(new), filled, filled.values()), maxlen=0)  # a loop would take four times as long
    else:
        new = _request_around(value) if kind is Request else _response_around(value)
        new.decoder = decoder  # as it was looked at: another thread may read the body meanwhile
        for name, item in changes.items():
            setattr(new, name, item)
    new.__class__ = kind
    return new  # type: ignore[no-any-return]  # it is one now


def _request_around(value: Any) -> Any:
    """What is not in the body, which nobody has read: written out, since every request through a server has it."""
    new = _RequestDraft()
    new._model = new._messages = new._tools = new._params = new._stream = UNREAD  # noqa: SLF001
    new.api, new.endpoint, new.method, new.url, new.query = (
        value.api,
        value.endpoint,
        value.method,
        value.url,
        value.query,
    )
    new.headers, new.raw = value.headers, value.raw
    return new


def _response_around(value: Any) -> Any:
    """The same of an answer, of which every one that is stored is another."""
    new = _ResponseDraft()
    new._message = new._finish_reason = new._usage = UNREAD  # noqa: SLF001
    new._id = new._model = new._more = new._params = UNREAD  # noqa: SLF001
    new.api, new.status, new.headers, new.provenance = value.api, value.status, value.headers, value.provenance
    new.extensions, new.raw = value.extensions, value.raw
    return new


def owned(response: Response, provenance: Provenance | None, extensions: Mapping[str, Any]) -> Response:
    """*response*, which others may hold as well, as the answer to one request, with its context in *extensions*."""
    decoder, raw = response.decoder, response.raw
    if decoder is None or raw is None or provenance is None:
        return retouch(response, provenance=provenance, extensions=extensions)
    return Response.undecoded(
        decoder,
        raw,
        api=response.api,
        status=response.status,
        headers=response.headers,
        provenance=provenance,
        extensions=extensions,
    )


def as_written(request: Request) -> Request:
    """*request* with the very bytes that are sent for it, for those who watch; they are not made twice.

    Not where the bytes that came were signed, and others will not be sent.
    """
    if request.raw is not None or request.endpoint.body != "json" or signed(request.headers):
        return request
    try:
        return with_raw(evolve(request), encode_request(request))
    except ValueError:  # of an API that nobody here speaks: who has to write it will say so
        return request


def as_answered(response: Response) -> Response:
    """*response* with the very bytes that its caller gets, for those who keep records; they are not made twice."""
    try:
        return with_raw(evolve(response), encode_response(response))
    except ValueError:  # of an API that nobody here speaks: who has to write it will say so
        return response


def keep_body(old: Request, new: Request) -> Request:
    """*new*, with the bytes of *old* if a plugin changed only what is not in the body (a header, say).

    Raises PluginError if a body was changed that we could not read.
    """
    if new is old or new.raw is not None or old.raw is None:
        return new
    if all(getattr(new, name) is getattr(old, name) for name in _REQUEST_BODY):
        return with_raw(new, old.raw)
    if old.endpoint.body == "json" and old.raw.strip() and not (old.params or old.messages or old.model or old.tools):
        raise PluginError(
            "a plugin changed the body of a request that is not a JSON object, so it cannot be written; "
            "plugins should leave a request alone whose params and messages are empty",
            hook="pre_request",
        )
    return new


def keep_answer(old: Response, new: Response) -> Response:
    """*new*, with the bytes of *old* if a plugin changed only what is not in the body."""
    if new is old or new.raw is not None or old.raw is None:
        return new
    same = all(getattr(new, name) is getattr(old, name) for name in _RESPONSE_BODY)
    return with_raw(new, old.raw) if same else new
