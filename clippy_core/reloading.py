"""New tables for a host that works."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .config import Config
from .imports import Reimport
from .installed import rescan
from .made import Made
from .making import OwnServices, make_tables
from .portal import Portal
from .serving import Serving
from .tables import Tables

if TYPE_CHECKING:
    from .host import Host


def reload_tables(
    host: Host,
    read: Callable[[], Config],
    given: Mapping[str, object] | Sequence[object] | None,
    own: OwnServices,
    portal: Portal,
    serving: Serving,
) -> Tables:
    """Make the tables of *host* anew, from what is installed and what *read* reads now, and serve with them.

    Raises ConfigError and PluginError, with everything as it was: what was imported anew as well.
    """
    imports, shown = Reimport(), Shown(host)
    try:
        rescan()
        tables = make_tables(shown, read(), given, own, portal, serving.current, imports.load)
        shown._serving = Serving(tables, serving.settle)  # noqa: SLF001
        serving.swap(tables)
        shown._serving = serving  # noqa: SLF001
    except BaseException:
        imports.undo()
        raise
    return tables


class Shown(Made):
    """A host as it shows itself to plugins that are opened before it serves with them: with the tables to come."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)
