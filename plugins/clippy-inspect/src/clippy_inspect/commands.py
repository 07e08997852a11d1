"""``clippy inspect``: a recording in the browser, whole or while it is being written."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from typing import IO, Any

import click
from clippy_hookspecs import Host
from clippy_lines.looking import visible
from clippy_recorder import Recorder, StrangeRecording

from .recordings import Recording
from .top_command import token_of

_HINT = (
    "name a recording, or let the recorder write one: enabled = true and path = FILE in [plugins.recorder].\n"
    "A running program shows its own pages: enabled = true in [plugins.inspect], or clippy_inspect.attach(host)"
)


def inspect_command(cli: Any) -> click.Command:
    """Show FILE, a recording of the recorder, in a browser, and go on while it is being written.

    Without FILE: what the configured recorder writes.  With --link nothing is shown here: a program whose link was
    used or has run out makes another, for who knows the token in its [plugins.inspect].
    """

    @click.command("inspect", help=inspect_command.__doc__)
    @click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
    @click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of 127.0.0.1; 0: any that is free.")
    @click.option("--open", "open_", is_flag=True, help="Open the pages in the browser.")
    @click.option("--link", metavar="ADDRESS", help="Print another one-time link to the pages of a running program.")
    @click.option("--token-file", type=click.File("r"), help="For --link: file with the token; - is standard input.")
    def inspect(file: Path | None, port: int, open_: bool, link: str | None, token_file: IO[str] | None) -> None:
        if link is not None:
            click.echo(f"once within ten minutes: {_another(link, token_file)}")
            return
        path = file or _configured(cli)
        if path is None:
            raise click.UsageError(_HINT)
        try:
            recording = Recording(path)
        except FileNotFoundError as error:
            raise click.ClickException(visible(f"there is no file {path}")) from error
        except (OSError, StrangeRecording) as error:
            raise click.ClickException(visible(str(error))) from error
        with cli.bare() as host:
            _serve(recording, host, port, open_)

    return inspect


def _another(address: str, token_file: IO[str] | None) -> str:
    from .top import line
    from .watching import CannotTell, Inspector

    try:
        return Inspector(address, token_of(token_file)).link()
    except CannotTell as error:
        raise click.ClickException(line(error, 400)) from error


def _configured(cli: Any) -> Path | None:
    with cli.host() as host:
        paths = [one.path for one in host.plugins.values() if isinstance(one, Recorder)]
    return next((path for path in paths if path is not None), None)


def _serve(recording: Recording, host: Host, port: int, open_: bool) -> None:
    """Until Ctrl-C or SIGTERM."""
    from clippy_serving import Server  # the command line lists its commands without a server

    from .door import Door
    from .site import application
    from .view import View

    door = Door()
    server = Server(application(View(recording, door.csrf, bare=host), door), port=port, drain=2)
    try:
        server.start()
    except OSError as error:
        raise click.ClickException(visible(str(error))) from error
    door.port = server.port
    ended = threading.Event()
    before = {number: signal(number, lambda *_: ended.set()) for number in (SIGTERM, SIGINT)}
    recording.follow()
    try:
        link = door.link()
        click.echo(f"once within ten minutes: {link}")
        if open_:
            webbrowser.open(link)
        ended.wait()
    finally:
        for number, handler in before.items():
            signal(number, handler)
        recording.stop()
        server.stop()
