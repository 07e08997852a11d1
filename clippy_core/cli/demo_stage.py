"""Where the demo plays: a provider on loopback, a host of what is installed, and a folder that goes away at the end."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from attrs import define, field
from clippy_hookspecs import AuditRecord, Outcome, RequestContext, hookimpl

from ..config_names import type_text
from ..config_structure import setting_fields
from ..discovery import Plugin
from ..host import Host
from ..testing import FakeServer, Reply, SeenRequest
from ..testing.script import Step
from .demo_pages import keep_open, pages_of
from .demo_sdks import FAKE_MODEL, AnthropicDriver, Driver, Endpoint, OpenAIDriver, OwnDriver, installed, with_model
from .output import visible
from .screen import Line, Screen

RECORDER = "clippy-demo"
"""The name of the demo's own plugin, which is left out of what is shown."""
KEY = "sk-demo-5f1c0b7e9a3d4826-not-a-real-key"
ROUTE = "demo"
_OURS = frozenset({"CLIPPY_PLUGINS", "CLIPPY_ALLOW", "CLIPPY_DISABLE"})


@define(eq=False)
class Recorder:
    """The demo's own plugin: it keeps the record of each request and tells of attempts as they end.

    ``live`` is the context of the request that began last.
    """

    observes_only = True
    live: RequestContext | None = field(init=False, default=None, repr=False)
    records: list[AuditRecord] = field(init=False, factory=list, repr=False)
    contexts: list[RequestContext] = field(init=False, factory=list, repr=False)
    watch: Callable[[Outcome, RequestContext], None] | None = field(init=False, default=None, repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    @hookimpl
    def pre_request(self, ctx: RequestContext) -> None:
        """Keep the context: a stream is steered through its flow."""
        self.live = ctx

    @hookimpl
    def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        """Tell whoever watches."""
        if self.watch is not None:
            self.watch(outcome, ctx)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """Keep the record, and the context whose trace goes on while others write theirs."""
        with self._lock:  # each has the place of the other
            self.records.append(record)
            self.contexts.append(ctx)


@define(eq=False)
class Acts:
    """What the fake provider does next; when nothing is planned it answers, or does what it does all the time."""

    planned: deque[Step] = field(factory=deque)
    always: Step | None = None

    def __call__(self, seen: SeenRequest) -> Step:
        return self.always or (self.planned.popleft() if self.planned else Reply(echo=True))


@define(eq=False)
class Stage:
    """What the scenes share.  ``server`` is None when the provider is a real one."""

    screen: Screen
    folder: Path
    server: FakeServer | None
    acts: Acts
    routes: Mapping[str, Any]
    primary: Driver
    other: Driver | None
    secrets: tuple[str, ...] = field(repr=False)
    recorder: Recorder = field(factory=Recorder)
    notes: Notes = field(factory=lambda: Notes())
    heading: Line = ()
    shown: dict[str, Any] = field(factory=dict)
    """A plugin that shows every host of the stage, by its name."""
    tell_pages: Callable[[], object] = field(init=False, default=lambda: None, repr=False)
    """Prints a link to its pages, where they are open."""
    host: Host = field(init=False)
    found: tuple[Plugin, ...] = field(init=False, default=())

    def __attrs_post_init__(self) -> None:
        self.host = self.new_host()

    def new_host(self, routes: Mapping[str, Any] | None = None, settings: str = "") -> Host:
        """A host of everything that is installed, with new instances: nothing in memory from before.

        *routes* are more than the stage's own, *settings* is what stands in its file, as TOML.
        """
        file = self.folder / "clippy.toml"
        file.write_text(settings, encoding="utf-8")
        routes = {**self.routes, **(routes or {})}
        host = Host.from_config(file, salt_path=self.folder / "salt", routes=routes)
        self.found = host.discovered.plugins
        return host.with_plugins({**host.plugins, **self.shown, RECORDER: self.recorder})

    def restart(self) -> None:
        """Close the host, so that everything is written, and make another, as a new process would."""
        self.host.close()
        self.host = self.new_host()

    def open_pages(self) -> Host:
        """From now on pages show what goes through each host; whoever closes the one that is returned closes them."""
        name, pages = pages_of(self.found)
        self.shown[name] = pages
        holder = keep_open(name, pages)
        self.tell_pages = lambda: pages.show(holder)
        self.restart()
        return holder

    @contextmanager
    def told(self, settings: str, routes: Mapping[str, Any] | None = None) -> Iterator[None]:
        """The host, for a while, as one with these settings and routes; then a new one without them."""
        self.host.close()
        self.host = self.new_host(routes, settings)
        try:
            yield
        finally:
            self.restart()

    @property
    def active(self) -> tuple[str, ...]:
        """The plugins that have something to do, but for the demo's own."""
        idle = {plugin.name for plugin in self.found if plugin.idle}
        return tuple(name for name in self.host.plugins if name != RECORDER and name not in idle)

    @property
    def sent(self) -> int:
        """Requests that reached the provider: by its own count, or by the attempts when it is not ours to ask."""
        if self.server is not None:
            return self.server.calls
        return sum(attempt.sent for record in self.recorder.records for attempt in record.attempts)

    def implementing(self, hook: str) -> list[str]:
        """The active plugins that implement *hook*, but for the demo's own."""
        return [plugin.name for plugin in self.host.discovered.chain(hook) if plugin.name != RECORDER]

    def writing_files(self, hook: str) -> list[str]:
        """Of those, the ones that have a file among their settings: what they keep outlives the process."""
        plugins = {plugin.name: plugin.object for plugin in self.host.discovered.loaded}
        return [name for name in self.implementing(hook) if _has_path(type(plugins[name]))]

    def show(self, *lines: Line) -> None:
        """Draw what goes on below the present heading."""
        self.screen.now(self.heading, *lines)

    def hide(self, text: str) -> str:
        """*text* without the keys that are in use."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def _has_path(cls: type[Any]) -> bool:
    return any("path" in type_text(attribute.type).split(" or ") for attribute in setting_fields(cls))


# --- setting it up ---------------------------------------------------------------------------------------------------


@contextmanager
def open_stage(screen: Screen, *, live: bool = False, model: str | None = None, pages: bool = False) -> Iterator[Stage]:
    """A stage for the length of a ``with``; it leaves no file, no setting and no thread behind.

    Raises ConfigError if CLIPPY_PLUGINS asks for something that is not there, UsageError if *live* has no key, or if
    *pages* are wanted and no plugin has any.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="clippy-demo-", ignore_cleanup_errors=True))
        stack.enter_context(_environment(Path(folder), live=live))
        notes = Notes()
        stack.enter_context(_log_into(notes))
        acts = Acts()
        server = None if live else stack.enter_context(FakeServer(acts, lifetime=86_400.0 if pages else 300.0))
        endpoints = _live_endpoints(model) if server is None else _fake_endpoints(server)
        primary, other = _drivers(endpoints)
        for driver in (primary, other):
            if driver is not None:
                stack.callback(driver.close)
        secrets = tuple(endpoint.key for endpoint in endpoints.values())
        stage = Stage(screen, Path(folder), server, acts, _routes(endpoints), primary, other, secrets, notes=notes)
        stack.callback(lambda: stage.host.close())
        if pages:
            stack.callback(stage.open_pages().close)
        yield stage


