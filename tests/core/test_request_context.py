"""The context that the host makes by hand is the contract's, field by field."""

from __future__ import annotations

from typing import Any

from attrs import NOTHING, Factory, fields
from clippy_hookspecs import RequestContext, RouteInfo, Scope

from clippy_core.flow import FlowHandle
from clippy_core.request_context import Context


def test_a_context_of_the_host_has_every_field_of_the_contract_at_its_default() -> None:
    nothing: Any = None
    made = Context("id", Scope(), nothing, nothing, RouteInfo("main"), FlowHandle(), None, False, None, "", {})
    for one in fields(RequestContext):
        found = getattr(made, one.name)
        if isinstance(one.default, Factory):  # type: ignore[arg-type]  # it is a class
            assert type(found) is one.default.factory, one.name  # type: ignore[union-attr]
        elif one.default is not NOTHING:
            assert found == one.default, one.name
