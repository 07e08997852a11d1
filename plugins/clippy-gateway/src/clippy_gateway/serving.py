"""Serving the gateway in this process."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from signal import SIGTERM
from typing import TYPE_CHECKING

import click
from clippy_hookspecs.services import Host
from clippy_serving import Limits, Server
from clippy_serving.listening import listen

from .workers import supervise

if TYPE_CHECKING:
    from .app import GatewayApp
    from .plugin import Gateway

log = logging.getLogger("clippy.gateway")


@contextmanager
def listening(gateway: Gateway, fd: int | None) -> Iterator[socket.socket]:
    """A socket that listens where *gateway* says, for as long as it is wanted, or the open one *fd* of a worker.

    Raises NoAddress.
    """
    opened = socket.socket(fileno=fd) if fd is not None else listen(gateway.host, gateway.port, gateway.uds)
    try:
        yield opened
    finally:
        opened.close()
        if fd is None and gateway.uds is not None:
            gateway.uds.unlink(missing_ok=True)


def run(
    gateway: Gateway,
    described: Host,
    opened: socket.socket,
    *,
    check: bool = False,
    of_worker: bool = False,
    parent: int | None = None,
    serves: int | None = None,
) -> None:
    """Serve at *opened* until SIGTERM, SIGINT or SIGHUP, here or by workers.

    *parent* is the pipe of the supervisor, for workers, *serves* the one in which they say that they serve.  Raises
    ConfigError for settings that are wrong and RuntimeError if a plugin does not open.
    """
    app = gateway.app(gateway.over_aiohttp(described))
    if check:
        where = gateway.uds or f"{gateway.host}:{opened.getsockname()[1]}"
        click.echo(f"fine: routes {', '.join(app.choice.routes)}; {len(gateway.keys)} keys; {where} is free")
        return
    if of_worker:
        app.when_open = None if serves is None else partial(os.write, serves, b"+")
        serve(gateway, app, opened, parent)
        return
    port = opened.getsockname()[1] if gateway.uds is None else 0
    where = f"http://{gateway.host}:{port}" if gateway.uds is None else f"unix:{gateway.uds}"
    click.echo(f"serving at {where}" + (f" with {gateway.workers} workers" if gateway.workers > 1 else ""), err=True)
    if gateway.workers > 1 and app.pages is not None:
        log.warning(
            "each of the %d workers has pages of its own, with what came to it alone; how to see all of them stands in "
            "the guide to the gateway, under several workers",
            gateway.workers,
        )
    if gateway.workers > 1:
        supervise(opened, gateway.workers, gateway.drain)
    else:
        serve(gateway, app, opened, parent)


def serve(gateway: Gateway, app: GatewayApp, opened: socket.socket, parent: int | None) -> None:
    """Serve at *opened* in this process; also ends when the process at the other end of *parent* has ended."""
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), name="clippy-gateway-parent", daemon=True).start()
    _favour_requests()
    own = gateway.limits
    limits = Limits(body=own.body, headers=own.headers, head=own.head, target=own.target, stall_seconds=own.stall)
    if gateway.server == "granian":
        from .on_granian import serve_on_granian

        serve_on_granian(app, gateway, opened)
        return
    Server(app, sockets=[opened], drain=gateway.drain, limits=limits).run()


def _end_with(parent: int) -> None:
    while os.read(parent, 1):
        pass
    os.kill(os.getpid(), SIGTERM)


def _favour_requests() -> None:
    """Leave what was loaded out of garbage collection, collect less often, and let no thread keep the loop waiting.

    At the usual thresholds looking for cycles takes a sixth of a request's time, and requests leave hardly any; and a
    thread that writes behind may hold the interpreter for as long as ten requests take.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    sys.setswitchinterval(0.001)
