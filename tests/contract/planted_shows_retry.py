"""What the broken retry policies do to a program."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import patch

from attrs import define, evolve
from calling import Caller
from clippy_hookspecs import Answer, ErrorInfo, Failure, Message, Response, Text, hookimpl
from planted_shows import Make, a_caller, answered, shows

from clippy_core.testing import Fault, Reply, Script

SUITE = "RetryPolicyContract"
BUSY = ErrorInfo("transient", "overloaded", retryable=True)
LIMITED = ErrorInfo("rate_limit", "requests", retryable=True)
DOWN = Fault.status(503)


@define(eq=False)
class Says:
    """Says of every failure that it is this one."""

    info: ErrorInfo

    @hookimpl
    def classify_error(self, failure: Failure) -> ErrorInfo:
        return evolve(self.info, committed=failure.committed)


@define(eq=False)
class Fallback:
    """Has an answer for every failure that nobody else can do anything about."""

    @hookimpl
    def on_error(self, error: ErrorInfo) -> Answer:
        return Answer(Response(api="openai.chat", message=Message("assistant", (Text("sorry"),)), finish_reason="stop"))


def tried(make: Make, info: ErrorInfo, script: Any, **config: Any) -> Caller:
    return a_caller().start({"retry": make(), "says": Says(info)}, script, **config)


@shows(SUITE, "ignores the server's wait", sound=True, broken=False)
@shows(SUITE, "shortens the server's wait to its own cap", sound=True, broken=False)
def the_server_gets_the_rest_it_asked_for(make):
    caller = tried(make, evolve(LIMITED, retry_after=20.0), Script(DOWN, then=Reply("Hi")))
    caller.chat()
    return caller.clock.sleeps[0] >= 20


@shows(SUITE, "sleeps itself", sound=(False, True), broken=(True, False))
def who_sleeps(make):
    caller = tried(make, BUSY, Script(DOWN, then=Reply("Hi")))
    with patch("time.sleep") as itself:
        caller.chat()
    return itself.called, caller.clock.sleeps[0] > 0


@shows(SUITE, "waits less than no time", sound=True, broken=False)
def thirty_calls_that_one_repetition_helps_are_answered(make):
    return all(answered(tried(make, BUSY, Script(DOWN, then=Reply("Hi")))) for _ in range(30))


@shows(SUITE, "believes any wait of the server's", sound=[True, True], broken=[False, False])
def waits_that_are_none_do_no_harm(make):
    waits = [math.nan, -5.0]
    return [answered(tried(make, evolve(LIMITED, retry_after=w), Script(DOWN, then=Reply("Hi")))) for w in waits]


def attempts(make: Make, info: ErrorInfo, script: Any) -> int:
    caller = tried(make, info, script)
    answered(caller)
    return caller.provider.calls


@shows(SUITE, "repeats what cannot succeed", sound=1, broken=3)
def attempts_with_a_wrong_key(make):
    return attempts(make, ErrorInfo("auth", "invalid_key", scope="key"), Fault.status(401))


@shows(SUITE, "repeats when the quota is spent", sound=1, broken=3)
def attempts_without_money(make):
    return attempts(make, ErrorInfo("rate_limit", "quota", scope="key"), Fault.status(429))


@shows(SUITE, "never stops", sound=3, broken=21)
def attempts_while_the_provider_is_down(make):
    return attempts(make, BUSY, Script(*[DOWN] * 20, then=Reply("Hi")))


@shows(SUITE, "counts attempts on itself", sound=[True] * 4, broken=[True, True, False, True])
def calls_that_each_need_one_repetition(make):
    caller = tried(make, BUSY, Script(DOWN, Reply("Hi"), DOWN, Reply("Hi"), DOWN, Reply("Hi"), DOWN, Reply("Hi")))
    return [answered(caller) for _ in range(4)]


@shows(SUITE, "ignores the deadline", sound=True, broken=False)
def somebody_else_helps_when_time_is_short(make):
    plugins = {"fallback": Fallback(), "retry": make(), "says": Says(evolve(LIMITED, retry_after=20.0))}
    return answered(a_caller().start(plugins, DOWN, deadlines={"total": 10.0}))


@shows(SUITE, "repeats what was partly delivered", sound={}, broken={("retry", "on_error"): 1})
def faults_when_a_stream_breaks(make):
    broken = [Fault.reset(at_delta=2), Reply("Hello you two", chunks=["Hello", " you", " two"])]
    caller = tried(make, BUSY, Script(broken))
    caller.stream()
    return caller.host.faults.counts
