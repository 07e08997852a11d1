"""What a command finds installed and configured."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import define
from clippy_hookspecs import ConfigError

from .output import say

if TYPE_CHECKING:
    from ..config import Config
    from ..discovery import Discovered
    from ..installed import Found


@define(eq=False)
class Installation:
    """The configuration and the plugins, read when they are first asked for; no host is made of them."""

    path: Path | None = None

    @cached_property
    def config(self) -> Config:
        """The configuration, with its faults beside it."""
        from ..config import read_config

        return read_config(self.path)

    @cached_property
    def discovered(self) -> Discovered:
        """Every installed plugin, whatever became of it."""
        from ..discovery import discover

        return discover(self.config)

    def of(self, names: Iterable[str]) -> Discovered:
        """The plugins of these names; the others are not imported.  What is wrong with the whole is not known then."""
        from ..discovery import discover
        from ..installed import scan

        wanted = {*names}
        return discover(self.config, found=[one for one in scan() if one.name in wanted])

    @cached_property
    def let_in(self) -> tuple[Found, ...]:
        """The installed plugins that may be imported."""
        from ..admission import let_in
        from ..installed import scan

        return tuple(one.found for one in let_in(scan(), self.config)[0] if one.status == "admitted")

    @cached_property
    def told(self) -> dict[str, str]:
        """The commands that metadata tells of, with the place where their help stands."""
        return {name: place for one in self.let_in for name, place in one.commands}

    def who_told(self, command: str) -> tuple[str, ...]:
        """The plugins whose distribution tells of *command*, also those that may not be imported."""
        from ..installed import scan

        return tuple(one.name for one in scan() if command in dict(one.commands))

    @property
    def silent(self) -> tuple[str, ...]:
        """The plugins whose metadata does not tell their commands."""
        return tuple(one.name for one in self.let_in if not one.tells_commands)

    @property
    def faults(self) -> tuple[str, ...]:
        """Everything for which a host would not start."""
        return (*self.config.faults, *self.discovered.faults)

    def require_readable(self) -> None:
        """Raises ConfigError, with every fault, when the sources are so wrong that it is not known what is active."""
        if self.config.faults:
            raise ConfigError(self.faults)

    def end(self, ctx: click.Context, *, told: bool = False) -> None:
        """End a command that shows what is here: with every fault on stderr, unless *told*, and 1 if there is one."""
        for fault in () if told else self.faults:
            say(f"a host would not start: {fault}", err=True)
        ctx.exit(1 if self.faults else 0)


def installation(ctx: click.Context) -> Installation:
    """The one installation of this run of the command line."""
    root = ctx.find_root()
    if not isinstance(root.obj, Installation):
        root.obj = Installation(root.params.get("config"))
    return root.obj
