"""``clippy serve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

if TYPE_CHECKING:
    from .plugin import Gateway


def serve_command(gateway: Gateway, cli: Any) -> click.Command:
    """Put the host between any program and its providers, over HTTP."""

    @click.command("serve", help=serve_command.__doc__)
    @click.option("--host", help="Address to listen at.")
    @click.option("--port", type=click.IntRange(0, 65535), help="Port to listen at; 0 takes a free one.")
    @click.option("--uds", type=click.Path(path_type=Path), help="Unix socket to listen at.")
    @click.option("--workers", type=click.IntRange(min=1), help="Processes that serve.")
    @click.option("--access-log", metavar="WHERE", help="A line for each request, to the file WHERE or to stderr.")
    @click.option(
        "--check", is_flag=True, help="Say whether it could serve, and stop; with --port 0 beside one that runs."
    )
    @click.option("--fd", type=int, hidden=True, help="Listen at this open socket: for workers.")
    @click.option("--of", type=int, default=1, hidden=True, help="Be one of so many: for workers.")
    @click.option("--siblings", type=click.Path(path_type=Path), hidden=True, help="Where they meet: for workers.")
    @click.option("--place", type=int, default=0, hidden=True, help="Which of them this is, from 0: for workers.")
    @click.option("--parent", type=int, hidden=True, help="End when this pipe does: for workers.")
    @click.option("--serves", type=int, hidden=True, help="Say in this pipe that it serves: for workers.")
    def serve(
        check: bool,
        fd: int | None,
        of: int,
        siblings: Path | None,
        place: int,
        parent: int | None,
        serves: int | None,
        access_log: str | None,
        **given: Any,
    ) -> None:
        from .log_lines import begin
        from .serving import be_worker, listening, run

        if access_log is not None:
            given["access_log"] = evolve(gateway.access_log, to=access_log)
        told = {name: value for name, value in given.items() if value is not None}
        if "uds" not in told and told.keys() & {"host", "port"}:
            told["uds"] = None  # who names an address here does not mean the socket of the configuration
        settings = evolve(gateway, **told)
        settings.among = of
        if not check:
            begin(settings.log_format or settings.access_log.format)
        # The configuration first: what is wrong in it may be why the address cannot be had.
        with cli.host() as described:
            pass  # it opened, so it can be opened; the workers do that, each in its own event loop
        with listening(settings, fd) as opened:
            if fd is None:
                run(settings, described, opened, check=check)
            else:
                be_worker(settings, described, opened, siblings, place, parent, serves)

    return serve
