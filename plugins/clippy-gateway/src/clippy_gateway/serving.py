"""Serving the gateway in this process."""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
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


def run(
    gateway: Gateway, described: Host, *, check: bool = False, fd: int | None = None, parent: int | None = None
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, here or by workers.

    *fd* is a socket that listens and *parent* the pipe of the supervisor, for workers.  Raises ConfigError for settings
    that are wrong, OSError for an address that cannot be had and RuntimeError if a plugin does not open.
    """
    app = gateway.app(gateway.over_aiohttp(described))
    if check:
        click.echo(f"fine: routes {', '.join(app.choice.routes)}; {len(gateway.keys)} keys")
        return
    if fd is not None:
        serve(gateway, app, socket.socket(fileno=fd), parent)
        return
    opened = listen(gateway.host, gateway.port, gateway.uds)
    port = opened.getsockname()[1] if gateway.uds is None else 0
    where = f"http://{gateway.host}:{port}" if gateway.uds is None else f"unix:{gateway.uds}"
    click.echo(f"serving at {where}" + (f" with {gateway.workers} workers" if gateway.workers > 1 else ""), err=True)
    try:
        if gateway.workers > 1:
            supervise(opened, gateway.workers, gateway.drain)
        else:
            serve(gateway, app, opened, parent)
    finally:
        if gateway.uds is not None:
            gateway.uds.unlink(missing_ok=True)


def serve(gateway: Gateway, app: GatewayApp, opened: socket.socket, parent: int | None) -> None:
    """Serve at *opened* in this process; also ends when the process at the other end of *parent* has ended."""
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), name="clippy-gateway-parent", daemon=True).start()
    _favour_requests()
    limits = gateway.limits
    head = Limits(body=limits.body, headers=limits.headers, head=limits.head, target=limits.target)
    if gateway.server == "granian":
        from .on_granian import serve_on_granian

        serve_on_granian(app, gateway, opened)
        return
    Server(app, sockets=[opened], drain=gateway.drain, limits=head).run()


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
