"""How a request takes part in a flight: what it shares when it leads, and what becomes of what it gets when it follows.

It calls no hook: whatever comes from the flight goes the way of a stored answer, or of a stream of the request's own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen
from clippy_hookspecs import AttemptRefused, CacheEntry, Join, PluginError, Response, StateStore

from . import keys
from .across import Across
from .attempt import AttemptsFailed, Failed
from .chains import Step
from .deadlines import exceeded
from .flights import Seat
from .loops import running_library
from .outcomes import ALONE, Alone, Landed, Made, Outcome, Told
from .records import new_entry, new_provenance
from .request_context import Context
from .runtime import SyncRuntime, TimeIsUp
from .shared_source import SharedSource, copied
from .shared_stream import Head, entry_from
from .sources import Broken, EndedEarly
from .state_memory import MemoryStateStore
from .storing import concerns_others, usable
from .streaming import LiveStream
from .untouched import retouch
from .wire import APIS, decode_response, encode_response
from .wire.base import StreamEvent
from .wire.openai_chat import wants_usage

if TYPE_CHECKING:
    from .pipeline import Pipeline, Result

FLIGHT = "flight"
"""The reason in the provenance of an answer that another request got."""
BOARDINGS = 3
"""Flights that a request waits for, one after the other, when each of them brings it nothing."""


@frozen
class Joined:
    """That plugin *by* wants a request to share a flight, which has asked the caches at *moment*."""

    by: str
    moment: int
    shared: bool


def joined(pipeline: Pipeline, decision: Join, step: Step, moment: int) -> Joined | None:
    """What comes of a plugin's Join; None where the request must go alone.

    A request of a plugin's own, inside another, never waits for a flight: that one's leader may be waiting for it.
    Neither does one that would block the event loop of its leader, nor one whose answer nobody may keep: others would
    get it, in this process or through a store.
    """
    if decision.key != pipeline.key:
        why = "returned a Join with another key than it was asked with; flights never cross keys, which hold the scope"
        pipeline.chains.faults.note(step, PluginError(step.blame(why)))
        return None
    if pipeline.ctx.parent is not None or not pipeline.ctx.cache_control.store:
        return None
    if isinstance(pipeline.runtime, SyncRuntime) and running_library() is not None:
        return None
    return Joined(step.plugin, moment, decision.shared)


_OF_THE_LEADER = frozenset({"PoolTimeout"})
"""Exceptions of httpx and httpx2 about the leader's own connections: the next one may have one that is free."""

# --- leading ----------------------------------------------------------------------------------------------------------


def share(pipeline: Pipeline, result: Any) -> None:
    """What the leader of a flight got, before its own plugins have looked at it, for all who follow."""
    seat = pipeline.seat
    if seat is None or not seat.leads:
        return
    if isinstance(result, Failed) and not concerns_others(result.info, pipeline.ctx):
        return  # the next one asks, with its own credentials
    stream = result.stream if isinstance(result, Failed) else result
    if isinstance(stream, LiveStream):
        head = Head(
            stream.status,
            keys.storable_headers(stream.headers, pipeline.ctx.share),
            pipeline.ctx.route.name,
            stream.passage.foreign,
            wants_usage(pipeline.request),
            stream.given_up,
            pipeline.ledger.answering(),
        )
        stream.source = seat.share(stream.source, head)
        pipeline.reply = None  # it is closed with the stream, by whoever reads it last
        return
    outcome = _outcome(pipeline, result)
    if outcome is not None:
        seat.land(outcome)


