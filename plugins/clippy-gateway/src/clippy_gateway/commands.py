"""``clippy serve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

if TYPE_CHECKING:
    from .plugin import Gateway


def serve_command(gateway: Gateway, cli: Any) -> click.Command:
    """The command, which serves *gateway* on the host of the configuration."""

    @click.command("serve")
    @click.option("--host", help="Address to listen at.")
    @click.option("--port", type=int, help="Port to listen at; 0 takes a free one.")
    @click.option("--uds", type=click.Path(path_type=Path), help="Unix socket to listen at.")
    @click.option("--workers", type=click.IntRange(min=1), help="Processes that serve.")
    @click.option("--check", is_flag=True, help="Say whether it could serve, and stop.")
    @click.option("--fd", type=int, hidden=True, help="Listen at this open socket: for workers.")
    @click.option("--parent", type=int, hidden=True, help="End when this pipe does: for workers.")
    def serve(check: bool, fd: int | None, parent: int | None, **given: Any) -> None:
        """Put the host between any program and its providers, over HTTP."""
        from .serving import run

        settings = evolve(gateway, **{name: value for name, value in given.items() if value is not None})
        with cli.host() as described:
            pass  # it opened, so it can be opened; the workers do that, each in its own event loop
        run(settings, described, check=check, fd=fd, parent=parent)

    return serve
