"""The virtual clock, and which step of a script a request gets."""

from __future__ import annotations

import math
from collections import Counter

import httpx
import pytest
from clippy_hookspecs import Clock, Headers

from clippy_core.testing import FakeProvider, Fault, Mix, Reply, Script, SeenRequest, VirtualClock

CHAT = {"model": "m", "messages": [{"role": "user", "content": "ping"}]}
URL = "https://api.test/v1/chat/completions"


def seen(number: int) -> SeenRequest:
    return SeenRequest(number, "POST", URL, Headers(), b"{}", 1)


def ask(provider: FakeProvider, module=httpx, **body) -> str:
    return provider.client(module).post(URL, json={**CHAT, **body}).json()["choices"][0]["message"]["content"]


def test_a_virtual_clock_moves_only_when_it_is_moved():
    """now and time advance together, by what was asked and no more."""
    clock = VirtualClock(start=5.0, epoch=100.0)
    assert isinstance(clock, Clock)
    assert (clock.now(), clock.time()) == (5.0, 100.0)
    clock.advance(2.5)
    assert (clock.now(), clock.time()) == (7.5, 102.5)


async def test_sleeping_takes_no_time_and_is_on_record():
    """A sleep moves the clock and is listed; advance is not listed."""
    clock = VirtualClock()
    before = clock.now()
    await clock.sleep(3600)
    clock.advance(1)
    await clock.sleep(0)
    assert clock.now() - before == 3601
    assert clock.sleeps == [3600, 0]


def test_sleeping_works_without_an_event_loop():
    """The coroutine never suspends, so that a sync host can drive it by hand."""
    clock = VirtualClock()
    with pytest.raises(StopIteration):
        clock.sleep(7).send(None)
    assert clock.sleeps == [7]


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_a_wait_that_makes_no_sense_is_an_error(seconds):
    """A negative or endless delay is a fault of what is tested, and must not pass silently."""
    with pytest.raises(ValueError, match="cannot wait"):
        VirtualClock().advance(seconds)


def test_a_script_gives_each_request_its_step_and_then_the_rest():
    """Steps are taken in order; what comes after them is then."""
    script = Script(Fault.status(503), Reply("second"), then=Reply("rest"))
    assert [script.step(seen(n)) for n in (1, 2, 3, 9)] == [
        Fault.status(503),
        Reply("second"),
        Reply("rest"),
        Reply("rest"),
    ]


def test_without_a_script_the_provider_echoes():
    """The newest user turn comes back."""
    assert ask(FakeProvider()) == "ping"


def test_a_sequence_is_a_script_of_one_act_each():
    """After the sequence the echo goes on."""
    provider = FakeProvider([Reply("one"), lambda request: Reply(f"two {request.model}")])
    assert [ask(provider), ask(provider), ask(provider)] == ["one", "two m", "ping"]
    assert provider.calls == 3


def test_lorem_depends_on_the_conversation_and_on_nothing_else():
    """The same question has the same answer, another question another."""
    provider = FakeProvider(Reply())
    first, again = ask(provider), ask(provider, temperature=1)
    other = ask(provider, messages=[{"role": "user", "content": "pong"}])
    assert first == again != other
    assert len(first.split()) == 24


def test_a_mix_has_the_same_fate_for_each_request_in_every_run():
    """Fate depends on the seed and the request's number; other seeds have other fates."""
    faults = {Fault.status(503): 1.0, Fault.reset(): 1.0}
    fates = [Mix(7, 0.3, faults).pick(n) for n in range(1, 200)]
    assert fates == [Mix(7, 0.3, faults).pick(n) for n in range(1, 200)]
    assert fates != [Mix(8, 0.3, faults).pick(n) for n in range(1, 200)]


def test_a_mix_keeps_its_rate_and_weights():
    """Over many requests the shares are the ones that were asked for."""
    mix = Mix(1, 0.25, {Fault.status(503): 3.0, Fault.reset(): 1.0})
    kinds = Counter(step[0].kind if isinstance(step, tuple) else "none" for step in map(mix.pick, range(1, 4001)))
    assert kinds["none"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert kinds["status"] / (kinds["status"] + kinds["reset"]) == pytest.approx(0.75, abs=0.05)


def test_a_step_of_two_replies_is_an_error():
    """A request has one answer."""
    with pytest.raises(TypeError, match="at most one"):
        ask(FakeProvider([[Reply("a"), Reply("b")]]))


def test_two_positions_of_one_fault_are_an_error():
    """Where it breaks must be said once."""
    with pytest.raises(ValueError, match="one position"):
        Fault.reset(at_byte=3, at_event=1)


def test_pieces_that_are_not_the_text_are_an_error():
    """A reply whose stream would say something else than its plain answer is a slip of the test."""
    with pytest.raises(ValueError, match="join"):
        FakeProvider(Reply("abc", chunks=("a", "b"))).client().post(URL, json={**CHAT, "stream": True})


def test_the_same_seed_and_requests_give_the_same_bytes():
    """Ids included; another seed has other ids."""
    answers = [FakeProvider(Reply("x"), seed=seed).client().post(URL, json=CHAT).content for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]