def _outcome(pipeline: Pipeline, result: Any) -> Outcome | None:
    """What an answer or a failure is for the others; None for what concerns nobody else, so that the next one leads."""
    ctx = pipeline.ctx
    if isinstance(result, Failed):
        own = isinstance(result.cause, AttemptRefused) or type(result.cause).__name__ in _OF_THE_LEADER
        if own or ctx.time_left() == 0.0:
            return None
        told = result.response
        if told is not None:
            told = retouch(told, headers=keys.storable_headers(told.headers, ctx.share), extensions={})
        return Told(evolve(result.info, partial=None), told, copied(result.cause), ctx.route.name)
    if isinstance(result, CacheEntry):
        return Landed(result, ctx.route.name, ctx.provenance)
    if isinstance(result, Response) and result.provenance.source == "plugin":
        return Made(result) if ctx.share == "caller" else None  # a plugin may have made it for its caller
    if isinstance(result, Response) and result.status < 300:
        return Landed(_entry(result, ctx.share), ctx.route.name, None, pipeline.ledger.answering())
    return ALONE


def _entry(response: Response, share: str) -> CacheEntry:
    """An answer of the provider's in its wire form, as it may be given to others."""
    headers = keys.storable_headers(response.headers, share)
    if response.raw is None:  # translated, from another route
        headers = headers.without("content-type").replace("content-type", "application/json")
        return new_entry(decode_response(APIS[response.api], response.status, headers, encode_response(response), {}))
    return new_entry(retouch(response, headers=headers, extensions={}))


def follows(pipeline: Pipeline) -> bool:
    """Whether the answer is another request's: what becomes of a failure of it is decided there."""
    return pipeline.seat is not None and not pipeline.seat.leads


def pays(pipeline: Pipeline) -> bool:
    """Whether the answer that has just ended counts as this request's own, and is its to store."""
    seat = pipeline.seat
    if seat is None or (seat.leads and seat.settle()):
        return True
    if not seat.settle():
        return False
    route = pipeline.ctx.route.name if seat.reader is None else seat.reader.stream.head.route
    if route != pipeline.ctx.route.name:
        pipeline.stored_as = None  # its leader had switched: what is kept under our key must be of our route
    pipeline.ctx.provenance = new_provenance("provider", None, route, reason=FLIGHT)
    return True


def _barred(ctx: Context, route: str) -> bool:
    return route != ctx.route.name and ctx.barred(route) is not None


def suits(brought: Landed | Made | Told, ctx: Context) -> bool:
    """Whether a request may have what a flight brought.

    Its leader may have taken an older answer out of a cache, or switched to a route that this caller may not use: the
    key that they share is that of the planned one.
    """
    if not isinstance(brought, Made) and _barred(ctx, brought.route):
        return False
    if not isinstance(brought, Landed) or brought.provenance is None:
        return True
    late = brought.provenance.stale and ctx.cache_control.max_stale is not None
    return usable(brought.entry, ctx) and not late


# --- following --------------------------------------------------------------------------------------------------------


async def follow(pipeline: Pipeline, request: Any) -> Result | None:
    """What the flight brings; None if this request asks for itself, as its leader or alone.

    Raises AttemptsFailed, FlowCancelled, and what the plugins raise.
    """
    found, key = pipeline.joined, pipeline.key
    if found is None or key is None:
        return None
    for _ in range(BOARDINGS):
        ctx = pipeline.ctx
        barred = partial(_barred, ctx)
        seat = pipeline.flights.board(key, pipeline.runtime, pipeline.flow, ctx.deadline, found.by, barred)
        pipeline.seat = pipeline.ledger.seat = seat
        try:
            brought = await seat.arrive()
        except TimeIsUp:
            raise _too_late() from None
        if brought is None and pipeline.flights.landed_since(key, found.moment):
            entry = await pipeline.lookup(request)
            if entry is not None:
                share(pipeline, entry)
                return await pipeline.deliver_stored(entry)
        if brought is None:
            elsewhere = await _elsewhere(pipeline, seat) if found.shared else None
            return None if elsewhere is None else await _landed(pipeline, seat, elsewhere)
        if isinstance(brought, SharedSource):
            result = await _streamed(pipeline, seat, brought)
            if result is not None:
                return result
        elif not isinstance(brought, Alone) and suits(brought, ctx):
            return await _landed(pipeline, seat, brought)
        seat.leave()
        if seat.across is not None:  # inherited meanwhile
            await pipeline.runtime.settle(seat.finish)
        pipeline.seat = pipeline.ledger.seat = None
        if not isinstance(brought, SharedSource):
            break
    return None


