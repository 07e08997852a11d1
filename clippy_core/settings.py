"""What a request needs to know of its host's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import field, frozen
from clippy_hookspecs import Headers

from .chains import Chains
from .config import Deadlines, HostConfig, RouteConfig
from .directives import Readers, readers_of
from .discovery import Plugin
from .fingerprint import fingerprint
from .keys import credential_digest
from .salt import load_salt


@frozen
class Settings:
    """One host's settings, made once when its configuration is read.

    ``salt`` keys the digests that stand for credentials.  ``fingerprint`` stands for the plugins that shape requests.
    ``readers``: what callers may say to plugins.
    """

    routes: Mapping[str, RouteConfig] = field(factory=dict)
    limits: Deadlines = field(factory=Deadlines)
    route_limits: Mapping[str, Deadlines] = field(factory=dict)
    context: Mapping[str, int] = field(factory=dict)
    audit_content: bool = False
    trust_headers: bool = False
    abandoned_after: float = 60.0
    fingerprint: str = ""
    salt: bytes = field(default=b"", repr=False)
    readers: Readers = field(factory=Readers)

    lines: dict[str | None, Any] = field(factory=dict, init=False, eq=False, repr=False)
    """What :mod:`clippy_core.chat_request` has found out of routes."""
    told: set[str] = field(factory=set, init=False, eq=False, repr=False)
    """Parameters of calls of our own client that were told of in the log."""
    plans: dict[str, Any] = field(factory=dict, init=False, eq=False, repr=False)
    """What :mod:`clippy_core.straight` has found out of routes."""
    no_deadlines: ClassVar[Deadlines] = Deadlines()

    def deadlines(self, route: str) -> Deadlines:
        """The deadlines on a route: its own where it has them, else the host's."""
        return self.route_limits.get(route, self.limits)

    def context_tokens(self, route: str) -> int | None:
        """How many input tokens a route allows."""
        return self.context.get(route)

    def identity(self, headers: Headers, query: str = "") -> str:
        """Who calls, as a digest of the credential."""
        return credential_digest(headers, query, self.salt)


def _over(own: Deadlines, general: Deadlines) -> Deadlines:
    """*own* deadlines, and those of *general* where there is none."""
    return Deadlines(
        own.connect if own.connect is not None else general.connect,
        own.first_token if own.first_token is not None else general.first_token,
        own.idle if own.idle is not None else general.idle,
        own.total if own.total is not None else general.total,
    )


def settings_of(config: HostConfig, plugins: Sequence[Plugin], chains: Chains, salt: bytes = b"") -> Settings:
    """The settings of the host that has *plugins*; *salt* is one that is known already."""
    return Settings(
        routes=config.routes,
        limits=config.deadlines,
        route_limits={name: _over(route.deadlines, config.deadlines) for name, route in config.routes.items()},
        context={name: route.context_tokens for name, route in config.routes.items() if route.context_tokens},
        audit_content=config.audit.content,
        trust_headers=config.trust_headers,
        abandoned_after=config.abandoned_after,
        fingerprint=fingerprint(plugins, chains),
        salt=b"" if chains.idle else salt or load_salt(config.salt_path),
        readers=readers_of(plugin.object for plugin in plugins),
    )
