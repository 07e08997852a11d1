"""The same calls of a foreign SDK under several roofs, compared; one line says what came of it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs import define, field
from clippy_hookspecs import AuditRecord, hookimpl

import clippy_core
from clippy_core.testing import FakeProvider, FakeServer, VirtualClock

Ask = Callable[[Any, str, Callable[[object], None]], Awaitable[None] | None]
"""Calls an SDK over an HTTP client at an origin, and says what it got; a coroutine for an async client."""

ROOFS = ("bare", "no plugin", "every plugin", "every plugin again")


@define
class Got:
    """What one call came to."""

    said: list[Any] = field(factory=list)
    raised: tuple[str, str] | None = None
    requests: list[bytes] = field(factory=list)
    connections: list[int] = field(factory=list)


@define(eq=False)
class Witness:
    """Counts the requests that went through a host."""

    records: int = 0

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        self.records += 1


@define
class Stranger:
    """One SDK: its distribution, the HTTP module it uses, and its calls by name, each with the provider's script."""

    distribution: str
    module: ModuleType
    calls: Mapping[str, tuple[Ask, Any]]
    checks: int = 0
    faults: list[str] = field(factory=list)

    def compare(self) -> None:
        """Run everything, print one line, and end the program: with status 1 if anything differed."""
        for name, (ask, script) in self.calls.items():
            for way in ("transport", "wrap"):
                self._compare(f"{name} by {way}", ask, script, way)
        version = importlib.metadata.version(self.distribution)
        verdict = "equal" if not self.faults else f"{len(self.faults)} DIFFERENT"
        print(f"{self.distribution} {version} on {self.module.__name__}: {self.checks} comparisons, {verdict}")
        for fault in self.faults:
            print(f"    {fault}")
        sys.exit(bool(self.faults))

    def _compare(self, what: str, ask: Ask, script: Any, way: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("CACHE", "DATA", "STATE"):
                os.environ[f"XDG_{name}_HOME"] = str(Path(folder) / name.lower())
            got = self._runs(ask, script, way)
        bare = got["bare"]
        if (bare.raised is not None) != ("refused" in what) or not (bare.said or bare.raised):
            self.faults.append(f"{what}: the bare SDK did not do what it was meant to: {bare}")
        self.checks += 2
        if got["no plugin"] != bare:
            self.faults.append(f"{what}, no plugin: {got['no plugin']} instead of {bare}")
        for roof in ("every plugin", "every plugin again"):
            self.checks += 1
            if (got[roof].said, got[roof].raised) != (bare.said, bare.raised):
                self.faults.append(f"{what}, {roof}: {got[roof]} instead of {bare}")

    def _runs(self, ask: Ask, script: Any, way: str) -> dict[str, Got]:
        installed = clippy_core.Host.from_config(clock=VirtualClock())
        if not installed.plugins:
            raise SystemExit("no plugin is installed, so there is nothing to compare with")
        witness = Witness()
        full = installed.with_plugins({**installed.plugins, "witness": witness})
        hosts = {"bare": None, "no plugin": clippy_core.Host(), "every plugin": full, "every plugin again": full}
        try:
            got = {roof: self._run(ask, script, hosts[roof], way) for roof in ROOFS}
        finally:
            full.close()
        if witness.records < 2 * len(got["bare"].requests):
            self.faults.append(f"{ask}: {witness.records} requests went through the host")
        return got

    def _run(self, ask: Ask, script: Any, host: clippy_core.Host | None, way: str) -> Got:
        got = Got()
        with FakeServer(FakeProvider(script)) as server:
            try:
                if asyncio.iscoroutinefunction(ask):
                    asyncio.run(self._aask(ask, got, server.origin, host, way))
                else:
                    with self._client(self.module.Client, self.module.HTTPTransport, host, way) as http:
                        ask(http, server.origin, got.said.append)
            except Exception as error:
                got.raised = (f"{type(error).__module__}.{type(error).__qualname__}", str(error))
            port = f"127.0.0.1:{server.port}".encode()
        got.requests = [seen.raw.replace(port, b"SERVER") for seen in server.requests]
        got.connections = [seen.connection for seen in server.requests]
        if got.raised is not None:
            got.raised = (got.raised[0], got.raised[1].replace(port.decode(), "SERVER"))
        return got

    async def _aask(self, ask: Any, got: Got, origin: str, host: clippy_core.Host | None, way: str) -> None:
        async with self._client(self.module.AsyncClient, self.module.AsyncHTTPTransport, host, way) as http:
            await ask(http, origin, got.said.append)
        if host is not None:
            await host.aclose()

    def _client(self, kind: Any, inner: Any, host: clippy_core.Host | None, way: str) -> Any:
        if host is None or way == "wrap":
            http = kind(transport=inner())
            return http if host is None else host.wrap(http)
        sync = kind is self.module.Client
        make = clippy_core.transport if sync else clippy_core.async_transport
        return kind(transport=make(host, self.module))


def raw_of(model: Any) -> Any:
    """A pydantic model as plain data."""
    return model.model_dump(mode="json", warnings=False)
