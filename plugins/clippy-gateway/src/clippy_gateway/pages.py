"""The pages of plugins, beside the calls that the gateway passes on."""

from __future__ import annotations

import logging

from clippy_hookspecs.services import Host
from clippy_serving import Pages
from clippy_serving.siblings import Siblings

from .log_lines import tell

log = logging.getLogger("clippy.gateway")


def pages_of(host: Host, siblings: Siblings | None = None, address: str = "") -> Pages | None:
    """What the plugins of *host* show at *address*; None if none shows anything.  One that fails shows none."""
    pages, some = Pages(siblings=siblings, address=address, tell=tell), False
    for name, plugin in host.plugins.items():
        register = getattr(plugin, "register_routes", None)
        if not callable(register):
            continue
        try:
            register(pages)
            some = True
        except Exception as error:
            log.warning(
                "plugin %s: register_routes raised %s: %s; some of its pages are missing",
                name,
                type(error).__name__,
                error,
            )
    return pages if some else None
