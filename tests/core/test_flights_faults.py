"""What a flight must not bring to others: a failure of the leader's own, and an answer under another route's key."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from attrs import define
from calling import COLOURS, Keep
from clippy_hookspecs import (
    Answer,
    CacheControl,
    ErrorInfo,
    Message,
    Request,
    RequestContext,
    Response,
    Switch,
    Text,
    hookimpl,
)
from flight_lab import Lab, Valve

WORDS = "one two three four"
ROUTES = {"spare": {"base_url": "http://spare.test/v1", "key": "sk-spare", "model": "m2"}}


@define(eq=False)
class Spare:
    """Goes to the spare route when the first one fails."""

    valve: Valve
    status: int = 200
    """What the spare one says."""

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Switch | None:
        if ctx.route.name == "spare":
            return None
        self.valve.status = self.status
        return Switch("spare")


@define(eq=False)
class KeysOf(Keep):
    """A cache that knows the keys that it was asked for."""

    asked: Any = None

    @hookimpl
    def cache_lookup(self, key: str) -> Any:
        self.asked = key
        return self.entries.get(key)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_who_takes_over_the_stream_of_another_route_stores_nothing_under_the_key_of_the_planned_one(
    colour: str, stream: bool
) -> None:
    async def scenario(lab: Lab) -> None:
        leader = lab.call(stream=True)
        await lab.asked()
        lab.valve.flow(1)
        await lab.asked(2)
        lab.valve.say(2, 2)
        await lab.until(lambda: len(leader.pieces) == 2)
        other = lab.call(stream=stream)
        await lab.until(lambda: lab.waiting == 1)
        lab.valve.say(1, 2)
        await lab.until(lambda: any(flight.aboard for flight in lab.flights.values()))
        leader.cancel()
        await lab.finished(leader)
        lab.valve.flow()
        await lab.finished(other)
        assert other.text == WORDS

    keep, valve = KeysOf(), Valve(status=500)
    lab = Lab(colour, {"keep": keep, "spare": Spare(valve)}, valve, {"routes": ROUTES}).run(scenario)

    paid = lab.calls[1].record
    assert paid.outcome == "answered"
    assert paid.provenance is not None
    assert paid.provenance.route == "spare"
    assert (paid.model, paid.answering_model) == ("m", "m2"), "though it sent nothing itself"
    assert keep.asked not in keep.entries


@define(eq=False)
class ForEveryone:
    """Everybody may have everybody's answers."""

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        ctx.cache_control = CacheControl(share="everyone")


@define(eq=False)
class Bound:
    """Of the callers all but the first may use the planned route alone, as keys of a gateway say it."""

    @hookimpl
    def pre_request(self, request: Request, ctx: Any) -> None:
        if request.headers["x-caller"] != "0":
            ctx.only = ("",)


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_what_came_over_a_route_that_a_caller_may_not_use_reaches_it_by_no_flight(
    colour: str, stream: bool, status: int
) -> None:
    async def scenario(lab: Lab) -> None:
        leader = lab.call(stream=stream)
        await lab.asked()
        other = lab.call(stream=stream)
        await lab.until(lambda: lab.waiting == 1)
        lab.valve.flow(1)
        await lab.asked(2)
        lab.valve.status, lab.valve.words = 200, ("of ", "the ", "planned ", "one")
        lab.valve.flow()
        await lab.finished(leader, other)
        assert (leader.status, other.status, other.text) == (status, 200, "of the planned one")

    valve = Valve(status=500)
    plugins = {"bound": Bound(), "everyone": ForEveryone(), "spare": Spare(valve, status)}
    lab = Lab(colour, plugins, valve, {"routes": ROUTES}).run(scenario)

    assert [one.route for one in lab.calls[0].record.attempts] == ["", "spare"]
    assert [one.route for one in lab.calls[1].record.attempts] == [""]


@pytest.mark.parametrize("status", [401, 403, 429])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_failure_of_the_leaders_own_credentials_is_nobody_elses(colour: str, status: int) -> None:
    async def scenario(lab: Lab) -> None:
        lab.headers["0"] = {"authorization": "Bearer sk-revoked"}
        leader = lab.call()
        await lab.asked()
        other = lab.call()
        await lab.until(lambda: lab.waiting == 1)
        lab.valve.status = 200
        lab.valve.flow()
        await lab.finished(leader, other)
        assert other.text == WORDS

    lab = Lab(colour, {"everyone": ForEveryone()}, Valve(status=status)).run(scenario)

    assert [call.status for call in lab.calls] == [status, 200]
    assert len(lab.valve.exchanges) == 2


@define(eq=False)
class Apology:
    """Tells each caller its own name when the provider fails."""

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Answer:
        text = Text(f"sorry, {ctx.scope.user}")
        return Answer(Response("openai.chat", message=Message("assistant", (text,)), finish_reason="stop"))


@pytest.mark.parametrize("colour", COLOURS)
def test_what_a_plugin_answers_one_caller_reaches_no_other_that_shares_its_answers(colour: str) -> None:
    async def scenario(lab: Lab) -> None:
        lab.headers["1"] = {"authorization": "Bearer sk-other"}
        leader = lab.call()
        await lab.asked()
        other = lab.call()
        await lab.until(lambda: lab.waiting == 1)
        lab.valve.flow()
        await lab.finished(leader, other)
        assert leader.text != other.text

    Lab(colour, {"everyone": ForEveryone(), "sorry": Apology()}, Valve(status=500)).run(scenario)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_leader_that_found_no_free_connection_hands_over(colour: str) -> None:
    """Its own pool was full: that says nothing of the provider, and the next one may have a connection."""

    async def scenario(lab: Lab) -> None:
        leader = lab.call()
        await lab.asked()
        others = [lab.call() for _ in range(3)]
        await lab.until(lambda: lab.waiting == 3)
        lab.valve.exchanges[0].breaks = httpx.PoolTimeout("no connection is free")
        lab.valve.flow(1)
        await lab.asked(2)
        lab.valve.flow()
        for call in (leader, *others):
            await lab.finished(call)
        assert [call.text for call in others] == [WORDS] * 3
        assert leader.record.outcome == "failed"

    lab = Lab(colour).run(scenario)
    assert len(lab.valve.exchanges) == 2
    assert lab.valve.most == 1
