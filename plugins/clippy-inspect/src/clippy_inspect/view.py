"""What every page is made with: where requests come from, how a page looks, and what its reader may do."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs

import jinja2
from attrs import define, field, frozen
from clippy_hookspecs import Flow, Host
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_recorder import Exchange
from clippy_serving import json_reply, reply
from markupsafe import Markup

from . import numbers
from .pace import Pace, Rate
from .text import visible

if TYPE_CHECKING:
    import asyncio

    from .together import Together

Handler = Callable[[RawRequest], Awaitable[RawReply]]
Page = tuple[str, str, Handler]


class Source(Protocol):
    """Where requests come from: a recorder at work, or a recording."""

    def latest(self, limit: int = 200, before: str | None = None) -> tuple[Exchange, ...]:
        """The newest exchanges, newest last; those before the exchange with the id *before*."""
        ...

    def find(self, wanted: str, /) -> Exchange | None: ...
    def subscribe(self, callback: Callable[[str], None], /) -> Callable[[], None]: ...
    def flow(self, wanted: str, /) -> Flow | None: ...


@frozen
class Place:
    """An entry of the navigation."""

    path: str
    name: str


PLACES = (
    Place("/", "Requests"),
    Place("/streams", "Streams"),
    Place("/dashboard", "Dashboard"),
    Place("/profile", "Profiler"),
    Place("/conversations", "Conversations"),
)


@define(eq=False)
class View:
    """Pages render with ``page`` (a template below ``templates/``) and answer data with ``json``.

    ``csrf`` tells the value with which the pages of a request's browser may act.  ``host``
    is the program's own, where there is one; ``live`` is false where nothing can change any more.
    """

    source: Source
    csrf: Callable[[RawRequest], str] = field(default=lambda request: "", repr=False)
    host: Callable[[], Host | None] = field(default=lambda: None, repr=False)
    bare: Host | None = field(default=None, repr=False)
    """Where there is no program: one that can tell an answer in another wire API, as a caller got it."""
    live: bool = True
    title: str = "clippy"
    kept: int = 500
    """Requests that the source keeps: beyond them older ones were forgotten."""
    now: Callable[[], float] = field(default=time.time, repr=False)
    pace: Pace | None = field(default=None, repr=False)
    """Counts requests as they begin; None where that is over, as in a recording."""
    apart: bool = False
    """Whether the pages run in an event loop that the program knows nothing of, and so nobody closes a host in it."""
    loop: Callable[[], asyncio.AbstractEventLoop | None] = field(default=lambda: None, repr=False)
    """Where the requests of a gateway run; None for a program."""
    others: Together | None = field(default=None, repr=False)
    """The other workers of a gateway, whose requests ``source`` has, too; None where there are none."""

    def page(self, request: RawRequest, template: str, status: int = 200, **values: Any) -> RawReply:
        """The template as a whole page, or as the part of one that htmx asked for (header ``HX-Request``).

        Every value is escaped, and what cannot be seen in it is made visible, unless it is ``Markup`` of ours.
        """
        here = "/" + request.url.partition("?")[0].split("/")[1]
        text = (
            _templates()
            .get_template(template)
            .render(
                places=PLACES,
                here={"/requests": "/"}.get(here, here),
                csrf=self.csrf(request),
                live=self.live,
                app=self.title,
                can_send=self.host() is not None,
                several=self.others is not None,
                missing=self.missing,
                only_main=request.headers.get("hx-request") == "true",
                **values,
            )
        )
        return reply(status, text.encode("utf-8"), "text/html; charset=utf-8")

    def json(self, value: Any, status: int = 200) -> RawReply:
        return json_reply(value, status)

    def data(self, value: Mapping[str, Any], status: int = 200) -> RawReply:
        """*value* as JSON, and where there are several workers what is missing of them."""
        return self.json(value if self.others is None else {**value, "missing": self.missing}, status)

    # --- of other workers, where there are any ------------------------------------------------------------------------

    async def look(self) -> None:
        """Have ``source`` know what the others have by now."""
        if self.others is not None:
            await self.others.look()

    async def whole(self, wanted: str) -> Exchange | None:
        """The call with this id and all that is known of it, wherever it is kept; None if it is not."""
        return self.source.find(wanted) if self.others is None else await self.others.whole(wanted)

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not shown because a worker does not answer: sentences."""
        return () if self.others is None else self.others.missing

    def flow_state(self, wanted: str) -> str | None:
        """What the flow of a stream says that goes on; None if none does."""
        flow = self.source.flow(wanted)
        if flow is not None:
            return flow.state
        return None if self.others is None else self.others.flow_elsewhere(wanted)

    def worker(self, wanted: str) -> str:
        """What the worker is called that a call is in; "" where there is one."""
        return "" if self.others is None else self.others.worker(wanted)

    async def act_elsewhere(self, wanted: str, verb: str) -> str | None:
        """The state of a stream after *verb* that another worker holds; None if none does."""
        return None if self.others is None else await self.others.act(wanted, verb)

    def rates(self) -> tuple[Rate, ...] | None:
        """Requests that begin a second, as they were counted; None where nobody counts."""
        counting = self.others or self.pace
        return None if counting is None else counting.rates()

    def not_found(self, request: RawRequest, what: str) -> RawReply:
        return self.page(request, "missing.html", 404, what=what)


def arguments(request: RawRequest) -> Mapping[str, str]:
    """The query of a request; of a name that is there several times the last."""
    _, _, query = request.url.partition("?")
    return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True, max_num_fields=50).items()}


def part_of(request: RawRequest, number: int) -> str:
    """The *number*-th part of the path, from 0: of ``/requests/ID`` 1 is the id."""
    return request.url.partition("?")[0].split("/")[number + 1]


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("clippy_inspect"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in numbers.__all__:
        environment.filters[name] = getattr(numbers, name)
    environment.filters["visible"] = visible
    return environment


def _shown(value: Any) -> Any:
    return value if isinstance(value, Markup) else visible(str(value)) if value is not None else ""
