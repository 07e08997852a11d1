"""What the contract suites have in common: how a plugin is made, where its files go, how a check is run and judged."""

from __future__ import annotations

import inspect
import os
import shutil
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import attrs
from attrs import frozen

from ..clock import VirtualClock
from .bench import Bench

F = TypeVar("F", bound=Callable[..., Any])
PATIENCE = 60.0
"""Seconds after which a check counts as hanging."""
_FOLDERS = {
    "HOME": "", "XDG_CACHE_HOME": "caches", "XDG_DATA_HOME": "data", "XDG_STATE_HOME": "state",
    "XDG_CONFIG_HOME": "config",
}  # fmt: skip


class NotApplicable(unittest.SkipTest):
    """A check that does not fit this plugin, with the reason; pytest counts it as skipped."""


class Hangs(AssertionError):
    """A check that did not come to an end."""


def require(held: object, what: str) -> None:
    """Raise AssertionError with *what* unless *held*: one sentence about what was wrong."""
    __tracebackhide__ = True
    if not held:
        raise AssertionError(what)


def vital(check: F) -> F:
    """Mark a check whose failure can hand out a wrong answer, lose a record, hang a program or break it."""
    check.vital = True  # type: ignore[attr-defined]
    return check


class Contract:
    """The base of all suites.  Write :meth:`make`; everything else has a default.

    ``clock`` is the virtual time of the present check.  ``folder`` is its own empty folder, which is also the home of
    the user while the check runs, so that a plugin made with its defaults leaves nothing behind.
    """

    about: ClassVar[str] = ""
    """What the suite is about, in a few words for a report."""
    clock: VirtualClock
    folder: Path
    _benches: list[Bench]
    _environment: dict[str, str]

    def make(self) -> Any:
        """A new plugin with its usual settings; one that keeps files puts them below ``self.folder``."""
        raise NotImplementedError(f"{type(self).__name__} says how its plugin is made: def make(self): return ...")

    def made(self, **settings: Any) -> Any:
        """A new plugin with other *settings* than :meth:`make` gives it.

        Raises :class:`NotApplicable` for a plugin without these settings.
        """
        plugin = self.make()
        if not attrs.has(type(plugin)):
            raise NotApplicable(f"{type(plugin).__name__} has no settings")
        known = {field.alias for field in attrs.fields(type(plugin)) if field.init}
        missing = sorted(settings.keys() - known)
        if missing:
            raise NotApplicable(f"it has no setting {' or '.join(missing)}")
        return attrs.evolve(plugin, **settings)

    def bench(self, plugin: object | None = None, script: Any = None, **more: Any) -> Bench:
        """*plugin* (by default a new one) in a host over a provider with *script*; closed when the check has ended."""
        plugin = self.make() if plugin is None else plugin
        bench = Bench({"tested": plugin}, script, clock=self.clock, **more)
        self._benches.append(bench)
        return bench

    def setup_method(self) -> None:
        """Before each check: time, a folder, and a home in it."""
        self.clock, self._benches = VirtualClock(), []
        self.folder = Path(tempfile.mkdtemp(prefix="clippy-check-"))
        self._environment = dict(os.environ)
        os.environ.update({name: str(self.folder / place) for name, place in _FOLDERS.items()})

    def teardown_method(self) -> None:
        """After each check: hosts are closed, the folder is removed, the environment is as it was."""
        try:
            for bench in self._benches:
                bench.close()
        finally:
            os.environ.clear()
            os.environ.update(self._environment)
            shutil.rmtree(self.folder, ignore_errors=True)


# --- running a suite without pytest ----------------------------------------------------------------------------------


@frozen
class Check:
    """One check of one suite."""

    suite: type[Contract]
    name: str

    @property
    def vital(self) -> bool:
        """Whether its failure alone decides about the grade."""
        return bool(getattr(getattr(self.suite, self.name), "vital", False))

    @property
    def proves(self) -> str:
        """What it proves, in a sentence."""
        return (inspect.getdoc(getattr(self.suite, self.name)) or self.name).partition("\n\n")[0].replace("\n", " ")


@frozen
class Result:
    """What became of a check; ``reason`` says why it failed or does not fit, ``error`` is the exception itself."""

    check: Check
    status: Literal["passed", "failed", "not applicable"]
    reason: str = ""
    seconds: float = 0.0
    error: BaseException | None = None


def suite_for(suite: type[Contract], make: Callable[[Contract], Any], name: str = "", **more: Any) -> type[Contract]:
    """A subclass of *suite* for what *make* makes; *more* are attributes of the subclass."""
    return type(name or suite.__name__, (suite,), {"make": make, "__module__": suite.__module__, **more})


def checks_of(suite: type[Contract]) -> Iterator[Check]:
    """The checks of a suite, in the order in which they are written."""
    seen: dict[str, None] = {}
    for cls in reversed(suite.__mro__):
        seen.update(dict.fromkeys(name for name in vars(cls) if name.startswith("test_")))
    return (Check(suite, name) for name in seen if callable(getattr(suite, name, None)))


def run_check(check: Check, patience: float = PATIENCE) -> Result:
    """Run one check as pytest would, with an end for those that hang."""
    began = time.monotonic()
    case = check.suite()
    case.setup_method()
    try:
        try:
            bounded(getattr(case, check.name), patience)
        finally:
            case.teardown_method()
    except NotApplicable as why:
        return Result(check, "not applicable", str(why), time.monotonic() - began)
    except Exception as error:
        said = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        return Result(check, "failed", said, time.monotonic() - began, error)
    return Result(check, "passed", "", time.monotonic() - began)


def bounded(work: Callable[[], Any], patience: float = PATIENCE) -> None:
    """Run *work* in a thread and wait for it.  Raises what it raises, and :class:`Hangs` after *patience* seconds."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="clippy-check", daemon=True)
    thread.start()
    thread.join(patience)
    if thread.is_alive():
        raise Hangs(f"it did not come to an end within {patience:g} seconds")
    if raised:
        raise raised[0]


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What *work* gives in each of *count* threads that begin together.  Raises the first exception of any of them."""
    results: list[Any] = [None] * count
    raised: list[BaseException] = []
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            gate.wait()
            results[number] = work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # seconds: what two threads may do at once they do, and not only on a lucky day
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    finally:
        sys.setswitchinterval(interval)
    if any(thread.is_alive() for thread in threads):
        raise Hangs(f"{count} threads did not all come to an end within {PATIENCE:g} seconds")
    if raised:
        raise raised[0]
    return results


def settings_of(plugin: object) -> Mapping[str, Any]:
    """The settings of a plugin and their values."""
    cls: Any = type(plugin)
    if not attrs.has(cls):
        return {}
    return {field.alias: getattr(plugin, field.name) for field in attrs.fields(cls) if field.init}