def _fake_endpoints(server: FakeServer) -> dict[str, Endpoint]:
    return {
        "openai": Endpoint(server.base_url, KEY, FAKE_MODEL),
        "anthropic": Endpoint(server.anthropic_url, KEY, FAKE_MODEL),
    }


def _live_endpoints(model: str | None) -> dict[str, Endpoint]:
    """The endpoints whose keys are in the environment; OPENAI_BASE_URL and the like count as with the SDKs."""
    found = {}
    for name in ("openai", "anthropic"):
        key, prefix = os.environ.get(f"{name.upper()}_API_KEY"), name.upper()
        if key:
            url = os.environ.get(f"{prefix}_BASE_URL") or None
            found[name] = Endpoint(url, key, os.environ.get(f"{prefix}_MODEL") or None)
    if not found:
        raise click.UsageError(
            "--live needs a key: set OPENAI_API_KEY (and OPENAI_BASE_URL for another provider with its API) "
            "or ANTHROPIC_API_KEY"
        )
    first = next(iter(found))
    found[first] = with_model(found[first], model)
    return found


def _drivers(endpoints: Mapping[str, Endpoint]) -> tuple[Driver, Driver | None]:
    """What asks, and what asks in the scene of another SDK."""
    made: list[Driver] = []
    if "openai" in endpoints and installed("openai"):
        made.append(OpenAIDriver(endpoints["openai"]))
    elif "openai" in endpoints:
        if endpoints["openai"].model is None:
            raise click.UsageError("without an SDK the model must be named: --model NAME, or OPENAI_MODEL")
        made.append(OwnDriver(ROUTE, endpoints["openai"].model))
    if "anthropic" in endpoints and installed("anthropic"):
        made.append(AnthropicDriver(endpoints["anthropic"]))
    if not made:
        raise click.UsageError("ANTHROPIC_API_KEY is set, but the anthropic SDK is not installed")
    return made[0], made[1] if len(made) > 1 else None


def _routes(endpoints: Mapping[str, Endpoint]) -> dict[str, Any]:
    """The route for our own client."""
    endpoint = endpoints.get("openai")
    if endpoint is None:
        return {}
    return {ROUTE: {"base_url": endpoint.base_url or "", "key": endpoint.key}}


# --- what must not leak in or out ------------------------------------------------------------------------------------


@contextmanager
def _environment(folder: Path, *, live: bool) -> Iterator[None]:
    """The process's environment with the user's folders inside *folder*, and without the user's settings.

    The plugins find their folders through platformdirs, so none of them has to be named here.
    """
    before = dict(os.environ)
    for name in before:
        foreign = not live and name.startswith(("OPENAI_", "ANTHROPIC_"))
        if foreign or (name.startswith("CLIPPY_") and name not in _OURS):
            del os.environ[name]
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        os.environ[f"XDG_{name}_HOME"] = str(folder / name.lower())
    os.environ["WIN_PD_OVERRIDE_LOCAL_APPDATA"] = os.environ["WIN_PD_OVERRIDE_APPDATA"] = str(folder)
    if sys.platform == "darwin":
        os.environ["HOME"] = str(folder)
    if not live:
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"  # loopback is not behind anybody's proxy
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Notes(logging.Handler):
    """What was logged.  While ``staged`` a provider fails on purpose: what plugins say of that is no news."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []
        self.staged = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if record.name == "clippy" or not self.staged:
            self.said.append(visible(record.getMessage()))


@contextmanager
def _log_into(handler: Notes) -> Iterator[None]:
    """The host's warnings, kept for the end: a line amid the screen would spoil it."""
    logger = logging.getLogger("clippy")
    handlers, propagate = list(logger.handlers), logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate
