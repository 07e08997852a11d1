"""State that many hosts share, on one Redis or Valkey server: limits, budgets, breakers, leases."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field
from attrs.validators import ge, gt
from clippy_hookspecs import Clock, Host, ServiceRegistry, StateStore, hookimpl
from clippy_redis import Limits, Server, ServerUnavailable, is_prefix, is_url, parse

from .store import RedisStore

__all__ = ["RedisState", "StateUnavailable"]

logger = logging.getLogger("clippy.state-redis")


class StateUnavailable(ServerUnavailable):
    """The server did not do what it was asked, or nobody knows whether it did.  Says where, why and what to do.

    It holds nothing secret.  After a timeout or a lost connection the operation may have taken effect.
    """


@define(eq=False)
class RedisState:
    """Keeps state on a Redis or Valkey server, so that many hosts share limits, budgets, breakers and leases.

    Every operation is atomic, and what it stores ends by the server's own clock.  A server that fails is an error at
    once; whoever asked decides what that means.
    """

    url: str = field(
        default="",
        repr=False,
        validator=is_url,
        metadata={
            "doc": "the server, redis://USER:PASSWORD@HOST:PORT/DATABASE, rediss:// with TLS; empty: nothing is done"
        },
    )
    prefix: str = field(
        default="clippy",
        validator=is_prefix,
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
            self._server = Server(parse(self.url), limits, self.pause, logger, StateUnavailable)

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
