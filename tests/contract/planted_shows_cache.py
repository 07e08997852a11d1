"""What the broken caches do to a program."""

from __future__ import annotations

from functools import partial
from typing import Any

from attrs import define, evolve
from calling import Caller, Keep
from clippy_hookspecs import Scope, Stale, hookimpl
from planted_shows import Make, a_caller, answered, at_once, shows

from clippy_core.testing import Fault, Reply

SUITE = "CacheContract"
QUESTIONS = [f"question {number}" for number in range(24)]


def cached(make: Make, script: Any = None, **settings: Any) -> Caller:
    return a_caller().start({"cache": make(**settings)}, script, record=False)


@shows(SUITE, "goes by the machine's clock", sound=2, broken=1)
@shows(SUITE, "ignores its ttl", sound=2, broken=1)
def calls_for_an_answer_that_is_too_old(make):
    caller = cached(make, ttl=60.0)
    caller.chat()
    caller.clock.advance(61)
    caller.chat()
    return caller.provider.calls


@shows(SUITE, "prolongs an answer's life with every hit", sound=2, broken=1)
def calls_for_an_answer_that_is_asked_for_often(make):
    caller = cached(make, ttl=60.0)
    for _ in range(4):
        caller.chat()
        caller.clock.advance(50)
    return caller.provider.calls


@shows(SUITE, "says of every answer that it is new", sound=30.0, broken=0.0)
def age_of_an_answer_half_a_minute_old(make):
    caller = cached(make)
    caller.chat()
    caller.clock.advance(30)
    return caller.chat().provenance.age


@define(eq=False)
class Late:
    """Answers a failure with what is late by at most so many seconds."""

    within: float

    @hookimpl
    def on_error(self) -> Stale:
        return Stale(self.within)


def is_answered_late(make: Make, *, late: float, within: float, kept: float, beside: str = "") -> bool:
    """Whether a call that fails gets an answer *late* seconds past its time; *beside* was asked in between."""
    plugins = {"cache": make(ttl=60.0, stale_if_error=kept), "late": Late(within)}
    script = [Reply("old"), *([Reply("other")] if beside else []), Fault.status(503)]
    caller = a_caller().start(plugins, script, record=False)
    caller.chat()
    caller.clock.advance(60 + late)
    if beside:
        caller.chat(beside)
    return answered(caller)


@shows(SUITE, "gives late answers unasked", sound=2, broken=1)
def calls_for_an_answer_that_is_kept_beyond_its_time(make):
    caller = cached(make, ttl=60.0, stale_if_error=100.0)
    caller.chat()
    caller.clock.advance(90)
    caller.chat()
    return caller.provider.calls


@shows(SUITE, "gives answers later than was asked for", sound=[True, False], broken=[True, True])
def answers_within_and_beyond_the_wish(make):
    return [is_answered_late(make, late=late, within=20, kept=100) for late in (10, 30)]


@shows(SUITE, "gives answers later than they may be kept", sound=[True, False], broken=[True, True])
def answers_within_and_beyond_the_setting(make):
    return [is_answered_late(make, late=late, within=100, kept=20) for late in (10, 30)]


@shows(SUITE, "drops late answers when it tidies up", sound=True, broken=False)
def a_late_answer_outlives_what_is_stored_after_it(make):
    return is_answered_late(make, late=30, within=60, kept=100, beside="another question")


def filled_from_behind(make: Make, *tenants: str, **changes: Any) -> Caller:
    """A cache that got its entries from another behind it, with *changes* to what the entry says of itself."""
    behind = Keep()
    caller = a_caller().start({"cache": make(), "keep": behind}, record=False)
    for tenant in tenants:
        with caller.host.scope(tenant=tenant):
            caller.chat()
    caller.host.invalidate()
    behind.entries = {key: evolve(entry, **changes) for key, entry in behind.entries.items()}
    for tenant in tenants:
        with caller.host.scope(tenant=tenant):
            caller.chat()
    behind.entries = {}
    return caller


