"""The pages in one line of a program under development."""

from __future__ import annotations

from typing import TypeVar

from clippy_hookspecs import Host

from .inspect import Inspect

H = TypeVar("H", bound=Host)


def attach(host: H, *, port: int = 0, open: bool = False) -> H:  # noqa: A002 - as in the configuration
    """*host* with pages that show what goes through it; the link to them is printed at once.  Once more on what
    this returned prints another link: one that was used opens nothing.

    For development: before the first request, and use what it returns.  The pages end with ``close()`` of that host,
    else with the program.  Raises OSError for a port that is taken.
    """
    plugins = dict(host.plugins)
    found = next((one for one in plugins.values() if isinstance(one, Inspect)), None)
    if found is not None and found.enabled:
        found.show(host)
        return host
    plugins["inspect"] = inspect = Inspect(enabled=True, port=port, open=open)
    attached = host.with_plugins(plugins)
    inspect.show(attached)
    return attached  # type: ignore[return-value]  # a host makes hosts of its own kind
