"""``clippy plugins``: what is installed, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from clippy_hookspecs import POLICIES

from .installation import installation
from .locking import lock
from .output import json_option, say, say_json, table

if TYPE_CHECKING:
    from ..discovery import Plugin

HOOK = click.Choice(tuple(POLICIES))


@click.group()
def plugins() -> None:
    """See what is installed, and lock it."""


plugins.add_command(lock)


@plugins.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are disabled as well.")
@click.option("--hook", type=HOOK, metavar="HOOK", help="Only those that implement this hook.")
@json_option
@click.pass_context
def list_plugins(ctx: click.Context, everything: bool, hook: str | None, as_json: bool) -> None:
    """Name, version, status and hooks of each plugin, and why it is not active."""
    found = installation(ctx)
    found.require_readable()
    listed = found.discovered.plugins
    chosen = [plugin for plugin in listed if (everything or plugin.status != "disabled")]
    if hook is not None:
        chosen = [plugin for plugin in chosen if hook in plugin.hooks]
    if as_json:
        say_json([as_document(plugin) for plugin in chosen])
        found.end(ctx)
    for line in _lines(chosen):
        say(line)
    if not chosen:
        say(_why_empty(len(listed), hook))
    hidden = sum(plugin.status == "disabled" for plugin in listed)
    if hidden and not everything:
        say(f"{hidden} more installed and disabled; see clippy plugins list --all")
    found.end(ctx)


def as_document(plugin: Plugin) -> dict[str, Any]:
    """A plugin as JSON."""
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "status": plugin.status,
        "hooks": list(plugin.hooks),
        "reason": plugin.reason,
        "idle": plugin.idle,
        "warnings": list(plugin.warnings),
    }


def shown_status(plugin: Plugin) -> str:
    """What became of a plugin, for people: one that is loaded and waits for its settings is idle."""
    return "idle" if plugin.idle else plugin.status


def _lines(chosen: list[Plugin]) -> list[str]:
    if not chosen:
        return []
    rows = [(one.name, one.version or "-", shown_status(one), ", ".join(one.hooks) or "-") for one in chosen]
    head, *lines = table(("plugin", "version", "status", "hooks"), rows)
    out = [head]
    for plugin, line in zip(chosen, lines, strict=True):
        out.append(line)
        out += [f"    {what}" for what in (plugin.reason, plugin.idle, *plugin.warnings) if what]
    return out


def _why_empty(installed: int, hook: str | None) -> str:
    if hook is not None:
        return f"no active plugin implements {hook}"
    if installed:
        return "no plugin is active"
    return "no plugin is installed; a plugin is a distribution with an entry point in the group clippy"
