"""The host's own connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .http_modules import ssl_context
from .loops import running_library

if TYPE_CHECKING:  # every host has one of these, and few send anything through it
    from clippy_hookspecs import ByteStream, RawReply, RawRequest

    from .host import Host
    from .runtime import AsyncRuntime, SyncRuntime


class HttpUpstream:
    """Sends over httpx, with connections of the host's own: one pool for threads, one for each event loop."""

    inline = True

    def __init__(self, host: Host) -> None:
        self._host = host
        self._pools: dict[SyncRuntime | AsyncRuntime, Any] = {}

    async def send(self, request: RawRequest, timeout: Mapping[str, float | None]) -> RawReply:
        """As :meth:`clippy_hookspecs.Upstream.send`.  Raises httpx's own exceptions."""
        import httpx
        from clippy_hookspecs import Headers, RawReply

        from .calls import AsyncPieces, Pieces

        headers = request.headers.without("content-length", "host", "transfer-encoding").raw
        limits = {"connect": None, "read": None, "write": None, "pool": None, **timeout}
        outgoing = httpx.Request(
            request.method, request.url, headers=headers, content=request.body, extensions={"timeout": limits}
        )
        body: ByteStream
        if running_library() is not None:
            response = await self._pool(self._host.async_runtime(), httpx.AsyncHTTPTransport).handle_async_request(
                outgoing
            )
            body = AsyncPieces(response.stream)
        else:
            pool = self._pool(self._host.sync_runtime(), httpx.HTTPTransport)
            response = pool.handle_request(outgoing)
            body = Pieces(response.stream)
        return RawReply(response.status_code, Headers.undecoded(response.headers.raw), body, response.extensions)

    def _pool(self, runtime: SyncRuntime | AsyncRuntime, make: Any) -> Any:
        pool = self._pools.get(runtime)
        if pool is None:
            import httpx

            pool = self._pools[runtime] = make(verify=ssl_context(httpx), trust_env=True)
        return pool

    def forget(self) -> None:
        """After a fork: the connections are the parent's."""
        self._pools = {}

    def drop(self, runtime: AsyncRuntime) -> None:
        """Let go of the connections of an event loop that is gone: nobody can close them in good order."""
        self._pools.pop(runtime, None)

    def close(self, runtime: SyncRuntime) -> None:
        """Close the connections of threads."""
        pool = self._pools.pop(runtime, None)
        if pool is not None:
            pool.close()

    async def aclose(self, runtime: AsyncRuntime, threads: SyncRuntime) -> None:
        """Close the connections of one event loop, and those of threads."""
        self.close(threads)
        pool = self._pools.pop(runtime, None)
        if pool is not None:
            await pool.aclose()
