"""The plugin: opens the pages beside a program, or on a gateway."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Literal

from attrs import define, field
from attrs.validators import ge, in_, le, min_len, optional
from clippy_hookspecs import AuditRecord, Event, Host, RequestContext, Routes, hookimpl
from clippy_recorder import Recorder
from clippy_recorder.generating import generates

from .pace import Pace

if TYPE_CHECKING:  # what serves pages is imported when they open: a program in production has this plugin, too
    import asyncio

    from clippy_serving.siblings import Siblings

    from .door import Door
    from .view import Source, View

SOON = 0.3
"""Seconds that a host is open before its pages are."""


@define(eq=False)
class Inspect:
    """Shows what a program asks of its models, in pages on loopback for one browser."""

    enabled: bool = field(default=False, metadata={"doc": "open the pages while the host is open"})
    port: int = field(default=0, validator=[ge(0), le(65535)], metadata={"doc": "port of 127.0.0.1; 0: any free one"})
    open: bool = field(default=False, metadata={"doc": "open the pages in the browser of this machine"})
    level: Literal["minimal", "standard", "detailed"] = field(
        default="detailed",
        validator=in_(("minimal", "standard", "detailed")),
        metadata={"doc": "what is kept for the pages where no recorder is enabled"},
    )
    gateway: bool = field(
        default=False, metadata={"doc": "with enabled, offer the pages on the gateway's own address as well"}
    )
    hosts: tuple[str, ...] = field(
        default=(),
        converter=tuple,
        metadata={
            "doc": "names by which a browser reaches the gateway, beside loopback; https://name where TLS is in front"
        },
    )
    token: str | None = field(
        default=None,
        repr=False,
        validator=optional(min_len(24)),
        metadata={"doc": "what scripts and `clippy inspect --link` send; None: a random one for each start"},
    )

    observes_only = True  # it changes no request and no answer
    observes_passed = False  # the trace tells of hooks that did nothing
    by_itself: bool = field(init=False, default=True, repr=False)  # the pages open with the host, not only by attach
    _recorder: Recorder = field(init=False, repr=False)
    _recording: bool = field(init=False, default=False)
    _server: Any = field(init=False, default=None, repr=False)
    _link: Callable[[], str] | None = field(init=False, default=None, repr=False)
    _offered: bool = field(init=False, default=False, repr=False)
    """Whether a gateway has the pages at its own address."""
    _serves: bool = field(init=False, default=False, repr=False)
    """Whether a gateway serves with it, whose requests run in ``_loop``."""
    _loop: Any = field(init=False, default=None, repr=False)
    _say: Callable[[str], None] = field(init=False, default=lambda text: _say(text), repr=False)
    _process: int | None = field(init=False, default=None)
    _holders: int = field(init=False, default=0)
    _lock: Any = field(init=False, factory=threading.Lock, repr=False)
    _host: Host | None = field(init=False, default=None, repr=False)
    _source: Any = field(init=False, repr=False)
    _pace: Pace = field(init=False, factory=Pace, repr=False)
    _deaf: Callable[[], None] = field(init=False, default=lambda: None, repr=False)
    _siblings: Any = field(init=False, default=None, repr=False)
    _held: IO[str] | None = field(init=False, default=None, repr=False)
    _together: Any = field(init=False, default=None, repr=False)
    _told: Callable[[str], None] | None = field(init=False, default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        self._recorder = Recorder(enabled=True, level=self.level)
        self._source = self._recorder

    @property
    def idle(self) -> str | None:
        """Why it has nothing to do, None if it has."""
        return None if self.enabled else "enabled is not set"

    @property
    def reads_content(self) -> bool:
        """Whether the host must hand it what was said."""
        return self._recorder.reads_content

    @property
    def address(self) -> str | None:
        """Where the pages are, None while they are closed."""
        return None if self._server is None else f"http://127.0.0.1:{self._server.port}"

    @property
    def source(self) -> Source:
        """Where the pages take their requests from: the host's recorder, or this plugin's own."""
        return self._source  # type: ignore[no-any-return]

    # --- the hooks ----------------------------------------------------------------------------------------------------

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        """The pages are open as long as the host is, if that is more than a moment and not a command's.

        A program may open a host only to look at its plugins, and must not take a port for that.
        """
        with self._lock:
            if not self._elsewhere():
                self._look_at(host)
            self._holders += 1
        if self._serves:
            self._loop = _loop_here()
        opening = threading.Timer(SOON, self._soon, (host,))
        opening.daemon = True
        for_command = getattr(host, "for_command", False)  # an older core says nothing of it
        if self.by_itself and self._has_a_port() and not for_command:
            opening.start()
        try:
            yield
        finally:
            opening.cancel()
            with self._lock:
                self._holders -= 1
                over = self._holders == 0
            if over:
                self.hide()

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        """Count what begins; keep what happens, where no recorder does."""
        if event.kind == "request" and generates(event.data.method, event.data.url):
            self._pace.heard(ctx.id)
        if self._recording:
            self._recorder.observe(event, ctx)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """Keep what became of a call, where no recorder does."""
        if self._recording:
            self._recorder.audit(record, ctx)

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        """``clippy inspect`` and ``clippy top``."""
        from .commands import inspect_command
        from .top_command import top_command

        cli.add_command(inspect_command(cli))
        cli.add_command(top_command())

    @hookimpl
    def register_routes(self, app: Routes) -> None:
        """The pages on the gateway, with the same questions asked about every request."""
        self._serves, siblings = True, getattr(app, "siblings", None)
        self._siblings, self._say = siblings, getattr(app, "tell", None) or _say
        if siblings is not None and siblings.place is not None and self.enabled:
            self._join(siblings)
        if not self.gateway:
            return
        from .site import guarded

        self._offered, door = True, self._door(None)
        for method, path, handler in guarded(self._view(_Late(self), door), door):
            app.route(method, path, handler)
        if not self.enabled:
            self._say("the pages of this gateway will show nothing: set plugins.inspect.enabled = true as well")
        if siblings is None or siblings.place is None:  # the supervisor says it for all workers
            address = getattr(app, "address", "")
            where = f"{address}{door.code()}" if address else f"{door.code()} at its address"
            self._say(f"the pages of this gateway, once within ten minutes: {where}")

    def _join(self, siblings: Siblings) -> None:
        """Know what all workers have, and tell them what this one has."""
        from .telling import Telling
        from .together import Together

        telling = Telling(_Late(self), self._pace, lambda: self._host)
        telling.to(siblings)
        self._told = telling.heard
        self._together = Together(_Late(self), self._pace, siblings)

    # --- opening and closing ------------------------------------------------------------------------------------------

    def show(self, host: Host, open: bool = False) -> None:  # noqa: A002 - as in the configuration
        """Open the pages of *host*, unless they are open; print a link, also another one to pages that are.

        *open*: open that one in the browser of this machine.  Raises OSError for a port that is taken.
        """
        link = self._link
        if link is not None and not self._elsewhere():
            self._tell(link(), open)
        else:
            self._open(host, lambda: True)

    def _open(self, host: Host, wanted: Callable[[], bool], held: IO[str] | None = None) -> None:
        """Open the pages, if they are *wanted* still.  *held* is what only one of several workers has: in it stands
        the port of the one before, whose browsers come to us, so no other link is said."""
        before = int(held.read() or 0) if held is not None else 0
        with self._lock:
            if self._elsewhere() or self._server is not None or not wanted():
                if held is not None:
                    held.close()
                return
            from clippy_serving import Server

            from .site import application

            self._look_at(host)
            door = self._door(before)
            view = self._view(self._source, door, kept=getattr(self._source, "keep", 500), apart=True)
            server = Server(application(view, door), port=before or self.port, drain=2)
            self._held = held  # also where it cannot be opened, which the others would only say again
            server.start()
            door.port, self._server, self._link = server.port, server, door.link
        if before:
            return
        if held is not None:
            print(server.port, file=held, end="", flush=True)
        self._tell(door.link(), self.open)

    def hide(self) -> None:
        """Close the pages."""
        if self._elsewhere():
            return
        with self._lock:
            server, self._server, self._host, self._link = self._server, None, None, None
            held, self._held = self._held, None
            self._deaf()
        if server is not None:
            server.stop()
        if held is not None:
            held.close()

    def _soon(self, host: Host) -> None:
        """What the timer of a lifespan does; a program must not fail for want of its debugger."""
        siblings = self._siblings
        try:
            held = None if siblings is None or siblings.place is None else siblings.held("pages")
            self._open(host, lambda: self._holders > 0, held)  # it may have been closed meanwhile
        except OSError as error:
            self._say(f"the pages of this program are not open: {error.strerror or error}")

    def _tell(self, link: str, browse: bool) -> None:
        self._say(f"what this program asks of its models, once within ten minutes: {link}")
        if browse and not webbrowser.open(link):
            self._say("no browser could be opened here")

    def _look_at(self, host: Host) -> None:
        others = [one for one in host.plugins.values() if isinstance(one, Recorder) and one.idle is None]
        self._source = others[0] if others else self._recorder
        self._recording, self._host, self._process = not others, host, os.getpid()
        self._deaf()
        self._deaf = self._source.subscribe(self._heard)

    def _heard(self, request_id: str) -> None:
        if self._told is not None:
            self._told(request_id)

    def _elsewhere(self) -> bool:
        """Whether this is a forked child: the pages are its parent's, and so is their port."""
        return self._process not in {None, os.getpid()}

    def _has_a_port(self) -> bool:
        """Whether the pages have a port of their own, since no gateway offers them at its address: of several workers
        whichever comes first opens it for all."""
        return not self._offered

    def _view(self, source: Source, door: Door, **more: Any) -> View:
        """Of what *source* has, or all workers together, where there are several."""
        from .view import View

        together = self._together
        shown = source if together is None else together
        return View(
            shown, door.csrf, lambda: self._host, loop=lambda: self._loop, pace=self._pace, others=together, **more
        )

    def _door(self, port: int | None) -> Door:
        from .door import Door
        from .keys import Keys, lasting

        among, token = self._siblings, self.token
        keys = Keys() if among is None else Keys(among.derived("inspect"), among.is_first)
        if token is not None:
            keys.lasting = lasting(token)
        return Door(port, self.hosts, keys=keys) if token is None else Door(port, self.hosts, token, keys)


@define(eq=False)
class _Late:
    """The source that the plugin has when it is asked: a gateway takes its routes before its host is open."""

    plugin: Inspect

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plugin.source, name)


def _loop_here() -> asyncio.AbstractEventLoop | None:
    import asyncio  # a gateway's: a program that uses no event loop imports none

    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # whoever made the gateway's application opened its host himself
        return None


def _say(text: str) -> None:
    print(f"clippy: {text}", file=sys.stderr, flush=True)
