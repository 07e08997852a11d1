"""Fixtures that all tests share."""

from __future__ import annotations

import gc
import warnings

import httpx
import httpx2
import pytest
from authorities import read_one
from calling import COLOURS, Caller, Calls
from hypothesis import settings

# No test asserts a time: the machine may be busy.  Each run makes other examples, so that many runs of few see what one
# of many sees; a test that needs more at once says so, and whoever doubts runs pytest --hypothesis-profile=many.
settings.register_profile("clippy", deadline=None, max_examples=40)
settings.register_profile("many", deadline=None, max_examples=500)
settings.load_profile("clippy")
read_one()


@pytest.fixture(scope="module", autouse=True)
def _garbage_of_the_module() -> None:
    """A test that collects garbage looks through what its own module made: all else is a second and more each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # what an earlier module left open is not this one's fault
        gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """What a test kept on itself goes with it: pytest keeps all instances to the end, and they kept thousands of hosts.

    Each of them is looked after in every forked child, which took those 0.2 s, and a worker grew to a gigabyte.
    """
    instance = vars(item).get("_instance")
    if instance is not None:
        vars(instance).clear()


@pytest.fixture(params=COLOURS)
def caller(request: pytest.FixtureRequest) -> Caller:
    """A caller in each colour, on httpx."""
    return Caller(request.param, httpx)


@pytest.fixture(
    params=[(colour, module) for colour in COLOURS for module in (httpx, httpx2)],
    ids=lambda p: f"{p[0]}-{p[1].__name__}",
)
def any_caller(request: pytest.FixtureRequest) -> Caller:
    """A caller in each colour on each HTTP module."""
    return Caller(*request.param)


@pytest.fixture
def sync_caller() -> Caller:
    """A caller without an event loop."""
    return Caller("sync", httpx)


@pytest.fixture
def make_calls() -> type[Calls]:
    """The plugin that notes what it was called for."""
    return Calls
