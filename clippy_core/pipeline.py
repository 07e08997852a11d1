"""The way of one request.  This file calls every hook of a request; nothing else does but the stream it hands out.

    1 decode            the entrance (transports.py, client.py)   bytes -> Request
    2 pre_request       _enter
    3 cache_lookup      lookup, aboard.py
    4 compress_context  _fit
    5 attempt           _attempts -> _attempt: pre_attempt -> send -> classify_error -> post_attempt -> on_error
    6 on_chunk          streaming.LiveStream
    7 on_response       _finish, stream_completed; then cache_store
    8 audit             Ledger.close, exactly once

A hook decides, this file acts: it sends, sleeps, switches, stores and closes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from attrs import define, evolve, field
from clippy_hookspecs import (
    UNKNOWN_ERROR,
    Answer,
    AttemptRefused,
    ByteStream,
    CacheEntry,
    Chunk,
    Continue,
    ErrorInfo,
    Headers,
    Join,
    PluginError,
    RawReply,
    Refusal,
    Request,
    Response,
    Restart,
    Retry,
    RouteInfo,
    Stale,
    Switch,
)

from . import aboard, keys, resuming, routes
from .attempt import AttemptsFailed, Failed, Sender, failure_of
from .chains import Chains
from .deadlines import exceeded, for_attempt
from .encoding import decoded_headers, decoding_for, only_readable
from .faults import plugin_info
from .flights import Flights, Seat
from .flow import FlowHandle
from .judging import (
    check_signature,
    error_for,
    event_json,
    guards,
    harmless,
    is_event_stream,
    looked_at,
    refusal_info,
    signed,
    socket_shutdown,
    unjudged,
)
from .ledger import Ledger, State
from .opaque import OpaqueStream
from .pairing import pairing_fault
from .passage import Passage
from .records import new_entry, new_provenance
from .request_context import Context
from .runtime import FlowCancelled, Runtime, TimeIsUp
from .settings import Settings
from .sources import (
    Broken,
    EventSource,
    Phase,
    ReplaySource,
    Source,
    UnaskedStream,
    UnknownEncoding,
    close_quietly,
    read_whole,
    until_commit,
)
from .storing import EVER, Fits, answers, answers_late, keeps_failure, lateness, make_key, to_store, usable, waited
from .streaming import LiveStream
from .untouched import as_written, keep_answer, keep_body, owned, retouch
from .whole import assembled, entry_of
from .wire import APIS, StreamDecoder, carries_error, decode_response
from .wire.assemble import replay
from .wire.openai_chat import wants_usage
from .wire.translate import TranslatedSource, is_answer, made_at, translate_response

Result = Response | LiveStream | OpaqueStream


@define(eq=False)
class Pipeline:
    """One request under way.  ``wants_values``: the caller reads our values, not an HTTP body.

    ``again`` says, asked with the attempts made so far, whether the caller's SDK, from which the host took that over,
    would send the request once more.  ``caller`` is the digest of the request's credentials, None until it is needed.
    """

    request: Request
    ctx: Context
    flow: FlowHandle
    chains: Chains
    runtime: Runtime
    sender: Sender
    settings: Settings
    wants_values: bool
    again: Callable[[int], bool] | None
    caller: str | None
    flights: Flights
    ledger: Ledger = field(init=False)
    came_as: Request = field(init=False)
    key: str | None = field(init=False)
    stored_as: str | None = field(init=False)
    joined: aboard.Joined | None = field(init=False)
    """That a plugin wants this request to share the flight of an equal one."""
    seat: Seat | None = field(init=False)
    as_sent: Response | None = field(init=False)
    """The provider's answer in one piece, if its head is right for the body we hand out unless a plugin changes it."""
    failure: ErrorInfo | None = field(init=False)
    _sent: Request = field(init=False)
    """The request of the last attempt, before pre_attempt."""
    reply: RawReply | None = field(init=False)
    entry: CacheEntry | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.came_as = self.request
        self.key = self.stored_as = self.joined = self.seat = self.as_sent = self.failure = self.reply = None
        self.entry = None
        content = self.settings.audit_content
        self.ledger = Ledger(self.ctx, self.runtime, self.chains, content, self.request, self.flow)

    async def answer(self) -> Result:
        """The answer to the request, whatever becomes of it.

        Raises Refusal, PluginError, :class:`AttemptsFailed`, :class:`FlowCancelled`.
        """
        try:
            return await self._way()
        except Refusal as refusal:
            await self._wind_up("refused", refusal_info(refusal))
            raise
        except (AttemptsFailed, PluginError) as error:
            info = error.info if isinstance(error, AttemptsFailed) else plugin_info(error, self.chains)
            await self._wind_up("failed", info)
            raise
        except FlowCancelled:
            await self._wind_up("cancelled", None)
            raise
        except Exception as error:
            await self._wind_up("failed", ErrorInfo(kind=type(error).__name__))
            raise
        except BaseException:
            await self.runtime.settle(lambda: self._wind_up("cancelled", None), cancelled=True)
            raise

    async def _way(self) -> Result:
        if self.chains.watchers:
            self.request = self.ledger.request = as_written(self.request)
            self.chains.emit("request", self.request, self.ctx, self.ledger.asked)
        if self.ctx.directives:
            self.settings.readers.check(self.ctx.directives)
        if self.chains.pre_request and (made := await self._enter()) is not None:
            return await self.deliver_made(made)
        entered = self.ledger.looked_at = self.request
        entry = await self.lookup(entered)
        if entry is not None:
            return await self.deliver_stored(entry)
        if self.joined is not None and (brought := await aboard.follow(self, entered)) is not None:
            return brought
        return await self._attempts(await self._fit(entered))

    # --- 2 pre_request ------------------------------------------------------------------------------------------------

    async def _enter(self) -> Response | None:
        """What a plugin answers.  What they made of the request is the request from now on."""
        result = await self.chains.fold(self.chains.pre_request, self.request, (self.ctx,), self.ledger)
        if isinstance(result, Answer):
            return self._made(result, None)
        self.request = self.ledger.request = keep_body(self.request, result)
        return None

    # --- 3 cache_lookup -----------------------------------------------------------------------------------------------

    async def lookup(self, request: Request) -> CacheEntry | None:
        """A stored answer.  Caches that were asked before the one that had it are told."""
        caches, control = self.chains.cache_lookup, self.ctx.cache_control
        if not ((caches and control.lookup) or (self.chains.cache_store and control.store)):
            return None
        if keys.may_cache(request):
            self._make_keys(request)
        if self.key is None or not control.lookup:
            return None
        found, step = await self._stored_answer(self.key, usable)
        if found is None:
            return None
        if step is not caches[0] and control.store and not found.note:
            earlier = {asked.plugin for asked in caches[: caches.index(step)]}
            behind = tuple(store for store in self.chains.cache_store if store.plugin in earlier)
            await self.chains.all(behind, (self.key, found, request, self.ctx), self.ledger)
        return self._found(found, step.plugin, found.note or None)

    async def _stale(self, decision: Stale) -> CacheEntry | None:
        """What a cache still keeps of an answer whose time is over, since there is no other."""
        if self.key is None or not (within := lateness(decision, self.ctx)):
            return None
        found, step = await self._stored_answer(self.key, answers_late, within)
        return None if found is None else self._found(found, step.plugin, decision.reason)

    async def _stored_answer(self, key: str, fits: Fits, within: float = 0.0) -> tuple[CacheEntry | None, Any]:
        """What a cache has that fits, and which.  A Join waits until all of them were asked."""
        asked, moment, self.ctx.stale_within = self.chains.cache_lookup, self.flights.now(), within
        while True:
            found, step = await self.chains.first(asked, (key, self.request, self.ctx), self.ledger)
            if isinstance(found, Join):
                self.joined = self.joined or aboard.joined(self, found, step, moment)
            elif found is None or (found.response.api == self.request.api and fits(found, self.ctx)):
                return found, step
            asked = asked[asked.index(step) + 1 :]

    def _found(self, entry: CacheEntry, cache: str, reason: str | None = None) -> CacheEntry:
        age = max(0.0, (now := self.runtime.clock.time()) - entry.stored_at)
        late = self.ctx.stale_within > 0 or (entry.expires_at is not None and entry.expires_at < now)
        self.ctx.provenance = new_provenance("cache", cache, self.ctx.route.name, age, late, reason)
        self.entry = entry
        return entry

    def _make_keys(self, request: Request) -> None:
        came = self.came_as
        if request is came or (request.headers is came.headers and request.query == came.query):
            identity = self.ctx.account if self.caller is None else self.caller
        else:
            identity = self.settings.identity(request.headers, request.query)
        self.ctx.key = self.stored_as = self.key = make_key(request, self.ctx, identity, self.settings)

    # --- 4 compress_context -------------------------------------------------------------------------------------------

    async def _fit(self, request: Request) -> Request:
        steps, budget = self.chains.compress_context, self.settings.context_tokens(self.ctx.route.name)
        while steps and request.endpoint.chat:
            smaller, step = await self.chains.first(steps, (request, budget, self.ctx), self.ledger)
            steps = () if step is None else steps[steps.index(step) + 1 :]
            if step is None or smaller is request:
                continue
            fault = pairing_fault(request.messages, smaller.messages)
            if fault is None:
                request = keep_body(request, smaller)
            elif step.on_failure == "raise":
                raise PluginError(step.blame(f"broke the conversation: {fault}"), step.plugin, step.hook)
            else:
                self.chains.faults.note(step, PluginError(step.blame(f"broke the conversation: {fault}")))
        return request

    # --- 5 the attempts -----------------------------------------------------------------------------------------------

    async def _attempts(self, request: Request) -> Result:
        """Send until an answer comes or nobody wants to go on."""
        while True:
            if self.ctx.time_left() == 0.0:
                over = exceeded("total")
                raise AttemptsFailed(over.info, over)
            self._sent = request
            result = await self._attempt(request)
            if not isinstance(result, Failed):
                return await self.deliver_live(result)
            decision = await self._decide(result, request)
            if not isinstance(decision, (Retry, Switch, CacheEntry, Answer)):
                return await self._give_up(result)
            await self._drop(result)
            if isinstance(decision, Retry):
                self.ledger.waited = decision.after
                await self.runtime.sleep(decision.after, self.flow)
            elif isinstance(decision, Switch):
                request = await self._fit(self._switch(self.request, decision))
            elif isinstance(decision, CacheEntry):
                aboard.share(self, decision)
                return await self.deliver_stored(decision)
            else:
                made = self._made(decision, self.ctx.route.name)
                aboard.share(self, made)
                return await self.deliver_made(made)

    async def _attempt(self, request: Request) -> Result | Failed:
        """One attempt: pre_attempt, send, and as much of the answer as is needed to know whether it failed."""
        self.ledger.begin_attempt()
        try:
            prepared = request
            if self.chains.pre_attempt:
                changed = await self.chains.fold(self.chains.pre_attempt, request, (self.ctx,), self.ledger)
                prepared = keep_body(request, changed)
            return await self._send(prepared)
        except AttemptRefused as refused:
            await self.ledger.end_attempt("error", refused.info, refused.info.status)
            return Failed(refused.info, "connect", cause=refused)
        except Broken as broken:
            if broken.phase in ("connect", "request"):  # nothing was answered; what was is of the attempt before
                self.ledger.status = None
            await self._close_reply()
            info = await self._judge(broken.phase, exception=broken.cause)
            return Failed(info, broken.phase, cause=broken.cause)

    async def _send(self, request: Request) -> Result | Failed:
        check_signature(request)
        limits, now = self.settings.deadlines(self.ctx.route.name), self.runtime.clock.now()
        deadlines, timeouts = for_attempt(limits, self.ctx.deadline, now)
        reads = looked_at(request, self.chains, self.wants_values, self.stored_as is not None, self.seat is not None)
        if reads and not signed(request.headers):
            request = keep_body(request, only_readable(request))
        if self.chains.observe:
            request = as_written(request)
            self.chains.emit("attempt", request, self.ctx)
        head_by, which = deadlines.next(now, False)
        try:
            reply = await self.runtime.bounded(self._head(request, timeouts), head_by, self.flow, None)
        except TimeIsUp:
            raise Broken(exceeded(which), "request") from None
        self.ledger.status = reply.status
        self.chains.emit("head", (reply.status, reply.headers), self.ctx)
        if isinstance(reply.body, bytes):
            self.chains.emit("bytes", reply.body, self.ctx)
            return await self._whole(request, reply, reply.body)
        judges = reply.status >= 400 and (self.chains.want_answers or bool(self.chains.classify_error))
        encoding = decoding_for(reply.headers) if reads or judges else None
        if encoding is None:
            looks = self.wants_values or self.ctx.committed or guards(self.chains.on_response + self.chains.on_chunk)
            if reads and looks:
                raise Broken(UnknownEncoding(reply.headers["content-encoding"]), "response")
            return self._opaque(reply, reply.body, deadlines.total)
        if reply.status < 300 and request.endpoint.streams and is_event_stream(reply.headers):
            if self.wants_values and not request.stream:
                raise Broken(UnaskedStream(), "response")
            source = EventSource(
                reply.body,
                StreamDecoder(APIS[request.api]),
                encoding,
                self.runtime,
                self.flow,
                deadlines,
                self.ctx,
                socket_shutdown(reply),
                self._bytes_seen(),
            )
            return await self._stream(request, reply, source)
        body = await read_whole(reply, encoding, self.runtime, self.flow, deadlines, self._bytes_seen())
        await self._close_reply()
        return await self._whole(request, reply, body)

    async def _head(self, request: Request, timeouts: Mapping[str, float]) -> RawReply:
        try:
            self.ledger.sends(request)
            # Kept at once: an answer that comes as the deadline passes must still be closed.
            self.reply = await self.sender.send(request, timeouts)
            return self.reply
        except Exception as error:
            raise Broken(error, self.sender.phase(error)) from error

    async def _whole(self, request: Request, reply: RawReply, body: bytes) -> Response | Failed:
        """An answer in one piece, or the failure it tells of."""
        api = APIS.get(request.api)
        response = decode_response(api, reply.status, decoded_headers(reply.headers), body, self.own(reply))
        foreign = request.api != self.request.api
        failed = reply.status >= 400 or (request.endpoint.body == "json" and carries_error(api, body))
        if not failed and (not (foreign or self.ctx.committed) or is_answer(response)):
            if foreign:
                return translate_response(response, self.request.api, self.ctx.clock.time())
            if "content-encoding" not in reply.headers and "transfer-encoding" not in reply.headers:
                self.as_sent = response
            return response
        info = await self._judge("response", status=reply.status, headers=reply.headers, body=body)
        told = error_for(self.request, reply.status, body, info) if foreign else response
        return Failed(info, "response", response=told)

    async def _stream(self, request: Request, reply: RawReply, live: EventSource) -> LiveStream | Failed:
        """A streamed answer, held until its commit point: until then a failure can be repaired unseen."""
        source: Any = live
        if request.api != self.request.api:
            made = made_at(reply.headers, self.ctx.clock.time())
            source = TranslatedSource(live, self.request.api, made, wants_usage(self.request))
        stream = self.live(source, reply.status, decoded_headers(reply.headers), self.own(reply))
        stream.passage.foreign = source is not live
        if not self.chains.on_error:
            return stream
        held, error, broken = await until_commit(source)
        source.give_back(held)
        if error is None and broken is None:
            return stream
        body, cause = (event_json(error), None) if error is not None else (b"", broken)
        stream.given_up = info = await self._judge(
            "stream", status=reply.status, headers=reply.headers, body=body, exception=cause
        )
        return Failed(info, "stream", stream=stream, cause=cause)

    async def _judge(self, phase: Phase, **seen: Any) -> ErrorInfo:
        """classify_error, then post_attempt: exactly once for this attempt."""
        failure = failure_of(self.request, self.ctx, phase, **seen)
        found, _ = await self.chains.first(self.chains.classify_error, (failure, self.ctx), self.ledger)
        info = unjudged(failure, found)
        await self.ledger.end_attempt("error", info, failure.status)
        return info

    async def _decide(self, failed: Failed, request: Request, unfit: tuple[str, ...] = ()) -> Any:
        """on_error's decision, None if there is none that can be carried out; *unfit* are routes that could not."""
        decision, step = await self.chains.first(self.chains.on_error, (failed.info, self.ctx), self.ledger)
        if isinstance(decision, Stale):
            entry = await self._stale(decision)
            if entry is not None:
                return entry
            decision, self.ledger.at = decision.otherwise, step  # the caches were asked in between
        if isinstance(decision, Retry):
            left = self.ctx.time_left()
            if not self._repeatable(request, failed.phase) or (left is not None and decision.after >= left):
                return None
        if isinstance(decision, Switch):
            name, known = decision.route, self.settings.routes
            if not request.endpoint.chat:
                return None  # a route's address is one for chat; an upload or an embedding has no place there
            if name not in known:
                why = step.blame(f"switched to route {name!r}; the configuration has {sorted(known)}")
                raise PluginError(why, step.plugin, step.hook)
            unable = self.ctx.barred(name) or routes.obstacle(self.request, known[name])
            if unable is not None:
                again = evolve(failed, info=routes.unfit(name, unable))
                return None if name in unfit else await self._decide(again, request, (*unfit, name))
        return decision

    def _repeatable(self, request: Request, phase: Phase) -> bool:
        """Whether a second sending can do no harm, or is what the caller's SDK would have done."""
        return harmless(request) or phase == "connect" or (self.again is not None and self.again(self.ctx.attempt))

    def _switch(self, request: Request, decision: Switch) -> Request:
        """Another route: its own address, API, model and credentials, and its own cache key."""
        route = self.settings.routes[decision.route]
        moved = routes.redirect(request, route)
        self.ctx.route = RouteInfo(decision.route, moved.api, moved.url)
        self.ctx.route_attempt = 0
        self.ctx.provenance = new_provenance("provider", None, decision.route, reason=decision.reason)
        self.ctx.account = partial(self.settings.identity, moved.headers, moved.query)
        if self.key is not None:
            self.stored_as = make_key(moved, self.ctx, self.ctx.account, self.settings)
        if moved.api != self.request.api:
            self.stored_as = None  # what that route's own callers would find must be an answer of its API
        return moved

    async def _give_up(self, failed: Failed) -> Result:
        """Nobody helps: the caller gets the provider's own failure."""
        self.failure = failed.info
        aboard.share(self, failed)
        told = failed.response or failed.stream
        if isinstance(told, Response) and keeps_failure(told, failed.info, self.ctx):
            await self._store(new_entry(told), failed=True)
        if told is not None:
            await self.ledger.fail(told.status, told.raw if isinstance(told, Response) else None, failed.info)
            return told
        raise AttemptsFailed(failed.info, failed.cause)

    # --- 6 to 8: the way out ----------------------------------------------------------------------------------

    async def deliver_live(self, result: Result) -> Result:
        """What the provider answered."""
        if self.ctx.provenance is None:
            self.ctx.provenance = new_provenance("provider", None, self.ctx.route.name)
        aboard.share(self, result)
        if isinstance(result, Response):
            if self.wants_values:
                result = retouch(result, provenance=self.ctx.provenance)
            if self.ctx.stream and self.wants_values and result.status < 300:
                return self.whole_as_stream(result)
            self.ctx.stream = False  # the provider answers in one piece, whatever was asked
            return await self._finish(result, "answered")
        if isinstance(result, LiveStream):
            result.obey_flow()
            result.close_when_unread_for(self.settings.abandoned_after)
        return result

    async def deliver_stored(self, entry: CacheEntry) -> Result:
        """A stored answer goes the way of a live one, through the same plugins, in the provider's own chunks."""
        response = owned(entry.response, self.ctx.provenance, self.own())
        if response.status >= 400:
            seen = {"headers": response.headers, "body": response.raw or b"", "at": entry.stored_at}
            info = await self._judge("response", status=response.status, **seen)
            response, self.failure = waited(response, info, max(0.0, self.runtime.clock.time() - entry.stored_at))
            self.ctx.stream = False
        elif self.ctx.stream:
            return self._replayed(response, deque(replay(entry, self.request)))
        if self.request.endpoint.chat and entry.events and response.usage is None:
            # It was stored from a stream whose caller had not asked for usage; a plain answer always has it.
            counted = self.ledger.estimate(self.request, [response.text])
            response = retouch(evolve(response, usage=counted), extensions=self.own())
        return await self._finish(response, "cached")

    def whole_as_stream(self, response: Response) -> LiveStream:
        """An answer in one piece, for a caller of ours who reads a stream."""
        return self._replayed(response, deque(APIS[self.request.api].split(response, self.request)))

    def _made(self, answer: Answer, route: str | None) -> Response:
        """A plugin's answer, with its name."""
        by = self.ledger.at.plugin if self.ledger.at else None
        made_by = new_provenance("plugin", by, route, reason=answer.reason)
        return owned(answer.response, made_by, self.own())

    async def deliver_made(self, response: Response) -> Result:
        """A plugin's answer, in the caller's own wire API."""
        self.ctx.provenance = response.provenance
        self.key = self.stored_as = None
        if response.api != self.request.api and self.request.api in APIS:
            response = translate_response(response, self.request.api, self.ctx.clock.time())
        if not self.ctx.stream or response.status >= 400:
            return await self._finish(response, "answered")
        return self.whole_as_stream(response)

    def _replayed(self, response: Response, events: deque[bytes]) -> LiveStream:
        bare = response.headers.without("content-type", "content-length")
        headers = bare.replace("content-type", "text/event-stream")
        source = ReplaySource(events, StreamDecoder(APIS[self.request.api]))
        self.ledger.status = response.status
        if self._tells_usage():
            self.ledger.usage = response.usage
        return self.live(source, response.status, headers, self.own())

    async def _finish(self, response: Response, outcome: str) -> Response:
        """on_response, post_attempt, cache_store, audit for an answer in one piece."""
        ledger, given = self.ledger, response
        ledger.status = response.status
        if response.status < 300 and self.chains.on_response:
            changed = await self.chains.fold(self.chains.on_response, response, (self.ctx,), self.ledger)
            if changed is not response:
                given = keep_answer(response, changed)
        if self._tells_usage() and response.status < 300:
            ledger.usage, ledger.finish_reason = response.usage, response.finish_reason
        if ledger.attempt_began is not None:
            ledger.saw_token()
            await ledger.end_attempt("ok", None, response.status, ledger.usage)
        if outcome == "answered" and self.stored_as is not None and keys.storable(response, self.request):
            await self._store(new_entry(response))
        given = ledger.given(given)
        await ledger.close(outcome)
        return given

    async def _store(self, entry: CacheEntry, *, failed: bool = False) -> None:
        """Keep what the provider sent, before any plugin changed it."""
        stores, ctx = self.chains.cache_store, self.ctx
        if self.stored_as is None or entry.response.raw is None or not stores or not ctx.cache_control.store:
            return
        if failed and (await self._stored_answer(self.stored_as, answers, EVER))[0] is not None:
            return  # an answer that can still help when the provider is down is worth more than this failure
        entry = to_store(entry, ctx, self.runtime.clock.time(), failed=failed)
        await self.chains.all(stores, (self.stored_as, entry, self.request, ctx), self.ledger)

    # --- called by the stream that was handed out -------------------------------------------------------------

    async def stream_completed(self, stream: LiveStream) -> None:
        """A stream's terminal event has come and is not handed on yet."""
        self._count(stream)
        api, passage, response = self.request.api, stream.passage, None
        if self.chains.on_response:
            response = assembled(api, passage.whole(), stream.status, stream.headers)
            changed = await self.chains.fold(self.chains.on_response, response, (self.ctx,), self.ledger)
            self.ledger.response = response
            step = self.ledger.at
            if changed is not response and step is not None:
                why = step.blame("returned a Response for a stream; it is ignored")
                self.chains.faults.note(step, PluginError(why))
        await self.ledger.end_attempt("ok", None, stream.status, self.ledger.usage)
        pays = self.entry is None and aboard.pays(self)
        if pays and passage.keep_raw and self.stored_as is not None and stream.given_up is None:
            given = response if passage.given_as_sent() else None
            whole = given or assembled(api, passage.sent, stream.status, stream.headers)
            if keys.storable(whole, self.request):
                await self._store(entry_of(whole, tuple(passage.raw)))
        await self.ledger.close("answered" if pays else "cached")

    async def stream_broke(self, stream: LiveStream, broken: Broken | None, event: Chunk | None) -> Source | None:
        """A stream broke after it was handed out; where it goes on, if a plugin wants that and it can be done."""
        cause, body = (broken.cause, b"") if broken else (None, event_json(event) if event else b"")
        info = await self._judge("stream", status=stream.status, headers=stream.headers, body=body, exception=cause)
        self.failure = info
        while not aboard.follows(self):
            info = evolve(info, partial=self._partial(stream))
            decision, step = await self.chains.first(self.chains.on_error, (info, self.ctx), self.ledger)
            request = self._resumption(stream, decision, step)
            if request is None:
                return None
            await stream.source.aclose()
            await self._close_reply()
            self.ledger.waited = decision.after
            await self.runtime.sleep(decision.after, self.flow)
            result = await self._attempt(request)
            if isinstance(result, LiveStream):
                return self._resumed(stream, decision, result.source)
            if isinstance(result, Response):
                return self._resumed(stream, decision, self.whole_as_stream(result).source)
            if not isinstance(result, Failed):
                return None
            await self._drop(result)
            info = result.info
        return None

    def _resumption(self, stream: LiveStream, decision: Any, step: Any) -> Request | None:
        """What to send so that a stream goes on, None if it must not."""
        if not resuming.wanted(decision, step, self.chains.faults, self.ctx.time_left()):
            return None
        return resuming.asked_again(decision, self._sent, stream.passage, self.wants_values, step.plugin)

    def _resumed(self, stream: LiveStream, decision: Restart | Continue, source: Source) -> Source:
        """The rest of a stream; what the attempts before it used is used."""
        self._count(stream)
        spent, self.ledger.usage = self.ledger.so_far(self._sent), None
        return resuming.resumed(decision, source, stream.passage, spent, self.request)

    def _partial(self, stream: LiveStream) -> Response | None:
        passage = stream.passage
        return assembled(self.request.api, passage.seen, stream.status, stream.headers) if passage.all_seen else None

    async def stream_failed(self, stream: LiveStream) -> ErrorInfo:
        """A stream that broke does not go on."""
        self._count(stream)
        self.failure = info = evolve(self.failure or UNKNOWN_ERROR, partial=self._partial(stream))
        await self.ledger.close("failed", info)
        return info

    async def stream_dropped(
        self, outcome: str, error: ErrorInfo | None = None, stream: LiveStream | None = None
    ) -> None:
        """A stream ended without its terminal event and without a failure of the provider."""
        if stream is not None:
            self._count(stream)
        state: State = "cancelled" if outcome in ("cancelled", "abandoned") else "error" if error else "ok"
        try:
            await self._end(outcome, state, error, self.ledger.status)
        finally:  # after the books, since this may be cut off; it may be a second answer, unknown to the stream yet
            await self._close_reply()

    # --- small things -------------------------------------------------------------------------------------------------

    def live(self, source: Source, status: int, headers: Headers, extensions: Mapping[str, Any]) -> LiveStream:
        chains, ledger = self.chains, self.ledger
        stores = bool(chains.cache_store and self.ctx.cache_control.store and self.stored_as and self.entry is None)
        passage = Passage(
            chains,
            self.ctx,
            APIS[self.request.api].writer(),
            ledger.begun,
            keep_raw=stores,
            keep_sent=stores or bool(chains.on_chunk and chains.on_error),
            keep_seen=self.wants_values or chains.want_answers,
            times=ledger.chunk_times,
        )
        return LiveStream(self, source, passage, self.runtime, self.ctx, self.flow, status, headers, extensions)

    def _opaque(self, reply: RawReply, body: ByteStream, deadline: float | None) -> OpaqueStream:
        given, abort = self.own(reply), socket_shutdown(reply)
        return OpaqueStream(self, body, self.runtime, self.flow, reply.status, reply.headers, given, deadline, abort)

    def _count(self, stream: LiveStream) -> None:
        """What a stream said of its usage and its end."""
        ledger, passage = self.ledger, stream.passage
        ledger.count(passage.whole() if passage.keep_seen else passage.sent, passage.left_out)
        if isinstance(stream.source, resuming.Resumed):
            rest = stream.source
            ledger.usage = resuming.both(rest.spent, rest.usage or ledger.estimate(self._sent, rest.texts))

    def _tells_usage(self) -> bool:
        return self.request.endpoint.chat and bool(self.chains.audit or self.chains.post_attempt)

    def own(self, reply: RawReply | None = None) -> dict[str, Any]:
        """Where a caller finds the context of its request: its id, its flow, its trace."""
        return {"clippy": self.ctx} if reply is None else {**reply.extensions, "clippy": self.ctx}

    def _bytes_seen(self) -> Callable[[bytes], None] | None:
        return (lambda data: self.chains.emit("bytes", data, self.ctx)) if self.chains.observe else None

    async def _drop(self, failed: Failed) -> None:
        """Let go of a failed attempt's connection before the next one."""
        if failed.stream is not None:
            await failed.stream.source.aclose()
        await self._close_reply()

    async def _close_reply(self) -> None:
        reply, self.reply = self.reply, None
        if reply is not None and not isinstance(reply.body, bytes):
            await close_quietly(reply.body)

    async def _wind_up(self, outcome: str, error: ErrorInfo | None) -> None:
        """However it ended: the connection is closed, the attempt ended, the record written."""
        await self._close_reply()
        status = error.status if error is not None else None
        await self._end(outcome, "cancelled" if outcome == "cancelled" else "error", error, status)

    async def _end(self, outcome: str, state: State, error: ErrorInfo | None, status: int | None) -> None:
        try:
            await self.ledger.end_attempt(state, error, status)
        finally:
            await self.ledger.close(outcome, error)
