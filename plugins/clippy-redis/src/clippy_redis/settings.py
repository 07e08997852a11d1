"""What may stand in the settings of a plugin that uses a server."""

from __future__ import annotations

from .address import parse


def is_url(plugin: object, attribute: object, value: str) -> None:
    """An attrs validator: *value* names a server, or is empty.  Raises ValueError, with nothing of the url in it."""
    if value:
        parse(value)


def is_prefix(plugin: object, attribute: object, value: str) -> None:
    """An attrs validator: every key may begin with *value* and a stroke.  Raises ValueError."""
    # Between braces stands what a cluster reads of a key: every key would be on one of its servers.  A stroke ends the
    # prefix, so that no prefix and key together are another prefix and key.
    if not value or {*value} & {"{", "}", "|"}:
        raise ValueError("expected a text without { } |, such as clippy or my-program:production")
