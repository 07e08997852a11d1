"""The profiler's pages: all requests or those of a filter, alone or against those of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_recorder import Exchange
from clippy_recorder.filter import FilterError, parse
from clippy_serving import reply

from .comparing import Change, compared
from .dashboard import LOOKED_AT
from .profiler import Profile, as_json, profile, speedscope
from .view import Page, View, arguments

MOST_GRAPHS = 200
_WITHOUT_A_FILTER = "generating"
"""An upload takes as long as its caller takes to send it, which is nothing to find a slow plugin by."""


@frozen
class _Asked:
    """What a request for the profile wants: two filters in the list's language, the second "" for no comparison."""

    q: str = ""
    against: str = ""
    fault: str = ""


def pages(view: View) -> list[Page]:
    """The routes of this module: the profiler, its numbers as JSON, and flame graphs."""

    def chosen(text: str) -> Sequence[Exchange]:
        wanted = parse(text or _WITHOUT_A_FILTER)
        return [one for one in view.source.latest(LOOKED_AT) if wanted(one)]

    def looked_at(request: RawRequest) -> tuple[_Asked, Profile, tuple[Change, ...]]:
        """With a filter that cannot be read: all of them, and why."""
        given = arguments(request)
        asked = _Asked(given.get("q", "").strip(), given.get("against", "").strip())
        try:
            made = profile(chosen(asked.q))
            changes = compared(profile(chosen(asked.against)), made) if asked.against else ()
        except FilterError as error:
            return _Asked(asked.q, asked.against, str(error)), profile(chosen("")), ()
        return asked, made, changes

    async def page(request: RawRequest) -> RawReply:
        asked, made, changes = looked_at(request)
        return view.page(request, "profile.html", p=made, asked=asked, changes=changes)

    async def api(request: RawRequest) -> RawReply:
        asked, made, changes = looked_at(request)
        if asked.fault:
            return view.json({"error": asked.fault}, 400)
        told = as_json(made)
        if asked.against:
            told["changes"] = [_change(one) for one in changes]
        return view.data(told)

    async def flame(request: RawRequest) -> RawReply:
        try:
            exchanges = chosen(arguments(request).get("q", ""))
        except FilterError as error:
            return view.json({"error": str(error)}, 400)
        made = view.json(speedscope(exchanges[-MOST_GRAPHS:]))
        headers = {"content-disposition": 'attachment; filename="clippy.speedscope.json"'}
        assert isinstance(made.body, bytes)
        return reply(200, made.body, "application/json", headers)

    return [("GET", "/profile", page), ("GET", "/api/profile", api), ("GET", "/api/profile/speedscope", flame)]


def _change(one: Change) -> dict[str, Any]:
    told = {"plugin": one.plugin, "hook": one.hook, "before": one.before, "now": one.now}
    return {**told, "difference": one.difference, "times": one.times}
