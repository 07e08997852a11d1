"""New tables for a host that works."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from .config import Config
from .imports import Reimport
from .installed import rescan
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
    imports = Reimport()
    try:
        rescan()
        tables = make_tables(host, read(), given, own, portal, serving.current, imports.load)
        serving.swap(tables)
    except BaseException:
        imports.undo()
        raise
    return tables
