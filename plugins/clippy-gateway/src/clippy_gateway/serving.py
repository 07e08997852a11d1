"""Serving the gateway in this process, or by workers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import click
from clippy_hookspecs.services import Host
from clippy_serving import Limits, Server

if TYPE_CHECKING:
    from .plugin import Gateway


def run(gateway: Gateway, described: Host, *, check: bool = False, fd: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT.  Raises ConfigError for settings that are wrong and OSError for the address."""
    app = gateway.app(gateway.over_aiohttp(described))
    if check:
        click.echo(f"fine: {len(app.choice.routes)} routes, {len(gateway.keys)} keys")
        return
    head = Limits(body=gateway.limits.body, headers=gateway.limits.headers, head=gateway.limits.head)
    sockets = None if fd is None else [socket.socket(fileno=fd)]
    server = Server(app, gateway.host, gateway.port, gateway.uds, sockets, gateway.drain, head)
    if fd is None:
        click.echo(f"serving {gateway.uds or f'http://{gateway.host}:{gateway.port}'}", err=True)
    server.run()