@shows(SUITE, "ignores the end that the entry names", sound=2, broken=1)
def calls_for_an_answer_past_its_own_end(make):
    caller = filled_from_behind(make, "a", expires_at=a_caller().clock.time() + 10)
    caller.clock.advance(11)
    with caller.host.scope(tenant="a"):
        caller.chat()
    return caller.provider.calls


@shows(SUITE, "invalidates a tag in every scope", sound=["a"], broken=["a", "b"])
def tenants_whose_answers_one_of_them_dropped(make):
    caller = filled_from_behind(make, "a", "b", tags=("weather",))
    caller.host.invalidate(tag="weather", scope=Scope(tenant="a"))
    dropped = []
    for tenant in ("a", "b"):
        before = caller.provider.calls
        with caller.host.scope(tenant=tenant):
            caller.chat()
        dropped += [tenant] if caller.provider.calls > before else []
    return dropped


@shows(SUITE, "invalidates nothing when asked for everything", sound=2, broken=1)
def calls_after_all_was_invalidated(make):
    caller = cached(make)
    caller.chat()
    caller.host.invalidate()
    caller.chat()
    return caller.provider.calls


@shows(SUITE, "takes the conversation for the key", sound=2, broken=1)
def calls_of_two_tenants(make):
    caller = cached(make)
    for tenant in ("a", "b"):
        with caller.host.scope(tenant=tenant):
            caller.chat()
    return caller.provider.calls


@shows(SUITE, "loses the events of a stream", sound=["Hel", "lo ", "you"], broken=["Hello you"])
def pieces_of_a_replayed_stream(make):
    caller = cached(make, Reply("Hello you", chunks=["Hel", "lo ", "you"]))
    caller.stream()
    return [chunk.delta for chunk in caller.stream().chunks if chunk.kind == "text" and chunk.delta]


@shows(SUITE, "ignores its byte cap", sound=48, broken=24)
def calls_when_all_is_asked_twice_and_does_not_fit(make):
    caller = cached(make, max_bytes=6000)
    for question in QUESTIONS * 2:
        caller.chat(question)
    return caller.provider.calls


@shows(SUITE, "raises on a damaged file", sound=2, broken=3)
def calls_after_the_file_was_damaged(make):
    caller = cached(make)
    caller.chat()
    caller.host.plugins["cache"]._file.write_bytes(b"this is no database " * 400)
    caller.chat()
    caller.chat()
    return caller.provider.calls


def ask_at_once(caller: Caller) -> list[Any]:
    """Eight threads, each with questions of its own; what they were answered."""

    def ask(questions: list[str]) -> list[str]:
        return [caller.chat(question).text for question in questions]

    answers = at_once([partial(ask, QUESTIONS[number::8]) for number in range(8)])
    return [answers[number % 8][number // 8] for number in range(len(QUESTIONS))]


@shows(SUITE, "loses one of two stores at a time", sound=True, broken=False)
def all_is_kept_that_eight_threads_stored(make):
    def kept() -> bool:
        caller = cached(make)
        ask_at_once(caller)
        for question in QUESTIONS:
            caller.chat(question)
        return caller.provider.calls == len(QUESTIONS)

    return all(kept() for _ in range(4))


@shows(SUITE, "walks through a dict that other threads change", sound=True, broken=False)
def nothing_fails_under_eight_threads(make):
    caller = cached(make)
    for _ in range(4):
        ask_at_once(caller)
        caller.host.invalidate()
    return not caller.host.faults.counts


@shows(SUITE, "gives one thread the answer of another", sound=True, broken=False)
def every_thread_is_answered_its_own_question(make):
    caller = cached(make)
    for question in QUESTIONS:
        caller.chat(question)
    return all(ask_at_once(caller) == QUESTIONS for _ in range(4)) and not caller.host.faults.counts
