"""Law 2, untouched in, untouched out: what no plugin changed keeps the bytes that came."""

from __future__ import annotations

from typing import Any, TypeVar

from attrs import fields
from clippy_hookspecs import PluginError, Request, Response
from clippy_hookspecs.types import with_raw

V = TypeVar("V", Request, Response)

_REQUEST_BODY = ("model", "messages", "tools", "params", "stream")
_SLOTS = {
    kind: tuple((a.name, getattr(kind, a.name).__get__, getattr(kind, a.name).__set__) for a in fields(kind))
    for kind in (Request, Response)
}
"""How each field is read and written past ``__getattr__``, which would decode, and past what keeps it frozen."""
_RESPONSE_BODY = ("message", "finish_reason", "usage", "id", "model", "more", "params")


def retouch(value: V, **changes: Any) -> V:
    """*value* with other fields that are not of its body: its bytes stay, and it is not decoded for this."""
    new = object.__new__(type(value))
    for name, read, write in _SLOTS[type(value)]:
        if name in changes:
            write(new, changes[name])
            continue
        try:
            write(new, read(value))
        except AttributeError:
            continue  # a body field that nobody has looked at yet
    return new


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
