"""Its test."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from clippy_hookspecs import Headers, RawRequest

from .register_routes import Plugin


class Pages:
    """What a gateway is for a plugin."""

    def __init__(self) -> None:
        self.handlers: dict[tuple[str, str], Any] = {}

    def route(self, method: str, path: str, handler: Any) -> None:
        """Note a page."""
        self.handlers[method, path] = handler


def test_the_page_is_where_the_configuration_says() -> None:
    """And tells in JSON that all is well."""
    pages = Pages()
    Plugin(page_path="/health").register_routes(pages)
    reply = asyncio.run(pages.handlers["GET", "/health"](RawRequest("GET", "/health", Headers())))
    assert reply.status == 200
    assert json.loads(reply.body)["well"] is True
