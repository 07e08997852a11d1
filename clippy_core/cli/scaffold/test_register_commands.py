"""Its test."""

from __future__ import annotations

import click
from click.testing import CliRunner

from .register_commands import Plugin


def test_the_command_greets() -> None:
    """With the word of the configuration."""
    cli = click.Group()
    Plugin(greeting="Good morning").register_commands(cli)
    result = CliRunner().invoke(cli, ["plugin-name", "Ada"])
    assert (result.exit_code, result.output) == (0, "Good morning, Ada\n")
