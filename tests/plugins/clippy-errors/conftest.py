"""A request's context without a host."""

from __future__ import annotations

from typing import Any, cast

import pytest
from clippy_hookspecs import RequestContext, RouteInfo, Scope


@pytest.fixture
def errors_ctx() -> RequestContext:
    unused = cast(Any, None)
    return RequestContext("1", Scope(), clock=unused, services=unused, route=RouteInfo("r"), flow=unused)
