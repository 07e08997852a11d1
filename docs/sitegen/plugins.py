"""docs/plugins.md and docs/hooks.md: what clippy-docs writes about the plugins of this repository, installed or not."""

from __future__ import annotations

import importlib
import tomllib
from functools import cache
from pathlib import Path

from clippy_docs import hooks, plugins, text

from clippy_core.cli.catalogue import InstalledPlugin, of_class

ROOT = Path(__file__).resolve().parents[2]
BY = "python -m docs.sitegen pages"

INTRODUCTION = """\
What this repository brings, one distribution each. Installed means active: nothing here has to be named anywhere, and
`disable = ["NAME"]` switches a plugin off. A setting stands in the plugin's table (`[plugins.NAME]` of
[the configuration](configuration.md)) or in the environment variable beside it. How to install one, and what it does
when something fails, is in the README of its folder under `plugins/`."""

OF_HOOKS = """\
The hooks in the order in which they are called. A hook is a method marked `@hookimpl`; it may name fewer arguments than
there are. How to write one is told in [Write a plugin](write-a-plugin.md), the types are in [Values](values.md), and
`clippy hooks` prints who is called on this machine, in which order."""


@cache
def first_party() -> tuple[InstalledPlugin, ...]:
    """The plugins of this repository, a to z."""
    found = []
    for project in sorted(ROOT.glob("plugins/*/pyproject.toml")):
        table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        for name, value in table.get("entry-points", {}).get("clippy", {}).items():  # a library has none
            module, _, cls = value.partition(":")
            loaded = getattr(importlib.import_module(module), cls)
            what = InstalledPlugin(name, table["name"], table["version"], "loaded", table["description"])
            found.append(of_class(what, loaded))
    return tuple(sorted(found, key=lambda plugin: plugin.name))


def plugins_page() -> str:
    """docs/plugins.md."""
    sections = [line for one in first_party() for line in (f"## {one.name}", "", *plugins.section(one))]
    overview = plugins.overview(first_party())
    return text.page("Plugins", "the plugins' classes", INTRODUCTION, overview, sections, by=BY)


def hooks_page() -> str:
    """docs/hooks.md."""
    by_hook: dict[str, list[str]] = {}
    for one in first_party():
        for hook in one.hooks:
            by_hook.setdefault(hook.name, []).append(f"[{one.name}](plugins.md#{one.name})")
    return hooks.hooks_page(by_hook, OF_HOOKS, "in this repository", BY)
