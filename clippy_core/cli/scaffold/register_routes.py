"""A plugin with a page of the gateway."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field
from clippy_hookspecs import Headers, RawReply, RawRequest, hookimpl


@define(eq=False)
class Plugin:
    """Has a page of the gateway that says whether all is well."""

    page_path: str = field(default="/plugin-name", metadata={"doc": "path of the page"})

    @hookimpl
    def register_routes(self, app: Any) -> None:
        """Add the page."""
        app.route("GET", self.page_path, self.page)

    async def page(self, request: RawRequest) -> RawReply:
        """What the page shows."""
        body = json.dumps({"plugin": "plugin-name", "well": True}).encode()
        return RawReply(200, Headers({"content-type": "application/json"}), body, {})
