"""What a recorder is shown: the request as it came, what each hook made of it, and the very bytes that left."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, evolve, field
from calling import ROUTE
from clippy_hookspecs import Event, Message, RequestContext, Text, hookimpl

import clippy_core
from clippy_core.testing import FakeProvider


@define(eq=False)
class Seen:
    """A recorder that keeps everything."""

    events: list[Event] = field(factory=list)

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        self.events.append(event)

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]


@define(eq=False)
class Politely:
    """Adds a word to each question."""

    @hookimpl
    def pre_request(self, request: Any, ctx: RequestContext) -> Any:
        return evolve(request, messages=(*request.messages, Message("user", (Text("please"),))))

    @hookimpl
    def on_response(self, response: Any, ctx: RequestContext) -> Any:
        return evolve(response, finish_reason="stop")


def test_a_recorder_sees_a_request_before_and_after_each_plugin_and_the_bytes_that_left():
    """Whatever the order of plugins: the request that came is told before any of them was asked."""
    provider, seen = FakeProvider(), Seen()
    with clippy_core.Host({"a": Politely(), "z": seen}, config={"routes": {"main": ROUTE}}) as host:
        clippy_core.Client(host, provider.client()).chat("Hello", model="m")
    came, sent = seen.of("request")[0].data, seen.of("attempt")[0].data
    assert seen.events[0].kind == "request"
    assert [message.text for message in came.messages] == ["Hello"]
    made = {event.data.hook: event.value for event in seen.of("hook") if event.data.plugin == "a"}
    assert [message.text for message in made["pre_request"].messages] == ["Hello", "please"]
    assert made["on_response"].finish_reason == "stop"
    assert sent.raw == provider.requests[0].body
    assert json.loads(sent.raw)["messages"][-1] == {"role": "user", "content": "please"}


def test_a_hook_that_returns_nothing_has_no_value():
    """Nothing was changed, so there is nothing to show."""
    provider, seen = FakeProvider(), Seen()

    @define(eq=False)
    class Looks:
        @hookimpl
        def pre_request(self, request: Any, ctx: RequestContext) -> None:
            assert request.messages

    with clippy_core.Host([Looks(), seen], config={"routes": {"main": ROUTE}}) as host:
        clippy_core.Client(host, provider.client()).chat("Hello", model="m")
    assert [event.value for event in seen.of("hook")] == [None]


def test_who_says_so_hears_only_of_hooks_that_did_something():
    """The trace has the others, each with the time at which it ended; who says nothing is told of all."""

    @define(eq=False)
    class Sparing(Seen):
        observes_passed = False

    @define(eq=False)
    class Looks:
        trace: list[Any] = field(factory=list)

        @hookimpl(tryfirst=True)
        def pre_request(self, request: Any, ctx: RequestContext) -> None:
            self.trace = ctx.trace

    looks, sparing = Looks(), Sparing()
    with clippy_core.Host([looks, Politely(), sparing], config={"routes": {"main": ROUTE}}) as host:
        clippy_core.Client(host, FakeProvider().client()).chat("Hello", model="m")
    assert [event.data.hook for event in sparing.of("hook")] == ["pre_request", "on_response"]
    assert [call.hook for call in looks.trace] == ["pre_request", "pre_request", "on_response"]
    ends = [call.at for call in looks.trace]
    assert 0 < ends[0]
    assert ends == sorted(ends)
