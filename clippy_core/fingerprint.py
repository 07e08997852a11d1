"""What stands in a cache key for the plugins that shape requests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import attrs

from .chains import Chains
from .discovery import Plugin


def fingerprint(plugins: Sequence[Plugin], chains: Chains) -> str:
    """The plugins that shape requests, their versions and settings: another set must not share cached answers.

    A plugin that only looks at requests says so with a true ``observes_only``; it changes no answer.
    """
    shaping = {step.plugin for step in (*chains.pre_request, *chains.compress_context)}
    lines = [
        f"{plugin.name} {plugin.version} {_settings_text(plugin.object)}"
        for plugin in plugins
        if plugin.name in shaping and not getattr(plugin.object, "observes_only", False)
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def _settings_text(plugin: object) -> str:
    """A plugin's settings; what is not shown in a repr (a secret) counts as a setting, as its digest."""
    parts = []
    for attribute in attrs.fields(cast("Any", type(plugin))):
        if attribute.init:
            value = repr(getattr(plugin, attribute.name))
            parts.append(f"{attribute.name}={hashlib.sha256(value.encode()).hexdigest()[:16]}")
    return " ".join(parts)
