"""A plugin with a command."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from clippy_hookspecs import hookimpl


@define(eq=False)
class Plugin:
    """Adds a command to the command line."""

    greeting: str = field(default="Hello", metadata={"doc": "what the command says"})

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        """Greet WHO."""
        import click  # the command line brings it, and nothing else needs it

        @click.command("plugin-name", help=type(self).register_commands.__doc__)
        @click.argument("who", default="world")
        def command(who: str) -> None:
            click.echo(f"{self.greeting}, {who}")

        cli.add_command(command)
