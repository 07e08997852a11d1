"""Flights across processes, seen from one of them: what is in the store, and what becomes of a store that fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import define, field
from calling import COLOURS
from clippy_hookspecs import ErrorInfo, Headers, Join, Request, StateStore, evolve, hookimpl
from flight_lab import Lab, Valve, whole
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.across import _read, _text
from clippy_core.outcomes import Landed, Told
from clippy_core.records import new_entry
from clippy_core.state_memory import MemoryStateStore
from clippy_core.testing import VirtualClock
from clippy_core.wire import APIS, decode_response

WORDS = "one two three four"
RESPONSE = decode_response(APIS["openai.chat"], 200, Headers({"content-type": "application/json"}), whole(), {})


@define(eq=False)
class Everywhere:
    """Shares every flight with all who have its store, which is no store of one process for the host."""

    clock: VirtualClock
    fails: bool = False
    lands: tuple[int, str, str] | None = None
    """After so many looks, under which key, and what another process puts there."""
    looks: int = 0
    store: Any = field(init=False)
    inline = True

    def __attrs_post_init__(self) -> None:
        self.store = MemoryStateStore(self.clock)

    @hookimpl
    def register_services(self, services: Any) -> None:
        services.offer(StateStore, _Store(self))

    @hookimpl(trylast=True)
    def cache_lookup(self, key: str, request: Request) -> Join:
        return Join(key, shared=True)


class _Store:
    """The store of *owner*; every call fails while that says so."""

    inline = True

    def __init__(self, owner: Everywhere) -> None:
        self._owner = owner


def _method(name: str) -> Any:
    async def call(self: Any, *arguments: Any, **named: Any) -> Any:
        if self._owner.fails:
            raise ConnectionError("the store is gone")
        self._owner.looks += name == "get"
        if self._owner.lands is not None and self._owner.looks == self._owner.lands[0]:
            await self._owner.store.put(*self._owner.lands[1:], 10.0)
        return await getattr(self._owner.store, name)(*arguments, **named)

    return call


for _name in ("get", "put", "swap", "add", "reserve", "settle", "refund", "lease", "release"):
    setattr(_Store, _name, _method(_name))


def lab(colour: str, everywhere: Everywhere, valve: Valve | None = None) -> Lab:
    return Lab(colour, {"together": everywhere}, valve or Valve(free=True), clock=everywhere.clock)


async def one_call(one: Lab) -> None:
    one.call()
    await one.finished(*one.calls)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_who_waited_gets_what_another_process_landed(colour: str, stream: bool) -> None:
    """The other process is a lease that somebody else has, until the answer is there."""
    clock = VirtualClock()
    here = Everywhere(clock)
    there = lab(colour, here)

    async def landed(one: Lab) -> None:
        one.call(stream=stream)
        await one.finished(*one.calls)

    there.run(landed)
    (key,) = here.store._values
    assert here.store._leases == {key.replace("flown", "flight"): {}}

    async def waits(one: Lab) -> None:
        await here.store.lease(key.replace("flown", "flight"), "another", 60.0)
        said = {**json.loads(here.store._values.pop(key)[0]), "at": clock.time() - 1000}  # by another machine's clock
        here.lands = (here.looks + 5, key, json.dumps(said))
        one.call(stream=stream)
        await one.finished(*one.calls)
        assert one.calls[0].text == WORDS

    second = lab(colour, here).run(waits)

    assert second.valve.exchanges == []
    assert second.calls[0].record.outcome == "cached"


@pytest.mark.parametrize("colour", COLOURS)
def test_when_the_process_that_asks_dies_the_next_one_asks_after_its_lease(colour: str) -> None:
    clock = VirtualClock()
    here = Everywhere(clock)

    async def waits(one: Lab) -> None:
        one.call()
        await one.finished(*one.calls)
        (key,) = here.store._values
        here.store._values.clear()
        await here.store.lease(key.replace("flown", "flight"), "another", 15.0)
        slept = len(clock.sleeps)
        one.call()
        await one.finished(*one.calls)
        waited = clock.sleeps[slept:]
        assert 15.0 <= sum(waited) < 16.0
        assert waited[0] == 0.02
        assert max(waited) == 0.5

    assert len(lab(colour, here).run(waits).valve.exchanges) == 2


@pytest.mark.parametrize("colour", COLOURS)
def test_what_landed_before_a_request_began_is_not_its_answer(colour: str) -> None:
    clock = VirtualClock()
    here = Everywhere(clock)

    async def twice(one: Lab) -> None:
        await one_call(one)
        clock.advance(1.0)
        await one_call(one)

    assert len(lab(colour, here).run(twice).valve.exchanges) == 2


@pytest.mark.parametrize("colour", COLOURS)
def test_without_the_store_each_process_asks_for_itself(colour: str, caplog: pytest.LogCaptureFixture) -> None:
    here = Everywhere(VirtualClock(), fails=True)

    async def twice(one: Lab) -> None:
        await one_call(one)
        await one_call(one)

    one = lab(colour, here).run(twice)

    assert len(one.valve.exchanges) == 2
    assert caplog.messages == ["flights: the StateStore failed (ConnectionError); each process asks for itself"]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_leader_that_is_cancelled_gives_its_lease_back(colour: str) -> None:
    here = Everywhere(VirtualClock())

    async def cancelled(one: Lab) -> None:
        call = one.call()
        await one.asked()
        call.cancel()
        one.valve.answer()

    lab(colour, here, Valve()).run(cancelled)

    assert list(here.store._leases.values()) == [{}]
    assert here.store._values == {}


def test_a_landed_answer_and_a_failure_come_back_as_they_were() -> None:
    text = _text(Landed(new_entry(RESPONSE), "main"), 5.0)
    at, landed = _read(text, "openai.chat")  # type: ignore[misc]
    assert isinstance(landed, Landed)
    assert (at, landed.route, landed.entry.response.text) == (5.0, "main", WORDS)
    info = ErrorInfo("rate_limit", "quota", True, 3.0, "key", status=429, message="slow down")
    told = _read(_text(Told(info, evolve(RESPONSE)), 6.0), "openai.chat")
    assert told == (6.0, Told(info))


def test_an_answer_of_another_api_is_not_there() -> None:
    assert _read(_text(Landed(new_entry(RESPONSE), "main"), 5.0), "anthropic.messages") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
GOOD = json.loads(_text(Told(ErrorInfo(), RESPONSE), 1.0) or "")


@given(st.one_of(st.text(), JSON.map(json.dumps)))
def test_any_text_in_the_store_is_at_most_nothing(text: str) -> None:
    assert _read(text, "openai.chat") is None


@pytest.mark.parametrize("endless", ["NaN", "Infinity", "-Infinity"])
def test_a_time_that_is_no_number_is_not_there(endless: str) -> None:
    """An endless one would be newer than every request."""
    assert _read(json.dumps({**GOOD, "at": float(endless)}), "openai.chat") is None
    assert _read(json.dumps({**GOOD, "error": {**GOOD["error"], "retry_after": float(endless)}}), "openai.chat") is None


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_a_part_that_is_not_ours_makes_it_nothing_or_valid(name: str, value: Any) -> None:
    found = _read(json.dumps({**GOOD, name: value}), "openai.chat")
    assert found is None or isinstance(found[1], (Landed, Told))


@given(st.sampled_from(sorted(GOOD["error"])), JSON)
def test_an_error_has_the_types_that_it_must_have(name: str, value: Any) -> None:
    found = _read(json.dumps({**GOOD, "error": {**GOOD["error"], name: value}}), "openai.chat")
    if found is not None:
        said = getattr(found[1].info, name)  # type: ignore[union-attr]
        assert type(said) in (str, bool, int, float, type(None))
