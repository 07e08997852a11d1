"""The plugin: says which requests may share the flight of an equal one."""

from __future__ import annotations

from typing import Literal

from attrs import define, field
from attrs.validators import in_
from clippy_hookspecs import AuditRecord, Join, Request, RequestContext, StatusTable, hookimpl

from .aboard import Aboard

When = Literal["deterministic", "always", "never"]


@define(eq=False)
class Dedup:
    """Equal requests under way share one answer: one of them asks the provider, the others get what it gets.

    Equal is what has the same cache key: the same body but for ``stream``, the same caller, address and route.
    """

    when: When = field(
        default="deterministic",
        validator=in_(("deterministic", "always", "never")),
        metadata={
            "doc": "deterministic: temperature 0, and what has no temperature, as embeddings; always: also calls that "
            "want another answer each time; or never"
        },
    )

    across_processes: bool = field(
        default=True,
        metadata={
            "doc": "also with the other processes that share the host's StateStore; with the host's own, which is of "
            "one process, it costs nothing"
        },
    )

    _aboard: Aboard = field(init=False, factory=Aboard, repr=False)

    @property
    def idle(self) -> str:
        """Why it takes no part in requests; "" if it does."""
        return 'when is "never"' if self.when == "never" else ""

    @hookimpl(trylast=True)
    def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> Join | None:
        """Joins the flight of an equal request, or begins one; a request may ask for that itself, or for none of it."""
        if ctx.stale_within or self.when == "never":
            return None
        asked = ctx.cache_control.join
        joins = (self.when == "always" or deterministic(request)) if asked is None else asked
        if not joins:
            return None
        if ctx.parent is None and ctx.cache_control.store:  # others go alone whatever is decided here
            self._aboard.boards(key, ctx)
        return Join(key, shared=self.across_processes)

    @hookimpl
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """A request has left its flight."""
        self._aboard.leaves(record, ctx)

    async def status_tables(self) -> tuple[StatusTable]:
        """Flights in the air, requests that joined one, and how many were handed what another had asked for."""
        return (self._aboard.table(),)


def deterministic(request: Request) -> bool:
    """Whether whoever asks twice means to get the same answer twice.

    All three wire APIs call it ``temperature`` and take 1 where it is not given.  What does not sample (embeddings,
    token counts) has the same answer each time.
    """
    if not request.endpoint.streams:
        return True
    temperature = request.params.get("temperature")
    return isinstance(temperature, (int, float)) and not isinstance(temperature, bool) and temperature == 0