async def _elsewhere(pipeline: Pipeline, seat: Seat) -> Landed | Told | None:
    """What another process got, also for those who wait in this one; None when this request asks for all of them."""
    store, runtime, ctx = pipeline.ctx.services.get(StateStore), pipeline.runtime, pipeline.ctx
    if isinstance(store, MemoryStateStore):
        return None
    flights = pipeline.flights
    seat.across = Across(store, seat.flight.key, pipeline.request.api, runtime, flights.health)
    try:
        brought = await seat.across.arrive(pipeline.flow, ctx.deadline, pipeline.ledger.began_at)
    except TimeIsUp:
        raise _too_late() from None
    if brought is not None and not suits(brought, ctx):
        return None
    if brought is not None:
        seat.land(brought)
        seat.pays = False
    return brought


async def _landed(pipeline: Pipeline, seat: Seat, brought: Landed | Made | Told) -> Result:
    """What has come in one piece."""
    if isinstance(brought, Landed):
        return await _stored(pipeline, seat, brought.own(), brought)
    if isinstance(brought, Made):
        return await pipeline.deliver_made(retouch(brought.response, extensions=pipeline.own()))
    pipeline.failure = brought.info
    if brought.response is None:
        raise AttemptsFailed(brought.info, copied(brought.cause))
    pipeline.ledger.status = brought.response.status
    await pipeline.ledger.close("failed", brought.info)
    return retouch(brought.response, extensions=pipeline.own())


async def _stored(pipeline: Pipeline, seat: Seat, entry: CacheEntry, landed: Landed) -> Result:
    given = new_provenance("cache", seat.by, landed.route, 0.0, reason=FLIGHT)
    pipeline.ctx.provenance, pipeline.ledger.instead = landed.provenance or given, landed.answering_model
    return await pipeline.deliver_stored(entry)


async def _streamed(pipeline: Pipeline, seat: Seat, source: SharedSource) -> Result | None:
    """What another's stream says; None if it broke before this caller got anything of it."""
    head, ctx = source.stream.head, pipeline.ctx
    if ctx.stream and head.tells_usage == wants_usage(pipeline.request):
        ctx.provenance = new_provenance("cache", seat.by, head.route, 0.0, reason=FLIGHT)
        pipeline.ledger.status, pipeline.ledger.instead = head.status, head.answering_model
        stream = pipeline.live(source, head.status, head.headers, pipeline.own())
        stream.passage.foreign, stream.given_up = head.foreign, head.given_up
        if head.given_up is not None:
            pipeline.failure = head.given_up
            await pipeline.ledger.close("failed", head.given_up)
        return await pipeline.deliver_live(stream)
    if ctx.stream:
        seat.settle()  # its caller gets another stream than the provider's, which is no answer of the provider's to pay
    try:
        events = await _all(source)
    except Broken as broken:
        if ctx.time_left() == 0.0:
            raise _too_late() from None
        if head.given_up is not None:
            pipeline.failure = head.given_up
            raise AttemptsFailed(head.given_up, broken.cause) from None
        return None
    finally:
        await source.aclose()
    entry = entry_from(events, pipeline.request.api, head)
    if not ctx.stream and pays(pipeline):
        pipeline.ledger.instead = head.answering_model
        return await pipeline.deliver_live(entry.response)
    return await _stored(pipeline, seat, entry, Landed(entry, head.route, None, head.answering_model))


async def _all(source: SharedSource) -> list[StreamEvent]:
    """All events of a stream.  Raises Broken if it does not end well."""
    events: list[StreamEvent] = []
    while (event := await source.next()) is not None:
        events.append(event)
        if any(chunk.kind == "error" for chunk in event.chunks):
            raise Broken(EndedEarly("the provider sent an error inside the stream"), "stream")
    if not source.complete:
        raise Broken(EndedEarly("the answer ended before its terminal event"), "stream")
    return events


def _too_late() -> AttemptsFailed:
    over = exceeded("total")
    return AttemptsFailed(over.info, over)
