"""One attempt: what sends it, and what is left of it when it fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import frozen
from clippy_hookspecs import ErrorInfo, Failure, Headers, RawReply, Request, RequestContext, Response

from .sources import Phase

if TYPE_CHECKING:
    from .streaming import LiveStream

FAILURE_BODY = 64 * 1024
"""Bytes of an error body that a classifier gets to see."""


class Sender(Protocol):
    """What lies under the pipeline: sends one attempt, in the runtime's colour."""

    async def send(self, request: Request, timeouts: Mapping[str, float]) -> RawReply:
        """Send; *timeouts* (seconds, by connect and read) only ever shorten the caller's own."""
        ...

    def phase(self, error: BaseException) -> Phase:
        """When *error* happened: ``connect`` means that no byte of the request was sent."""
        ...


class AttemptsFailed(Exception):
    """Every attempt failed without an answer that could be handed on; ``cause`` is the last attempt's own exception."""

    def __init__(self, info: ErrorInfo, cause: BaseException | None) -> None:
        super().__init__(info)
        self.info, self.cause = info, cause


@frozen
class Failed:
    """One failed attempt: what kind of failure it was, and what to give the caller if nobody helps."""

    info: ErrorInfo
    phase: Phase
    response: Response | None = None
    stream: LiveStream | None = None
    cause: BaseException | None = None


def failure_of(
    request: Request,
    ctx: RequestContext,
    phase: Phase,
    status: int | None = None,
    headers: Headers | None = None,
    body: bytes = b"",
    exception: BaseException | None = None,
    at: float | None = None,
) -> Failure:
    """A failed attempt as it was seen, for those who judge it; *at* is unix seconds, None for now."""
    return Failure(
        status,
        headers or Headers(),
        body[:FAILURE_BODY],
        exception,
        phase,
        ctx.committed,
        request.api,
        request.url,
        request.model or None,
        ctx.clock.time() if at is None else at,
    )
