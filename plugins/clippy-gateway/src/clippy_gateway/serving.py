"""Serving the gateway in this process."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from signal import SIGTERM
from typing import TYPE_CHECKING

import click
from clippy_hookspecs import ConfigError
from clippy_hookspecs.services import Host, Unopened
from clippy_serving import Limits, Server
from clippy_serving.listening import SocketFile, listen
from clippy_serving.siblings import Siblings

from .descriptors import allow_connections
from .log_lines import tell
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
    file = SocketFile.of(gateway.uds) if fd is None and gateway.uds is not None else None
    try:
        yield opened
    finally:
        opened.close()
        if file is not None:
            file.remove()


def run(
    gateway: Gateway,
    described: Host,
    opened: socket.socket,
    *,
    check: bool = False,
) -> None:
    """Serve at *opened* until SIGTERM, SIGINT or SIGHUP, here or by workers.

    Raises ConfigError for settings that are wrong and RuntimeError if a plugin does not open.
    """
    faults = [*gateway.faults(described), *gateway.unopened()]
    if check:  # what serves all the same, and loses its records
        others = [one for one in described.plugins.values() if not isinstance(one, type(gateway))]
        faults += [what for one in others if isinstance(one, Unopened) for what in one.unopened()]
    if faults:
        raise ConfigError(faults)
    if gateway.workers > 1 and not check:
        with _siblings(gateway.workers) as siblings:
            app = gateway.app(gateway.over_aiohttp(described), siblings, _visited(gateway, opened))
            _supervise(gateway, app, opened, siblings)
        return
    host = gateway.over_aiohttp(described)
    if check:  # without the pages, which would hand out links to a gateway that does not serve
        where = gateway.uds or f"{gateway.host}:{opened.getsockname()[1]}"
        click.echo(f"fine: routes {', '.join(host.routes)}; {len(gateway.keys)} keys; {where} is free")
        return
    app = gateway.app(host, address=_visited(gateway, opened))
    app.when_open = partial(tell, f"serving at {_where(gateway, opened)}")
    serve(gateway, app, opened)


def be_worker(
    gateway: Gateway,
    described: Host,
    opened: socket.socket,
    meeting: Path | None,
    place: int,
    parent: int | None,
    serves: int | None,
) -> None:
    """Serve at *opened* as one of several workers.

    *meeting* is the folder of its siblings and *place* which of them it is, *parent* the pipe of the supervisor, with
    whom it ends, *serves* the one in which it says that it serves.  Raises as ``run`` does.
    """
    siblings = None if meeting is None else _joined(meeting, gateway.among, place)
    app = gateway.app(gateway.over_aiohttp(described), siblings)
    app.when_open = None if serves is None else partial(os.write, serves, b"+")
    if parent is not None:
        ending = threading.Thread(target=_end_with, args=(parent, siblings), name="clippy-gateway-parent", daemon=True)
        ending.start()
    serve(gateway, app, opened)


def _supervise(gateway: Gateway, app: GatewayApp, opened: socket.socket, siblings: Siblings | None) -> None:
    if siblings is None and app.pages is not None:
        log.warning("each of the %d workers has pages of its own, with what came to it alone", gateway.workers)
    said = f"serving at {_where(gateway, opened)} with {gateway.workers} workers"
    meeting = None if siblings is None else siblings.folder
    supervise(opened, gateway.workers, gateway.drain, meeting, partial(tell, said))


@contextmanager
def _siblings(count: int) -> Iterator[Siblings | None]:
    """Where *count* workers meet; None where this user may write no files: each is alone then."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(Siblings.founded(count))
        except OSError as error:
            log.warning("the workers have no folder in which they could meet: %s", error)
            made = None
        yield made


def _joined(meeting: Path, count: int, place: int) -> Siblings | None:
    try:
        return Siblings.joined(meeting, count, place)
    except OSError as error:  # somebody has removed it: that is no reason to answer nobody
        log.warning("this worker cannot meet the others, and has pages of its own: %s", error)
        return None


def _where(gateway: Gateway, opened: socket.socket) -> str:
    return f"http://{gateway.host}:{opened.getsockname()[1]}" if gateway.uds is None else f"unix:{gateway.uds}"


def _visited(gateway: Gateway, opened: socket.socket) -> str:
    """Where a browser of this machine finds what *opened* serves: all addresses of it are loopback, too."""
    if gateway.uds is not None:
        return ""
    host, port = opened.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def serve(gateway: Gateway, app: GatewayApp, opened: socket.socket) -> None:
    """Serve at *opened* in this process."""
    favour_requests()
    own = gateway.limits
    allow_connections(own.concurrency)
    limits = Limits(body=own.body, headers=own.headers, head=own.head, target=own.target, stall_seconds=own.stall)
    app.when_draining = partial(_draining, gateway)
    if gateway.server == "granian":
        from .on_granian import serve_on_granian

        serve_on_granian(app, gateway, opened)
    else:
        Server(app, sockets=[opened], drain=gateway.drain, limits=limits).run()
    if app.draining:
        tell(f"{_who(gateway)}ended; {_requests(app.broken)} broken off")


def _draining(gateway: Gateway, busy: int) -> None:
    first = f"no new ones after {gateway.notice:g} s, and " if gateway.notice else ""
    tell(f"{_who(gateway)}ending: {first}{gateway.drain:g} s at most for {_requests(busy)} under way")


def _who(gateway: Gateway) -> str:
    return f"worker {os.getpid()}: " if gateway.among > 1 else ""


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"


def _end_with(parent: int, siblings: Siblings | None) -> None:
    while os.read(parent, 1):
        pass
    if siblings is not None:
        siblings.abandoned()
    os.kill(os.getpid(), SIGTERM)


def favour_requests() -> None:
    """Leave what was loaded out of garbage collection, collect less often, and let no thread keep the loop waiting.

    At the usual thresholds looking for cycles takes a sixth of a request's time, and requests leave hardly any; and a
    thread that writes behind may hold the interpreter for as long as ten requests take.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    sys.setswitchinterval(0.001)
