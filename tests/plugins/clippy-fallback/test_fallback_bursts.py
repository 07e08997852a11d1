"""Faults that come in bursts, which retries alone do not outlast, and any order of failures at all."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import httpx
import pytest
from attrs import define, field
from calling import Caller
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import Answer, ErrorInfo, RequestContext, RouteInfo, Scope, Stale, Switch
from clippy_retry import RetryPolicy
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.testing import Fault, Reply, SeenRequest, VirtualClock

ROUTES = {"second": {"base_url": "http://second.test/v1", "key": "sk-second", "model": "m2"}}
TRANSIENT = [
    Fault.status(503), Fault.status(529), Fault.status(429, retry_after=2.0), Fault.reset(), Fault.read_timeout(),
    Fault.truncated_json(),
]  # fmt: skip
FINAL = {
    "400": Fault.status(400),
    "401": Fault.status(401),
    "filter": Fault.status(
        400, body='{"error":{"code":"content_filter","message":"filtered","type":"x","param":null}}'
    ),
}


@define(eq=False)
class Bursts:
    """Two places that fail in bursts of their own (Gilbert-Elliott: a fifth of the time, some 25 requests each).

    Of the requests some are wrong by themselves: every place says so.
    """

    rng: Random
    bad: dict[str, bool] = field(factory=dict)
    seen: Counter[str] = field(factory=Counter)

    def __call__(self, request: SeenRequest) -> Any:
        place, asked = request.url.split("/")[2], request.json["messages"][0]["content"]
        self.seen[asked] += 1
        if asked.partition(" ")[0] in FINAL:
            return FINAL[asked.partition(" ")[0]]
        leaves = 0.04 if (bad := self.bad.get(place, False)) else 0.01
        self.bad[place] = bad != (self.rng.random() < leaves)
        return self.rng.choice(TRANSIENT) if self.bad[place] else Reply("fine")


def campaign(count: int, seed: int, routes: tuple[str, ...]) -> tuple[int, Counter[str], Bursts]:
    """How many of *count* calls that were right got an answer; the calls that were wrong, by the status they got."""
    script, rng = Bursts(Random(seed)), Random(seed + 1)
    plugins = {"errors": ErrorClassifier(), "fallback": Fallback(routes=routes), "retry": RetryPolicy()}
    caller = Caller("sync", httpx).start(plugins, script, routes=ROUTES)
    answered, wrong = 0, Counter[str]()
    with caller.host.wrap(caller._http()) as client:
        for number in range(count):
            kind = rng.choice([*FINAL]) if rng.random() < 0.02 else "right"
            asked = f"{kind} {number}"
            body = {"model": "m", "messages": [{"role": "user", "content": asked}]}
            try:
                status = client.post("http://fake.test/v1/chat/completions", json=body).status_code
            except httpx.HTTPError:
                status = 0
            if kind == "right":
                answered += status == 200
            else:
                wrong[f"{kind} {status} after {script.seen[asked]}"] += 1
    return count - wrong.total() - answered, wrong, script


def test_bursts_are_outlasted_with_one_fallback_route_and_wrong_requests_sent_once() -> None:
    failed, wrong, _ = campaign(1500, 5, ("second",))
    assert failed == 0
    assert {*wrong} == {"400 400 after 1", "401 401 after 1", "filter 400 after 1"}
    alone, _, _ = campaign(1500, 5, ())
    assert alone > 10, "without it the bursts are felt, or this would prove nothing"


# --- any failures in any order --------------------------------------------------------------------------------------

names = st.sampled_from(["main", "a", "b", "c"])
lists = st.lists(names, max_size=4).map(tuple)
errors = st.sampled_from(
    [
        ErrorInfo("transient", "overloaded"),
        ErrorInfo("rate_limit", "requests"),
        ErrorInfo("permanent", "quota", scope="key"),
        ErrorInfo("auth", "invalid_key", scope="key"),
        ErrorInfo("validation", "context_length"),
        ErrorInfo("validation", "content_filter"),
        ErrorInfo("permanent", "model_not_found", scope="model"),
        ErrorInfo("permanent", "route_unfit", scope="route"),
        ErrorInfo("cancelled", "cancelled"),
        ErrorInfo("plugin", "plugin"),
        ErrorInfo(),
    ]
)
kinds = st.sampled_from(["quota", "transient", "validation", "auth", "unknown", "content_filter"])


@given(
    st.lists(errors, min_size=1, max_size=12),
    lists,
    st.dictionaries(kinds, lists, max_size=3),
    st.sampled_from([0.0, 60.0]),
    st.sampled_from([None, "sorry"]),
)
def test_no_route_is_tried_twice_and_it_comes_to_an_end(
    failures: list[ErrorInfo],
    routes: tuple[str, ...],
    by_kind: dict[str, tuple[str, ...]],
    stale: float,
    static: str | None,
) -> None:
    """Whatever fails in whatever order; and what the caller did is hidden by nothing that was not named for it."""
    fallback = Fallback(routes=routes, kinds=by_kind, stale=stale, static=static)
    unused: Any = None
    ctx = RequestContext("1", Scope(), VirtualClock(), services=unused, route=RouteInfo("main"), flow=unused)
    tried = ["main"]
    for number, error in enumerate(failures):
        decision = fallback.on_error(error, ctx)
        if not isinstance(decision, Switch):
            if isinstance(decision, Stale | Answer):
                assert failures[0].category in ("transient", "rate_limit") or failures[0].kind == "quota"
                assert error.category not in ("validation", "cancelled", "plugin", "unknown")
            break
        if number == 0 and error.category in ("auth", "validation", "cancelled", "unknown"):
            assert error.category in by_kind or error.kind in by_kind
        tried.append(decision.route)
        if number + 1 < len(failures) and failures[number + 1].kind != "route_unfit":
            ctx.route = RouteInfo(decision.route)
    assert len(tried) == len({*tried})


@pytest.mark.parametrize("committed", ["failure", "context"])
def test_what_was_delivered_in_part_is_nobody_elses_affair(committed: str) -> None:
    unused: Any = None
    ctx = RequestContext("1", Scope(), VirtualClock(), services=unused, route=RouteInfo("main"), flow=unused)
    ctx.committed = committed == "context"
    error = ErrorInfo("transient", "overloaded", committed=committed == "failure")
    assert Fallback(routes=("a",), stale=9.0, static="sorry").on_error(error, ctx) is None
