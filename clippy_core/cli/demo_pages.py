"""The demo's pages: what goes through its hosts, in the browser while the scenes run."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from signal import SIGINT, SIGTERM, signal
from typing import Any

import click

from ..config_structure import setting_fields
from ..discovery import Plugin
from ..host import Host


def pages_of(found: Iterable[Plugin]) -> tuple[str, Any]:
    """The name and a new instance of an installed plugin that has pages to open: its settings say so.

    Raises UsageError if there is none.
    """
    for plugin in found:
        if plugin.cls is not None and _has_pages(plugin):
            return plugin.name, plugin.cls(enabled=True, open=True)
    raise click.UsageError("--open: no plugin here has pages to open (clippy-core[all] brings one), or it is off")


def _has_pages(plugin: Plugin) -> bool:
    if plugin.status != "loaded" or plugin.cls is None or not callable(getattr(plugin.cls, "show", None)):
        return False
    return {"enabled", "open"} <= {one.name for one in setting_fields(plugin.cls)}


def keep_open(name: str, pages: Any) -> Host:
    """A host that holds the pages, open from now on: the hosts of scenes come and go, and so would pages."""
    holder = Host({name: pages})
    holder.open()
    pages.show(holder)
    return holder


def until_told_to_end() -> None:
    """Wait for Ctrl-C or SIGTERM, which end nothing but the waiting."""
    ended = threading.Event()
    before = {number: signal(number, lambda *_: ended.set()) for number in (SIGINT, SIGTERM)}
    try:
        while not ended.wait(3600):  # without an end to it no signal is seen where waiting blocks them
            pass
    finally:
        for number, handler in before.items():
            signal(number, handler)
