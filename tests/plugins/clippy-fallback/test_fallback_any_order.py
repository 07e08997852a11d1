"""Any failures in any order: it ends, no route is tried twice, and nothing is hidden that the caller did."""

from __future__ import annotations

from typing import Any

import pytest
from clippy_fallback import Fallback
from clippy_hookspecs import Answer, ErrorInfo, RequestContext, RouteInfo, Scope, Stale, Switch
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.testing import VirtualClock

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
