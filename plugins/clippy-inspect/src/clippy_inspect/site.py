"""All pages in one place: what a server of its own and a gateway offer."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

from clippy_hookspecs import Headers
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_serving import Pages, text_reply

from . import again, assets, conversations, dashboard, events, live, one, profile_pages, streams
from .access import ENTER
from .door import HEADERS, Door
from .view import Handler, Page, View

MODULES: tuple[ModuleType, ...] = (
    live, one, streams, again, dashboard, profile_pages, conversations, events, assets,
)  # fmt: skip
"""Each has ``pages(view)``: its routes as (method, path, handler).  A new one stands here and its paths in paths.py."""


def all_pages(view: View, door: Door) -> Iterable[Page]:
    """Every route there is, as (method, path, handler)."""
    yield "GET", "/open/*", door.open
    yield "POST", "/api/link", door.renew
    yield "POST", ENTER, door.enter
    yield "GET", "/ws", _no_websocket
    for module in MODULES:
        for method, path, handler in module.pages(view):
            looks = method == "GET" and module not in (events, assets) and view.others is not None
            yield method, path, _having_looked(view, handler) if looks else handler


def application(view: View, door: Door) -> Pages:
    """The pages as an ASGI application that asks *door* about every request."""
    made = Pages(guard=door.guard, headers=HEADERS)
    for method, path, handler in all_pages(view, door):
        made.route(method, path, handler)
    return made


def guarded(view: View, door: Door) -> Iterable[Page]:
    """The pages for somebody else's server, each of which asks *door* first and sends our headers."""
    for method, path, handler in all_pages(view, door):
        yield method, path, _behind(door, handler)


def _having_looked(view: View, handler: Handler) -> Handler:
    """*handler*, once the view knows what the other workers have."""

    async def answer(request: RawRequest) -> RawReply:
        await view.look()
        return await handler(request)

    return answer


def _behind(door: Door, handler: Handler) -> Handler:
    async def answer(request: RawRequest) -> RawReply:
        found = door.guard(request, False)
        if found is None:
            found = await handler(request)
        names = {name.lower() for name, _ in found.headers.pairs}
        more = [(name, value) for name, value in HEADERS.items() if name not in names]
        return RawReply(found.status, Headers((*found.headers.pairs, *more)), found.body, found.extensions)

    return answer


async def _no_websocket(request: RawRequest) -> RawReply:
    headers = {"upgrade": "HTTP/1.1"}
    return text_reply(426, "There is no websocket here; /api/events is a stream of server-sent events.\n", headers)
