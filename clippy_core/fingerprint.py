"""What stands in a cache key for the plugins that shape requests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import attrs

from .chains import Chains, Step
from .discovery import Plugin


def fingerprint(plugins: Sequence[Plugin], chains: Chains) -> str:
    """The plugins that shape requests, their versions and settings: another set must not share cached answers.

    A plugin that only looks at requests says so with a true ``observes_only``; it changes no answer.  Of those that
    change requests the order counts.
    """
    shapes = (*chains.pre_request, *chains.compress_context, *filter(_may_change, chains.pre_attempt))
    known = {plugin.name: plugin for plugin in plugins}
    lines = [
        f"{name} {known[name].version} {_settings_text(known[name].object)}"
        for name in dict.fromkeys(step.plugin for step in shapes)
        if name in known and not getattr(known[name].object, "observes_only", False)
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def _may_change(step: Step) -> bool:
    """Whether an implementation may change what is sent: many only hold a place, and say ``-> None``."""
    said = getattr(getattr(step.owner, step.hook, step.function), "__annotations__", {})
    return said.get("return", "") not in (None, "None")


def _settings_text(plugin: object) -> str:
    """A plugin's settings; what is not shown in a repr (a secret) counts as a setting, as its digest."""
    parts = []
    for attribute in attrs.fields(cast("Any", type(plugin))):
        if attribute.init:
            value = repr(getattr(plugin, attribute.name))
            parts.append(f"{attribute.name}={hashlib.sha256(value.encode()).hexdigest()[:16]}")
    return " ".join(parts)
