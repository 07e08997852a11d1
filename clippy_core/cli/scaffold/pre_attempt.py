"""A plugin that prepares attempts."""

from __future__ import annotations

from attrs import define, field
from clippy_hookspecs import Request, RequestContext, evolve, hookimpl


@define(eq=False)
class Plugin:
    """Gives every attempt a number that can be found again in the provider's logs."""

    header: str = field(default="x-client-request-id", metadata={"doc": "request header with the number"})

    @hookimpl
    def pre_attempt(self, request: Request, ctx: RequestContext) -> Request:
        """The request's own id and the number of the attempt."""
        return evolve(request, headers=request.headers.replace(self.header, f"{ctx.id}-{ctx.attempt}"))
