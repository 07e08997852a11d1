"""The scene of a provider that is down: who stops asking it, and who answers instead."""

from __future__ import annotations

from ..config_names import type_text
from ..config_structure import setting_fields
from ..discovery import Plugin
from ..testing import FakeServer, Fault, Reply
from .demo_scene import Proof, Skipped, check
from .demo_stage import KEY, Stage
from .demo_words import requests
from .screen import line

CALLS = 6
ELSEWHERE = "backup"
SAID = "Another provider says: all is well."
DOWN = Fault.status(503, retry_after=0.01)
"""It says when to come back, so that the scene takes no seconds."""


def outage(stage: Stage) -> Proof:
    """Calls to a provider that answers none, with another one beside it."""
    where = [plugin.name for plugin in stage.found if _goes_elsewhere(plugin)]
    if not where:
        raise Skipped("nobody goes elsewhere here: no plugin has a setting for other routes")
    assert stage.server is not None
    reached: list[int] = []
    settings = "".join(f'[plugins.{name}]\nroutes = ["{ELSEWHERE}"]\n' for name in where)
    with (
        FakeServer(Reply(SAID), lifetime=60.0) as other,
        stage.told(settings, {ELSEWHERE: {"base_url": other.base_url, "key": KEY}}),
    ):
        stage.acts.always = DOWN
        try:
            for number in range(CALLS):
                before = stage.server.calls
                text = stage.primary.chat(stage.host, f"Is anybody there? ({number + 1})")
                check(text == SAID, f"call {number + 1} got {text!r}")
                reached.append(stage.server.calls - before)
                stage.show(line(f"      call {number + 1}: {requests(reached[-1])} reached the one that is down"))
        finally:
            stage.acts.always = None
        answered = other.calls
    check(answered == CALLS, f"{answered} of {CALLS} calls were answered by the other provider")
    if reached[-1]:
        raise Skipped(f"all were answered elsewhere, but nobody stops asking: {reached} requests reached the one down")
    record = stage.recorder.records[-1]
    check(record.provenance is not None and record.provenance.route == ELSEWHERE, "the record names another route")
    why = record.provenance.reason if record.provenance else None
    asked = sum(reached)
    said = f"{CALLS} calls, all answered elsewhere; {requests(asked)} at the one that is down, then none"
    below = (
        line(f"      reached it, by call: {', '.join(map(str, reached))}"),
        line(f"      the record says: answered by route {ELSEWHERE}, because {why}"),
    )
    return Proof(said, below, {"calls": CALLS, "reached": reached, "answered_elsewhere": answered, "reason": why})


def _goes_elsewhere(plugin: Plugin) -> bool:
    """Whether a plugin that works is told by its settings which other routes there are."""
    if plugin.status != "loaded" or plugin.cls is None:
        return False
    return any(one.name == "routes" and "list" in type_text(one.type) for one in setting_fields(plugin.cls))
