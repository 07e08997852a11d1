"""Dropping stored answers, outside of any request: every cache is told, and who asked learns which could not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from clippy_hookspecs import PluginError, Selector

from .chains import Chains, Run, Step
from .driven import drive

if TYPE_CHECKING:
    from .host import Host


def invalidate(host: Host, **parts: Any) -> None:
    """Tell every cache of *host* to drop what the parts of a Selector name.

    Raises ValueError for a prefix that is empty, which everything begins with: a variable that was never set must not
    drop it all.
    """
    empty = [name for name in ("key_prefix", "tag_prefix") if parts.get(name) == ""]
    if empty:
        raise ValueError(f"{', '.join(empty)} is empty, which would name everything; leave it out if that is meant")
    drive(_tell(host.chains, Selector(**parts), Run(None, host.sync_runtime())))


async def _tell(chains: Chains, selector: Selector, run: Run) -> None:
    """Tell every cache to drop what *selector* names.

    Raises an ExceptionGroup of PluginErrors, one for each cache that did not, when all have been told: a failure that
    is skipped would leave answers that somebody asked to have removed.  A cache that is switched off is not called, and
    still has what it stored.
    """
    failures: list[Exception] = []
    for step in chains.cache_invalidate:
        if step.plugin in chains.faults.disabled:
            what = "was not called, the plugin is switched off after a failure; what it stored is still there"
            failures.append(PluginError(step.blame(what), step.plugin, step.hook))
            continue
        try:
            await chains.all((attrs.evolve(step, on_failure="raise"),), (selector,), run)
        except Exception as error:
            if step.on_failure == "disable":
                chains.faults.note(step, error.__cause__ or error)
            else:
                chains.faults.count(step)  # not logged as skipped: who asked is told
            failures.append(_told(step, error))
    if failures:
        raise ExceptionGroup("caches did not drop what they were told to", failures)


def _told(step: Step, error: Exception) -> Exception:
    """The error of a cache without the advice to skip it, which is what this is not for."""
    cause = error.__cause__
    if not isinstance(error, PluginError) or cause is None:
        return error
    what = f"raised {type(cause).__name__}"
    if isinstance(cause, ConnectionError):
        # Its service is away, which no line of code is to blame for; the way there is in the log at DEBUG level.
        what = f"could not reach its service ({type(cause).__name__})"
        cause.__cause__, cause.__suppress_context__ = None, True
        cause.__traceback__ = None
    said = PluginError(step.blame(f"{what}; what it stored may still be there"), step.plugin, step.hook)
    said.__cause__ = cause
    return said
