"""The gateway on granian, for those who have it: an extra."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from clippy_serving import STALLED
from clippy_serving.ending import ending_signals

from .bodies import Gone
from .forms import Refused, error_body, error_headers, is_anthropic

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
    served = with_manners(app, gateway.limits.stall)
    server: Any = Server(
        served, interface=Interfaces.ASGINL, websockets=False, log_enabled=False, backlog=2048, **place
    )
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


def with_manners(app: Callable[..., Awaitable[None]], stall: float) -> Callable[..., Awaitable[None]]:
    """*app*, whose answers are cut off when a piece of one is not taken for *stall* seconds.

    granian shows nothing of what the system holds, so a reader that takes less than a third of that in this time is
    taken for one that has stopped.  And it says of a body that is no HTTP that its caller has left, who is then
    answered with a 500 of its own.
    """

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        began = False

        async def send_in_time(message: Any) -> None:
            nonlocal began
            began = True
            try:
                async with asyncio.timeout(stall):
                    await send(message)
            except TimeoutError:
                scope[STALLED] = True
                raise Gone from None

        try:
            await app(scope, receive, send_in_time)
        except Gone:
            return
        if not began and scope["type"] == "http":
            await _refuse(scope, send)

    return answer


async def _refuse(scope: Any, send: Any) -> None:
    refused = Refused(400, "bad_body", "the body broke off, or its chunks cannot be read", close=True)
    anthropic, request_id = is_anthropic(scope["path"], dict(scope["headers"])), os.urandom(8).hex()
    body = error_body(anthropic, refused.status, refused.code, refused.message, request_id)
    await send({"type": "http.response.start", "status": refused.status, "headers": error_headers(refused, body)})
    await send({"type": "http.response.body", "body": body})


def _with_uvloop() -> Any:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run
