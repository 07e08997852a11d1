"""The pages of a reference of everything installed: names of files and their Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from . import plugins, text
from .architecture import architecture_page
from .command_tree import commands_page
from .hooks import hooks_page
from .metrics import metrics_page
from .plain import code, plain, slug
from .values import values_page

PLUGIN = "plugins/%s.md"


def pages(cli: Any, root: click.Context) -> dict[str, str]:
    """Every page, for the command line *cli*; *root* is its context."""
    installed: Sequence[Any] = cli.installed()
    chains: Sequence[Mapping[str, Any]] = cli.chains()
    by_name = _groups(installed)
    by_hook: dict[str, list[str]] = {
        chain["hook"]: [_link(step["name"]) for step in chain["plugins"]] for chain in chains
    }
    made = {
        "index.md": _index(installed),
        "hooks.md": hooks_page(by_hook, whose="called, in this order"),
        "values.md": values_page(),
        "commands.md": commands_page(cli, root),
        "metrics.md": metrics_page(installed, PLUGIN),
        "architecture.md": architecture_page(installed, chains),
    }
    return made | {PLUGIN % name: _plugin(group) for name, group in by_name.items()}


def _groups(installed: Sequence[Any]) -> dict[str, list[Any]]:
    """The plugins by the name of their page: two distributions may have a plugin of one name."""
    found: dict[str, list[Any]] = {}
    for one in installed:
        found.setdefault(slug(one.name), []).append(one)
    return found


def _link(name: str) -> str:
    return f"[{plain(name)}]({PLUGIN % slug(name)})"


def _index(installed: Sequence[Any]) -> str:
    rows = [(_link(one.name), code(one.version), code(one.distribution), _status(one), _does(one)) for one in installed]
    aside = [(_link(one.name), plain(one.reason)) for one in installed if one.status != "loaded"]
    parts: list[str | list[str]] = [
        "Everything that is installed here for clippy, as it was when these pages were made. Settings are shown with "
        "their defaults, never with what a configuration says.",
        "[Hooks](hooks.md), [values](values.md), [commands](commands.md), [metrics](metrics.md), "
        "[architecture](architecture.md).",
        "## Plugins",
        text.table(("plugin", "version", "distribution", "status", "does"), rows)
        if rows
        else "No plugin is installed.",
    ]
    if aside:
        parts += ["## Set aside", text.table(("plugin", "why"), aside)]
    return text.page("What is installed", "what is installed", *parts)


def _does(one: Any) -> str:
    return plain(one.summary) or (text.first_sentence(one.cls) if one.cls else "") or "says nothing of itself"


def _status(one: Any) -> str:
    return "idle" if one.idle else plain(one.status)


def _plugin(group: Sequence[Any]) -> str:
    parts: list[str | list[str]] = []
    for one in group:
        if len(group) > 1:
            parts.append(f"## {plain(one.name)} from {plain(one.distribution)}")
        parts.append(f"Version {code(one.version)}, {_status(one)}.")
        if one.cls is not None and one.reason:
            parts.append(f"{plain(one.reason)}.")
        parts += [plain(warning) for warning in one.warnings]
        try:
            told, shown = plugins.section(one, "../"), plugins.example(one)
        except Exception as error:  # a class may be made to be unreadable; the other pages are worth having
            parts.append(plain(f"What it says of itself cannot be read: {type(error).__name__}: {error}"))
            continue
        parts.append(told)
        if shown:
            parts += ["In a configuration, with the defaults as comments:", shown]
    return text.page(plain(group[0].name), "the plugin's class", *parts)
