"""The gateway on granian, for those who have it: an extra."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from clippy_serving.ending import ending_signals

if TYPE_CHECKING:
    from .app import GatewayApp
    from .plugin import Gateway


def serve_on_granian(app: GatewayApp, gateway: Gateway, opened: socket.socket) -> None:
    """Serve in this process and thread until SIGTERM, SIGINT or SIGHUP; *opened* only said which address is free.

    Raises RuntimeError where granian is not installed.
    """
    try:
        from granian.constants import Interfaces
        from granian.server.embed import Server
    except ImportError as error:
        raise RuntimeError("plugins.gateway.server is granian: pip install clippy-gateway[granian]") from error
    address: Any = opened.getsockname()
    opened.close()
    place = {"uds": gateway.uds} if gateway.uds is not None else {"address": address[0], "port": address[1]}
    server: Any = Server(app, interface=Interfaces.ASGINL, websockets=False, log_enabled=False, backlog=2048, **place)
    runner = _with_uvloop()

    async def serving() -> None:
        loop = asyncio.get_running_loop()
        for number in ending_signals():
            loop.add_signal_handler(number, stop)
        await app.open()
        try:
            await server.serve()
            until = loop.time() + gateway.drain
            while app.busy and loop.time() < until:  # noqa: ASYNC110 - counted in every request, waited for once
                await asyncio.sleep(0.05)
        finally:
            await app.close()

    ending: list[asyncio.Task[None]] = []

    def stop() -> None:
        ending.append(asyncio.get_running_loop().create_task(drained()))

    async def drained() -> None:
        await app.drain()
        server.stop()

    runner(serving())


def _with_uvloop() -> Any:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run
