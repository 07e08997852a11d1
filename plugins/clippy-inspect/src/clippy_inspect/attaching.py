"""The pages in one line of a program under development."""

from __future__ import annotations

from typing import TypeVar

from attrs import evolve
from clippy_hookspecs import Host

from .inspect import Inspect

H = TypeVar("H", bound=Host)


def attach(host: H, *, port: int = 0, open: bool = False) -> H:  # noqa: A002 - as in the configuration
    """*host* with pages that show what goes through it; the link to them is printed at once.  Once more on what
    this returned prints another link: one that was used opens nothing.

    The settings are those of ``[plugins.inspect]``, whatever its ``enabled`` says; *port* and *open* win over them.

    For development: before the first request, and use what it returns.  That host is opened, and the pages end with its
    ``close()``, else with the program; though it is used again they stay closed until it is attached to once more,
    unless the configuration says ``enabled``.  Raises OSError for a port that is taken, PluginError for a plugin that
    cannot open, ValueError for another *port* than that of pages that are open.
    """
    plugins = dict(host.plugins)
    name, found = next(((name, one) for name, one in plugins.items() if isinstance(one, Inspect)), ("inspect", None))
    if found is not None and found.address is not None and port and found.address != f"http://127.0.0.1:{port}":
        raise ValueError(
            f"the pages of this host are open at {found.address} already, and do not move: attach without a port for "
            f"another link to them, or close() this host and attach to a new one with port={port}"
        )
    if found is not None and (found.address is not None or _as_asked(found, port, open)):
        found.show(host, open)
        return _opened(host, found)
    settings = found or _configured(host)
    plugins[name] = inspect = evolve(settings, enabled=True, port=port or settings.port, open=open or settings.open)
    attached = host.with_plugins(plugins)
    inspect.by_itself = settings.enabled and settings.by_itself
    inspect.show(attached)
    return _opened(attached, inspect)  # type: ignore[return-value]  # a host makes hosts of its own kind


def _opened(host: H, inspect: Inspect) -> H:
    """*host*, open: only what is open is told of its end."""
    try:
        host.open()  # type: ignore[attr-defined]  # any host of a program has it
    except BaseException:
        inspect.hide()
        raise
    return host


def _as_asked(found: Inspect, port: int, open: bool) -> bool:  # noqa: A002 - as in the configuration
    return found.enabled and port in {0, found.port} and (found.open or not open)


def _configured(host: Host) -> Inspect:
    """As *host* would make it of its configuration; a class is what it brings settings to."""
    other = host.with_plugins({"inspect": Inspect})
    try:
        return next(one for one in other.plugins.values() if isinstance(one, Inspect))
    finally:
        other.close()
