"""The plugin: its settings are the gateway's, its command serves it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from attrs import define, field
from attrs.validators import and_, ge, gt, in_, le, optional
from clippy_hookspecs import ConfigError, StatusTable, hookimpl
from clippy_hookspecs.services import Host

from .addresses import address_fault
from .refusals import Refusals
from .settings import AccessLog, Connections, Key, RequestLimits, doc

if TYPE_CHECKING:  # what serves is imported when it serves: every program that has the plugin imports this module
    from clippy_serving.siblings import Siblings

    from .access import Access
    from .app import GatewayApp

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@define(eq=False)
class Gateway:
    """``clippy serve``: the host that the configuration describes, for every program that speaks HTTP."""

    host: str = field(default="127.0.0.1", metadata=doc("address to listen at; another than loopback needs keys"))
    port: int = field(
        default=8787, validator=and_(ge(0), le(65535)), metadata=doc("port to listen at; 0 takes a free one")
    )
    uds: Path | None = field(default=None, metadata=doc("unix socket to listen at instead, for this user only"))
    workers: int = field(default=1, validator=gt(0), metadata=doc("processes that serve"))
    server: Literal["uvicorn", "granian"] = field(
        default="uvicorn",
        validator=in_(("uvicorn", "granian")),
        metadata=doc(
            "what speaks HTTP to the callers; a drain of granian closes connections that have asked nothing yet"
        ),
    )
    drain: float = field(default=30.0, validator=gt(0), metadata=doc("seconds that answers may take after SIGTERM"))
    notice: float = field(
        default=0.0,
        validator=ge(0),
        metadata=doc("seconds after SIGTERM in which /ready says no and requests are still taken: for load balancers"),
    )
    keys: Mapping[str, Key] = field(factory=dict, metadata=doc("callers by name, each with a key of the gateway's own"))
    models: Mapping[str, str] = field(
        factory=dict,
        metadata=doc('routes by the model asked for, "gpt-*" too; the first that fits counts') | {"names": "routes"},
    )
    limits: RequestLimits = field(factory=RequestLimits, metadata=doc("what one request may take up"))
    upstream: Connections = field(factory=Connections, metadata=doc("connections to the providers"))
    access_log: AccessLog = field(factory=AccessLog, metadata=doc("a line for each request, none by default"))

    log_format: Literal["text", "json"] | None = field(
        default=None,
        validator=optional(in_(("text", "json"))),
        metadata=doc("how clippy serve logs beside it: text, json; by default as access_log.format"),
    )

    among: int = field(default=1, init=False)
    """Workers that serve at the same address, of which this process is one."""
    directives: ClassVar[tuple[str, ...]] = ("route", "base-url")
    _refusals: Refusals = field(factory=Refusals, init=False, repr=False)
    _access: Any = field(default=None, init=False, repr=False)

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        from .commands import serve_command

        cli.add_command(serve_command(self, cli))

    async def status_tables(self) -> list[StatusTable]:
        """What this process refused itself; where it is one of several workers, which one this is."""
        tables = [self._refusals.table()]
        if self.among > 1:
            row = (os.getpid(), self.among)
            tables.insert(0, StatusTable("this worker", ("process", "one of"), (row,)))
        return tables

    def faults(self, host: Host) -> list[str]:
        """What is wrong with the settings on this host, a sentence each."""
        routes = host.routes
        found = []
        if not routes:
            found.append("no route says where requests go: add [routes.main] with api and key, see clippy config show")
        if self.uds is None and self.host not in _LOOPBACK and not self.keys:
            found.append(
                f"plugins.gateway.host is {self.host!r}, which others can reach, and plugins.gateway.keys is empty: "
                "give each caller a key, or listen at 127.0.0.1"
            )
        named = [(f"plugins.gateway.models.{model!r}", route) for model, route in self.models.items()]
        named += [
            (f"plugins.gateway.keys.{name}.routes", route) for name, key in self.keys.items() for route in key.routes
        ]
        known = ", ".join(routes) or "none"
        found += [
            f"{where} names the route {route!r}; the configuration has {known}"
            for where, route in named
            if route not in routes
        ]
        if len({key.key for key in self.keys.values()}) != len(self.keys):
            found.append("two of plugins.gateway.keys have the same key, so nobody could tell their callers apart")
        for name, route in routes.items():
            fault = address_fault(route.base_url, trusted=True) if route.base_url else None
            if fault is not None:
                found.append(f"routes.{name}.base_url: {fault}")
        return found

    def app(self, host: Host, siblings: Siblings | None = None, address: str = "") -> GatewayApp:
        """The gateway on *host* at *address*, one of *siblings*.  Raises ConfigError for faults of the settings."""
        from .app import GatewayApp
        from .callers import Callers
        from .choosing import Choice
        from .pages import pages_of

        faults = self.faults(host)
        if faults:
            raise ConfigError(faults)
        return GatewayApp(
            host,
            Callers(self.keys),
            Choice(host.routes, self.models),
            self.limits,
            pages_of(host, siblings, address),
            self.notice,
            self._refusals,
            self._written(),
        )

    def unopened(self) -> list[str]:
        """What could not be opened to serve, beside the plugins and the address: tried out, a sentence each."""
        access = self._written()
        return [] if access is None else access.faults()

    def over_aiohttp(self, host: Host) -> Host:
        """*host* with this gateway for its own and aiohttp under it, unless another plugin offers what sends."""
        from .upstream import AiohttpUpstream

        # The command's options make another gateway of the configured one; pages shall show the one that serves.
        plugins = {name: self if isinstance(plugin, Gateway) else plugin for name, plugin in host.plugins.items()}
        access = self._written()
        if access is not None and self.access_log.usage:
            plugins["access-log"] = access
        public = tuple(dict.fromkeys(name for key in self.keys.values() for name in key.base_urls))
        return host.with_plugins({**plugins, "aiohttp": AiohttpUpstream(self.upstream, public)})

    def _written(self) -> Access | None:
        """What writes the access log, made when it is first wanted."""
        if self._access is None and self.access_log.to:
            from .access import Access

            self._access = Access(self.access_log, {name for name in self.models if "*" not in name})
        made: Access | None = self._access
        return made
