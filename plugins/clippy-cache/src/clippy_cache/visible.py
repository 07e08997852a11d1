"""Text for a terminal, which obeys what it is sent: what caches keep was written by models and strangers."""

from __future__ import annotations

import click


def visible(text: str) -> str:
    """*text* with every character that a terminal would obey, reorder or hide written as an escape."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def say(text: str) -> None:
    """Print one line, made safe."""
    click.echo(visible(text))
