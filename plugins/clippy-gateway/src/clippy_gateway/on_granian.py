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

_LAST_WORDS = 2.0
"""Seconds in which granian closes the connections of those who were broken off; some may read nothing any more."""


def serve_on_granian(app: GatewayApp, gateway: Gateway, opened: socket.socket) -> None:
    """Serve at *opened* in this process and thread until SIGTERM, SIGINT or SIGHUP.

    Raises RuntimeError where granian is not installed, or is one that takes no open socket.
    """
    try:
        from granian import net
        from granian.constants import Interfaces
        from granian.server.embed import Server
    except ImportError as error:
        raise RuntimeError("plugins.gateway.server is granian: pip install clippy-gateway[granian]") from error
    if not hasattr(Server, "_init_shared_socket"):
        raise RuntimeError("this granian cannot serve at an open socket: pip install 'granian>=2.5,<2.9'")

    class OnOpened(Server):
        """Left alone it opens the address anew: who connected in between is reset, and a second worker gets none."""

        _shd: Any

        def _init_shared_socket(self) -> None:
            holder: Any = net.SocketHolder  # type: ignore[attr-defined]  # no public name, nor public arguments
            self._ssp, self._shd = None, holder(opened.detach(), gateway.uds is not None, 2048)

    answering: set[asyncio.Task[Any]] = set()
    served = with_manners(app, gateway.limits.stall, answering)
    server: Any = OnOpened(served, interface=Interfaces.ASGINL, websockets=False, log_enabled=False, backlog=2048)
    _with_uvloop()(_until_ended(app, server, gateway.drain, answering))


async def _until_ended(app: GatewayApp, server: Any, drain: float, answering: set[asyncio.Task[Any]]) -> None:
    """Serve until a signal, and then as long as answers take, at most *drain* seconds or until a second signal.

    granian itself would wait for its last answer however long that takes.
    """
    loop = asyncio.get_running_loop()
    ending, at_once = asyncio.Event(), asyncio.Event()
    for number in ending_signals():
        loop.add_signal_handler(number, lambda: (at_once if ending.is_set() else ending).set())
    await app.open()
    try:
        serving = loop.create_task(server.serve())
        await _first(serving, ending)
        await _first(loop.create_task(app.drain()), at_once)
        server.stop()
        await _first(serving, at_once, drain)
        for one in answering:
            one.cancel()
        await asyncio.wait([serving], timeout=_LAST_WORDS)
    finally:
        await app.close()


async def _first(task: asyncio.Task[Any], event: asyncio.Event, seconds: float | None = None) -> None:
    """Until *task* is done or *event* is set, at most so many *seconds*."""
    waiting = asyncio.get_running_loop().create_task(event.wait())
    await asyncio.wait([task, waiting], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()


def with_manners(
    app: Callable[..., Awaitable[None]], stall: float, answering: set[asyncio.Task[Any]]
) -> Callable[..., Awaitable[None]]:
    """*app*, cut off where a piece of an answer is not taken for *stall* seconds; *answering* are those under way.

    granian shows nothing of what the system holds, so a reader that takes less than a third of that in this time is
    taken for one that has stopped.  And it says of a body that is no HTTP that its caller has left, who is then
    answered with a 500 of its own.
    """

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        task: Any = asyncio.current_task()
        answering.add(task)
        task.add_done_callback(answering.discard)
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
