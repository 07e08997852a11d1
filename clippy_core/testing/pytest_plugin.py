"""The pytest plugin: fixtures for tests of plugins, and ``pytest --clippy-plugin NAME``.

pytest imports this wherever clippy-core is installed, so nothing but pytest is imported until a test needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..host import Host
    from .clock import VirtualClock
    from .provider import FakeProvider

SUITES = f"{__package__}.contracts"
ROUTES = {"main": {"base_url": "http://fake.test/v1", "key": "sk-none", "model": "fake-model"}}


# --- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def clippy_clock() -> VirtualClock:
    """The time of the test: it moves when somebody waits, or by ``clippy_clock.advance(seconds)``."""
    from .clock import VirtualClock

    return VirtualClock()


@pytest.fixture
def fake_provider(clippy_clock: VirtualClock) -> FakeProvider:
    """The provider of the test; it echoes until ``fake_provider.script = ...`` says something else."""
    from .provider import FakeProvider

    return FakeProvider(clock=clippy_clock)


@pytest.fixture
def clippy_host(fake_provider: FakeProvider, clippy_clock: VirtualClock) -> Iterator[Callable[..., Host]]:
    """``clippy_host(plugin, ..., config={...}, script=...)``: a host with these plugins over the fake provider.

    It has a route ``main``, the test's clock, and no settings from files or the environment.  Closed after the test;
    in an async test that needs what plugins hold open for its event loop, use ``async with clippy_host(...) as host``.
    """
    from ..host import Host
    from .upstream import FakeUpstream

    hosts: list[Host] = []

    def make(*plugins: object, config: Mapping[str, Any] | None = None, script: Any = None) -> Host:
        if script is not None:
            fake_provider.script = script
        settings = {"routes": ROUTES, **(config or {})}
        host = Host([*plugins, FakeUpstream(fake_provider)], config=settings, clock=clippy_clock)
        hosts.append(host)
        return host

    yield make
    for host in hosts:
        host.close()


# --- contract suites --------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Give the checks of a contract suite an end: one that hangs fails, and the others still run."""
    base = sys.modules.get(f"{SUITES}.base")
    if base is None or not pyfuncitem.obj.__module__.startswith(f"{SUITES}."):
        return None
    base.bounded(pyfuncitem.obj)
    return True


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--clippy-plugin`` and ``--clippy-report``."""
    group = parser.getgroup("clippy", "clippy: grade installed plugins")
    group.addoption(
        "--clippy-plugin",
        action="append",
        metavar="NAME",
        help="Run the contract suites that fit an installed plugin, and grade it; no other tests are run.",
    )
    group.addoption("--clippy-report", metavar="FILE", help="Write the grades of --clippy-plugin to a file, as JSON.")


def pytest_configure(config: pytest.Config) -> None:
    """With ``--clippy-plugin`` the installed plugin is what is tested, wherever pytest was started."""
    names = config.getoption("--clippy-plugin", None)
    if names:
        from .pytest_grading import Grading

        config.args = []
        config.pluginmanager.register(Grading(tuple(dict.fromkeys(names))), "clippy-grading")
