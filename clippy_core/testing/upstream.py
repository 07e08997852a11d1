"""A fake provider under a whole host: no client has to be told about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from attrs import define
from clippy_hookspecs import Headers, RawReply, RawRequest, Upstream, hookimpl

from ..calls import AsyncPieces, Pieces
from ..loops import running_library
from .provider import FakeProvider


@define(eq=False)
class FakeUpstream:
    """Sends what a host would send over the network to ``provider``, in sync, asyncio and trio programs.

    Bodies that a host passes on unread go the way their client meant them to go: give that one ``provider.client()``.
    """

    inline = True
    observes_only = True
    provider: FakeProvider

    @hookimpl
    def register_services(self, services: Any) -> None:
        services.offer(Upstream, self)

    async def send(self, request: RawRequest, timeout: Mapping[str, float | None]) -> RawReply:
        """As :meth:`clippy_hookspecs.Upstream.send`."""
        headers = request.headers.without("content-length", "transfer-encoding").raw
        extensions = {"timeout": dict(timeout)}
        sent = httpx.Request(request.method, request.url, headers=headers, content=request.body, extensions=extensions)
        body: Any
        if running_library() is None:
            response = self.provider.transport().handle_request(sent)
            body = Pieces(response.stream)
        else:
            response = await self.provider.async_transport().handle_async_request(sent)
            body = AsyncPieces(response.stream)
        return RawReply(response.status_code, Headers.undecoded(response.headers.raw), body, response.extensions)
