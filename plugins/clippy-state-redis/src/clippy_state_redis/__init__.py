"""State that many hosts share, on one Redis or Valkey server: limits, budgets, breakers, leases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field
from attrs.validators import ge, gt
from clippy_hookspecs import Clock, Host, ServiceRegistry, StateStore, hookimpl

from .address import parse
from .failures import StateUnavailable
from .links import Limits
from .store import RedisStore, Server

__all__ = ["RedisState", "StateUnavailable"]


def _is_address(plugin: RedisState, attribute: object, value: str) -> None:
    if value:
        parse(value)


def _is_prefix(plugin: RedisState, attribute: object, value: str) -> None:
    # Between braces stands what a cluster reads of a key: every key would be on one of its servers.  A stroke ends the
    # prefix, so that no prefix and key together are another prefix and key.
    if not value or {*value} & {"{", "}", "|"}:
        raise ValueError("expected a text without { } |, such as clippy or my-program:production")


@define(eq=False)
class RedisState:
    """Keeps state on a Redis or Valkey server, so that many hosts share limits, budgets, breakers and leases.

    Every operation is atomic, and what it stores ends by the server's own clock.  A server that fails is an error at
    once; whoever asked decides what that means.
    """

    url: str = field(
        default="",
        repr=False,
        validator=_is_address,
        metadata={
            "doc": "the server, redis://USER:PASSWORD@HOST:PORT/DATABASE, rediss:// with TLS; empty: nothing is done"
        },
    )
    prefix: str = field(
        default="clippy",
        validator=_is_prefix,
        metadata={"doc": "what every key begins with; programs that share a server and no state have different ones"},
    )
    connect_timeout: float = field(default=1.0, validator=gt(0), metadata={"doc": "seconds to connect"})
    timeout: float = field(default=1.0, validator=gt(0), metadata={"doc": "seconds to wait for one answer"})
    max_connections: int = field(
        default=16,
        validator=ge(1),
        metadata={"doc": "connections of the process's threads, and again of each event loop; more calls wait for one"},
    )
    pause: float = field(
        default=1.0,
        validator=ge(0),
        metadata={"doc": "seconds, half of them more or less by chance, in which a server that failed is not asked"},
    )
    _server: Server | None = field(init=False, default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.url:
            limits = Limits(self.connect_timeout, self.timeout, self.max_connections)
            self._server = Server(parse(self.url), limits, self.pause)

    @property
    def idle(self) -> str:
        """Why it does nothing."""
        return "" if self.url else "no url is set"

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        """Offer the store."""
        if self._server is not None:
            services.offer(StateStore, RedisStore.on(self._server, self.prefix))

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        """Close the connections when a host closes; they open at first use, and again if another host is open."""
        server = self._server
        if server is not None:
            server.now = host.services.get(Clock).now
        try:
            yield
        finally:
            if server is not None:
                server.close()
