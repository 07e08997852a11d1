"""What the broken observers do to a program."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from unittest.mock import patch

from attrs import define, field
from calling import Caller
from clippy_hookspecs import Message, Request, RequestContext, StashKey, StateStore, Text, evolve, hookimpl
from planted_shows import Make, a_caller, answered, shows
from planted_state import Store

import clippy_core
from clippy_core.testing import Fault, Raw, Reply

SUITE = "ObserverContract"
NOTE = StashKey[str]("note")


def watched(make: Make, script: object = None, **others: object) -> Caller:
    return a_caller().start({"watcher": make(), **others}, script)


@shows(SUITE, "raises in observe", sound=False, broken=True)
def an_observer_fails_at_events(make):
    caller = watched(make)
    caller.stream()
    return ("watcher", "observe") in caller.host.faults.counts


@shows(SUITE, "breaks an answer without usage", sound=True, broken=False)
def an_answer_without_usage_arrives(make):
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    body = json.dumps({"id": "1", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()
    return answered(watched(make, Raw(body)))


@shows(SUITE, "loses the record of what had no status", sound=["failed"], broken=[])
def lines_of_a_call_that_nobody_answered(make):
    caller = watched(make, Fault.reset())
    answered(caller)
    return [line.split()[1] for line in caller.host.plugins["watcher"].lines]


@shows(SUITE, "blocks at every event", sound=False, broken=True)
def the_thread_of_the_caller_sleeps(make):
    caller = watched(make)
    with patch("time.sleep") as sleep:
        caller.chat()
    return sleep.called


@shows(SUITE, "waits before it records", sound=False, broken=True)
def the_thread_of_the_caller_waits(make):
    caller = watched(make)
    with patch.object(threading.Event, "wait") as wait:
        caller.chat()
    return wait.called


@define(eq=False)
class Asks:
    """Changes the request, and notes what it did in the stash and, by that, in the trace."""

    found: list[str | None] = field(factory=list)

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> Request:
        ctx.stash[NOTE] = "mine"
        return evolve(request, params={**request.params, "temperature": 0})

    @hookimpl
    def audit(self, ctx: RequestContext) -> None:
        self.found.append(ctx.stash.get(NOTE))


@shows(SUITE, "empties the trace", sound=True, broken=False)
def the_record_tells_who_changed_the_request(make):
    caller = watched(make, asks=Asks())
    caller.chat()
    return ("asks", "pre_request", "changed") in {
        (call.plugin, call.hook, call.action) for call in caller.records.last.trace
    }


@shows(SUITE, "throws away the notes of others", sound=["mine"], broken=[None])
def notes_that_another_plugin_finds_again(make):
    asks = Asks()
    watched(make, asks=asks).chat()
    return asks.found


@shows(SUITE, "changes the request in place", sound="ann", broken=None)
def the_user_that_the_provider_is_told(make):
    caller = watched(make, asks=Asks())  # what nobody changes leaves as the bytes that it has
    caller.chat([Message("user", (Text("Hello"),))], user="ann")
    return caller.provider.requests[0].fields.get("user")


@shows(SUITE, "hands on copies of chunks", sound=True, broken=False)
def a_stream_arrives_as_the_bytes_that_were_sent(make):
    delta = b'data: {"choices" : [ {"index":0, "delta":{"content":"Hi"}, "finish_reason":"stop"} ], "model":"m"}\n\n'
    head = (("content-type", "text/event-stream"),)
    caller = watched(make, Raw([delta, b"data: [DONE]\n\n"], headers=head))
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    return caller.send(json=body).body == delta + b"data: [DONE]\n\n"


@shows(SUITE, "keeps every answer", sound=True, broken=False)
def an_answer_can_be_forgotten(make):
    caller = watched(make)
    answer = weakref.ref(caller.chat())
    gc.collect()
    return answer() is None


@shows(SUITE, "records a request twice", sound=1, broken=2)
def lines_of_one_call(make):
    caller = watched(make)
    caller.chat()
    return len(caller.host.plugins["watcher"].lines)


@define(eq=False)
class Stuck(Store):
    """A store that nobody hears from again."""

    asked: asyncio.Event = field(factory=asyncio.Event)

    async def add(self, key: str, amount: float, ttl: float) -> float:
        self.asked.set()
        await asyncio.Event().wait()
        return 0.0


@define(eq=False)
class Counts:
    """A plugin of somebody else's that uses the store, as the sound twin does not."""

    @hookimpl
    async def pre_attempt(self, ctx: RequestContext) -> None:
        await ctx.services.get(StateStore).add("attempts", 1, 60.0)


@shows(SUITE, "swallows cancellation", sound="cancelled", broken="answered")
def what_becomes_of_a_cancelled_call(make):
    """Outermost the watcher, behind it one that waits at the same place and does not swallow."""

    async def run() -> str:
        stuck = Stuck()
        others = {} if hasattr(type(make()), "pre_attempt") else {"zz-counts": Counts()}
        caller = a_caller("asyncio").start({"watcher": make(), "store": stuck, **others}, Reply("Hi"))
        async with clippy_core.AsyncClient(caller.host, caller._http()) as client:
            call = asyncio.create_task(client.chat("Hello"))
            await stuck.asked.wait()
            call.cancel()
            await asyncio.wait([call])
            await caller.host.aclose()
        return "cancelled" if call.cancelled() else "answered"

    return asyncio.run(run())
