"""A gateway on loopback between real clients and a fake provider."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
from attrs import define, evolve, field
from clippy_gateway import Gateway
from clippy_hookspecs import AuditRecord, RequestContext, hookimpl
from clippy_serving import Limits, Server
from clippy_serving.siblings import Siblings
from patience import PATIENCE

from clippy_core import Host
from clippy_core.testing import FakeServer

PROVIDERS_KEY = "sk-provider-canary-0123456789"
CALLERS_KEY = "gw-caller-canary-0123456789"


@define(eq=False)
class Books:
    """Keeps every audit record, and the scope of every request."""

    records: list[AuditRecord] = field(factory=list)

    @hookimpl
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self.records.append(record)


@define(eq=False)
class World:
    """The gateway, its provider and what the audit says; ends with ``with``."""

    script: Any = None
    plugins: Mapping[str, object] = field(factory=dict)
    settings: Mapping[str, Any] = field(factory=dict)
    routes: Mapping[str, Any] | None = None
    trust_headers: bool = False
    drain: float = 5
    head_seconds: float = 30
    siblings: Siblings | None = None
    books: Books = field(factory=Books)
    provider: FakeServer = field(init=False)
    server: Server = field(init=False)
    app: Any = field(init=False)
    gateway: Gateway = field(init=False)
    _stack: ExitStack = field(factory=ExitStack, init=False)

    def __enter__(self) -> World:
        self.provider = self._stack.enter_context(FakeServer(self.script))
        gateway = self.gateway = Gateway(**self.settings)
        routes = self.routes or {
            "main": {"api": "openai.chat", "base_url": self.provider.base_url, "key": PROVIDERS_KEY},
            "answers": {"api": "openai.responses", "base_url": self.provider.base_url, "key": PROVIDERS_KEY},
            "claude": {"api": "anthropic.messages", "base_url": self.provider.anthropic_url, "key": PROVIDERS_KEY},
        }
        made = {
            name: {**route, "base_url": route["base_url"].format(provider=self.provider.origin)}
            for name, route in routes.items()
        }
        config = {"routes": made, "trust_headers": self.trust_headers}
        host = Host(dict(self.plugins), config=config)
        self.app = gateway.app(gateway.over_aiohttp(host), self.siblings)
        limits = gateway.limits
        head = Limits(body=limits.body, headers=limits.headers, head=limits.head, target=limits.target)
        head = evolve(head, head_seconds=self.head_seconds, stall_seconds=limits.stall)
        self.server = Server(self.app, drain=self.drain, limits=head)
        self.server.start()
        self._stack.callback(self.server.stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def ask(self, method: str, path: str, key: str | None = CALLERS_KEY, **more: Any) -> httpx.Response:
        """One request over httpx, which repeats nothing and follows nothing."""
        headers = {**({} if key is None else {"authorization": f"Bearer {key}"}), **more.pop("headers", {})}
        with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
            return client.request(method, self.url + path, headers=headers, **more)

    def chat(self, text: str = "hello", key: str | None = CALLERS_KEY, **more: Any) -> httpx.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": text}], **more.pop("body", {})}
        return self.ask("POST", "/v1/chat/completions", key, json=body, **more)

    def raw(self, data: bytes) -> bytes:
        """What comes back for *data* on a connection of its own, until that is closed."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=PATIENCE) as connection:
            connection.sendall(data)
            pieces = []
            while piece := connection.recv(65536):
                pieces.append(piece)
            return b"".join(pieces)


def takes(path: Path) -> bool:
    """Whether somebody listens at *path*, which is there a moment before; httpx leaves a socket open if nobody does."""
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.connect(str(path))
        return True
    return False
