"""What is said of a plugin that fails or takes seconds: who, in which hook, of what kind and where; not what it raised.

An exception may quote a prompt or a key, and so may those behind it.  The way to a failure is logged at DEBUG level, as
places alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from traceback import format_tb, walk_tb
from typing import TYPE_CHECKING, NoReturn

from attrs import define, field
from clippy_hookspecs import POLICIES, ErrorInfo, HookCall, PluginError

from .imports import package_of

if TYPE_CHECKING:
    from .chains import Chains, Step, Steps

log = logging.getLogger("clippy")

_SLOW, _SLOW_AWAITING = 2.0, 10.0
"""Seconds of one call that are told of: of a plain ``def``, beside which its event loop does nothing, and of one that
may await, as those do that ask a model."""
_BETWEEN = 600.0
"""Seconds between two lines about one slow hook of a plugin."""
_CAUSES = 5
"""Exceptions behind a failure whose way is logged too."""


@define(eq=False)
class Faults:
    """Failures that were skipped, counted by plugin and hook, and the plugins that a failure switched off."""

    counts: dict[tuple[str, str], int] = field(factory=dict)
    disabled: set[str] = field(factory=set)
    slow: dict[tuple[str, str], tuple[float, int]] = field(factory=dict)
    """When a slow hook was last told of, in seconds of the host's clock, and how many calls were slow since."""

    def note(self, step: Step, error: BaseException) -> None:
        """Count a skipped failure and log the first of each plugin and hook.

        The log line has the place of the failure but not its message, which may quote a prompt or a key.
        """
        log_way(step, error)
        off = step.on_failure == "disable"
        if off:
            self.disabled.add(step.plugin)
        if self.count(step):
            then = "and is switched off" if off else "and was skipped; further ones are counted"
            kind = f"raised {type(error).__name__}"
            what = _named(step, error) if isinstance(error, PluginError) else step.blame(kind)
            log.warning("%s %s (%s)", what, then, _place(step, error))

    def count(self, step: Step) -> bool:
        """Count a failure; whether it is the first of its plugin and hook."""
        seen = self.counts.get((step.plugin, step.hook), 0)
        self.counts[step.plugin, step.hook] = seen + 1
        return not seen

    def tell_slow(self, calls: Iterable[HookCall], steps: Mapping[str, Steps], now: float) -> None:
        """Say which of the *calls* of a request took seconds: each caller waits, and nothing else tells who it is for.

        A line for each plugin and hook in ten minutes of *now*, the host's clock.
        """
        for call in calls:
            took = call.ns / call.calls / 1e9
            if took < _SLOW:
                continue
            step = next((one for one in steps.get(call.hook, ()) if one.plugin == call.plugin), None)
            if step is None or (step.awaits and took < _SLOW_AWAITING):
                continue
            told, left_out = self.slow.get((call.plugin, call.hook), (-_BETWEEN, 0))
            if now - told < _BETWEEN:
                self.slow[call.plugin, call.hook] = (told, left_out + 1)
                continue
            self.slow[call.plugin, call.hook] = (now, 0)
            more = f", as {left_out} others since the last line" if left_out else ""
            why = "its request waited" if step.awaits else "its request waited, in an event loop all the others too"
            advice = f"see what it waits for, or disable = [{step.plugin!r}]"
            log.warning("%s; %s; %s", step.blame(f"took {took:.1f} s{more}"), why, advice)


def raise_failed(step: Step, error: Exception | SystemExit) -> NoReturn:
    """Raise the error for a plugin whose failure may not be skipped, with the plugin's own as its cause."""
    log_way(step, error)
    if isinstance(error, PluginError):
        what = _named(step, error)
        if what == error.message:
            raise error
        raise PluginError(what, step.plugin, step.hook) from error
    advice = f"fix or disable it (disable = [{step.plugin!r}], or on_failure.{step.plugin} = 'skip')"
    message = step.blame(f"{_raised(step, error)}; {advice}")
    raise PluginError(message, step.plugin, step.hook) from error


def plugin_info(error: Exception, chains: Chains) -> ErrorInfo:
    """What a request's record says of a plugin's failure: the hook as kind; as code who raised what, and where.

    Both are safe to show; ``message`` is not.
    """
    if not isinstance(error, PluginError) or not error.hook:
        return ErrorInfo("plugin", type(error).__name__, message=str(error))
    cause, steps = error.__cause__, getattr(chains, error.hook, ()) if error.hook in POLICIES else ()
    step = next((one for one in steps if one.plugin == error.plugin), None)
    code = f"{error.plugin} {'failed' if step is None or cause is None else _raised(step, cause)}"
    return ErrorInfo("plugin", error.hook, code=code, message=str(error))


def log_way(step: Step, error: BaseException) -> None:
    """Log at DEBUG level how a failure of *step* came about: the traceback, without what exceptions say."""
    if log.isEnabledFor(logging.DEBUG):
        log.debug("%s", step.blame("failed here, innermost place last:\n" + "".join(_way(error)).rstrip()))


def _way(error: BaseException) -> Iterator[str]:
    seen: BaseException | None = error
    for _ in range(_CAUSES):
        if seen is None:
            return
        yield from format_tb(seen.__traceback__)
        yield f"{type(seen).__module__}.{type(seen).__qualname__}\n"
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
        if seen is not None:
            yield "which came after:\n"


def _raised(step: Step, error: BaseException) -> str:
    return f"raised {type(error).__name__} at {_place(step, error)}"


def _named(step: Step, error: PluginError) -> str:
    """What *error* says, after the names of plugin and hook if it does not give them, as the contract's own."""
    said = error.message
    return said if error.plugin or said.startswith("plugin ") else step.blame(f"failed: {said}")


def _place(step: Step, error: BaseException) -> str:
    """folder/file:line of the innermost frame, in the plugin's own package if one is: never any of a caller's data.

    With the folder, as most plugins' files are an ``__init__.py``.
    """
    home = package_of(type(step.owner).__module__ if step.owner is not None else step.function.__module__)
    if not (frames := [*walk_tb(error.__traceback__)]):
        return "an unknown place"
    own = [one for one in frames if f"{one[0].f_globals.get('__name__')}.".startswith(f"{home}.")]
    frame, line = (own or frames)[-1]
    return f"{'/'.join(PurePath(frame.f_code.co_filename).parts[-2:])}:{line}"
