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
from clippy_hookspecs.types import with_raw

from .wire import encode_request, encode_response

V = TypeVar("V", Request, Response)

_REQUEST_BODY = ("model", "messages", "tools", "params", "stream")
_RESPONSE_BODY = ("message", "finish_reason", "usage", "id", "model", "more", "params")

_DRAFTS: dict[type[Any], Any] = {kind: draft(kind) for kind in (Request, Response)}
_BODY = frozenset(_REQUEST_BODY + _RESPONSE_BODY)
_NAMES = {kind: tuple(one.name for one in fields(kind) if one.name != "decoder") for kind in _DRAFTS}
_ALL = {kind: (names, attrgetter(*names)) for kind, names in _NAMES.items()}
_OUTSIDE = {kind: tuple(name for name in names if name not in _BODY) for kind, names in _NAMES.items()}
_AROUND = {kind: (names, attrgetter(*names)) for kind, names in _OUTSIDE.items()}
"""What is not in the body: all that a value has before somebody has looked into it."""


def retouch(value: V, **changes: Any) -> V:
    """*value* with other fields that are not of its body: its bytes stay, and it is not decoded for this."""
    kind, decoder = type(value), value.decoder
    new, (names, read) = _DRAFTS[kind](), (_ALL if decoder is None else _AROUND)[kind]
    filled = dict(zip(names, read(value), strict=True), **changes)
    deque(map(setattr, repeat(new), filled, filled.values()), maxlen=0)  # a loop would take four times as long
    new.decoder = decoder  # as it was looked at: another thread may read the body meanwhile
    new.__class__ = kind
    return new  # type: ignore[no-any-return]  # it is one now


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
    """*request* with the very bytes that are sent for it, for those who watch; they are not made twice."""
    if request.raw is not None or request.endpoint.body != "json":
        return request
    return with_raw(evolve(request), encode_request(request))


def as_answered(response: Response) -> Response:
    """*response* with the very bytes that its caller gets, for those who keep records; they are not made twice."""
    try:
        return with_raw(evolve(response), encode_response(response))
    except ValueError:  # of an API that nobody here speaks: who has to write it will say so
        return response


def on_record(response: Response) -> Response:
    """*response* as a record holds it: what was told, and not its request's context, which would stay as long."""
    decoder, raw = response.decoder, response.raw
    if decoder is None or raw is None:
        return retouch(response, extensions={})
    return Response.undecoded(
        decoder,
        raw,
        api=response.api,
        status=response.status,
        headers=response.headers,
        provenance=response.provenance,
    )


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
