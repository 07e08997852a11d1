"""The files that the pages are made with: our own, and those that ``VENDOR.toml`` names."""

from __future__ import annotations

import importlib.resources
from functools import cache
from typing import Final

from clippy_hookspecs.services import RawReply, RawRequest
from clippy_serving import reply, text_reply

from .view import Page, View, part_of

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@cache
def assets() -> dict[str, bytes]:
    """Every file by its name.  Names come from the folder, never from a request."""
    folder = importlib.resources.files("clippy_inspect") / "static"
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in _TYPES}


def pages(view: View) -> list[Page]:
    """The routes of this module: the files."""

    async def static(request: RawRequest) -> RawReply:
        name = part_of(request, 1)
        data = assets().get(name)
        if data is None:
            return text_reply(404, "There is no such file.\n")
        return reply(200, data, _TYPES[name.rpartition(".")[2]])

    return [("GET", "/static/*", static)]
