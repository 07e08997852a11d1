"""What a command finds installed and configured."""

from __future__ import annotations

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
