"""Live streams: seen while they run; paused, resumed and cancelled from a page."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from clippy_hookspecs import Flow
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_recorder import Exchange

from .live import Row, row, whose
from .reading import excerpt
from .timeline import told
from .view import Page, View

_SHOWN = 160


@frozen
class Stream:
    """A stream that goes on: its line, what its flow says, how many chunks came, and the end of its text.

    ``caller`` is who asked, as far as that is known, ``worker`` which of several workers it is in, "" where there is
    one.
    """

    row: Row
    state: str
    tone: str
    chunks: int
    characters: int
    tail: str
    caller: str = ""
    worker: str = ""
    age: int | None = None
    """Microseconds since it began; None where nobody knows what time it is."""


_TONES = {"paused": "held", "cancelled": "bad", "failed": "bad"}


def stream(exchange: Exchange, state: str, worker: str = "", now: float | None = None) -> Stream:
    """What is shown of a stream that goes on, at *now* in unix seconds; *state* is its flow's."""
    text = told(exchange)
    chunks = sum(piece.kind == "chunk_out" for piece in exchange.pieces) + exchange.lost
    tone, tail = _TONES.get(state, "busy"), ending(text)
    age = None if now is None else round(max(0.0, now - exchange.began) * 1e6)
    return Stream(row(exchange, excerpt(exchange)), state, tone, chunks, len(text), tail, whose(exchange), worker, age)


def ending(text: str) -> str:
    """The end of *text*, from the beginning of a word on, where there is one."""
    if len(text) <= _SHOWN:
        return text
    last = text[-_SHOWN:]
    first, space, rest = last.partition(" ")
    return f"…{rest if space and len(first) < _SHOWN // 4 and rest else last}"


def acted(flow: Flow, verb: str) -> str:
    """The state of *flow* after ``pause``, ``resume`` or ``cancel``.

    Whoever reads the stream ends it when it sees that it is cancelled, which may be a moment later.
    """
    if verb == "cancel":
        flow.cancel("cancelled in the debugger", "operator")
        return "cancelling" if flow.state in ("idle", "streaming", "paused") else flow.state
    if verb == "pause":
        flow.pause()
    else:
        flow.resume()
    return flow.state


def pages(view: View) -> list[Page]:
    """The routes of this module: the live streams, and what acts on them."""

    def running() -> list[Stream]:
        going = [one for one in view.source.latest(500) if one.state == "running" and one.stream]
        states = [(one, view.flow_state(one.id)) for one in reversed(going)]
        now = view.now()
        return [stream(one, state, view.worker(one.id), now) for one, state in states if state is not None]

    async def page(request: RawRequest) -> RawReply:
        return view.page(request, "streams.html", streams=running())

    async def api(request: RawRequest) -> RawReply:
        return view.data({"streams": [_as_json(one) for one in running()]})

    async def act(request: RawRequest) -> RawReply:
        """``POST /api/streams/ID/pause``, ``resume`` or ``cancel``: what the flow's state is then."""
        *_, wanted, verb = request.url.partition("?")[0].split("/")
        flow = view.source.flow(wanted)
        state = acted(flow, verb) if flow is not None else await view.act_elsewhere(wanted, verb)
        if state is None:
            return view.data({"error": "no such stream is running"}, 404)
        return view.json({"id": wanted, "state": state})

    return [("GET", "/streams", page), ("GET", "/api/streams", api), ("POST", "/api/streams/*", act)]


def _as_json(one: Stream) -> dict[str, Any]:
    return {
        "id": one.row.id,
        "model": one.row.model,
        "began": one.row.began,
        "state": one.state,
        "chunks": one.chunks,
        "characters": one.characters,
        "tail": one.tail,
        "caller": one.caller,
        "worker": one.worker,
    }
