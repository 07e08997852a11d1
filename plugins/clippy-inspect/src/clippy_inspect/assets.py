"""The routes of the files that the pages are made with."""

from __future__ import annotations

from clippy_hookspecs.services import RawReply, RawRequest
from clippy_serving import reply

from .files import TYPES, files
from .view import Page, View, part_of


def pages(view: View) -> list[Page]:
    """The routes of this module: the files, none but which the door lets through."""

    async def static(request: RawRequest) -> RawReply:
        name = part_of(request, 1)
        return reply(200, files()[name], TYPES[name.rpartition(".")[2]])

    return [("GET", "/static/*", static)]
