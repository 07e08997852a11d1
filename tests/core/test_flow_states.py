"""The flow of every request ends with it, whether or not anybody was given a stream."""

from __future__ import annotations

import pytest
from attrs import define, field
from calling import Again, Caller, Keep
from clippy_hookspecs import ClippyError, Flow, Refusal, RequestContext, hookimpl

from clippy_core.testing import Fault, Reply


@define(eq=False)
class Flows:
    """Keeps the flow of each request."""

    flows: list[Flow] = field(factory=list)

    @hookimpl(tryfirst=True)
    def pre_request(self, ctx: RequestContext) -> None:
        self.flows.append(ctx.flow)

    @property
    def states(self) -> list[str]:
        return [flow.state for flow in self.flows]


@define(eq=False)
class Refuses:
    @hookimpl
    def pre_request(self) -> None:
        raise Refusal("no")


def test_a_plain_answer_completes_its_flow(caller: Caller) -> None:
    flows = Flows()
    caller.start({"flows": flows, "keep": Keep()}, Reply("Hi"))
    caller.chat()
    caller.chat()  # from the cache
    assert ["completed"] * 2 == flows.states


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("plugins", "script"),
    [([Refuses()], Reply("Hi")), ([], Fault.status(500)), ([Again()], Fault.reset()), ([], Fault.reset())],
    ids=["refused", "status", "given up", "reset"],
)
def test_a_request_without_an_answer_fails_its_flow(caller, plugins, script, stream) -> None:
    flows = Flows()
    caller.start([flows, *plugins], script)
    try:
        caller.stream() if stream else caller.chat()
    except ClippyError:
        assert not stream
    assert ["failed"] == flows.states


def test_a_stream_that_is_left_is_cancelled(caller: Caller) -> None:
    flows = Flows()
    caller.start([flows], Reply("one two three"))
    caller.stream(stop_after=1)
    assert ["cancelled"] == flows.states


def test_a_body_that_nobody_looks_into_completes_its_flow(sync_caller: Caller) -> None:
    flows = Flows()
    sync_caller.start([flows], Reply("Hi"), record=False)
    sync_caller.send("GET", "/files/1/content")
    assert ["completed"] == flows.states
