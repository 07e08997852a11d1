"""Which HTTP module a client is made of: httpx and httpx2 have the same interface and incompatible classes."""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any


def module_of(client: object) -> ModuleType | None:
    """The HTTP module that *client* is a client of, None if it is of neither."""
    for name in ("httpx", "httpx2"):
        module = sys.modules.get(name)
        # Another thread may be importing it at this moment: what it lacks nobody has made a client of.
        if module is not None and isinstance(
            client, (getattr(module, "Client", ()), getattr(module, "AsyncClient", ()))
        ):
            return module
    return None


@functools.cache
def ssl_context(module: ModuleType) -> Any:
    """The process's one TLS context for *module*: making one costs two hundred times what a client costs."""
    return module.create_ssl_context()
