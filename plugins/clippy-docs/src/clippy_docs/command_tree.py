"""The page of the commands: the command line's own and those that plugins added, with what they take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from . import text
from .plain import code, plain

INTRODUCTION = """\
Every command that is installed, with its arguments and options. Defaults are not listed: they may come from the
configuration of one machine."""


def commands_page(cli: Any, root: click.Context) -> str:
    """The page.  *cli* has asked the plugins by then: it is asked for all names."""
    lines = [*_parameters(cli, root)]
    return text.page(
        "Commands", "the command line", INTRODUCTION, "## clippy", lines, list(_below(cli, root, "clippy"))
    )


def _below(group: click.Group, ctx: click.Context, path: str) -> Iterator[str]:
    """The commands of *group* and theirs, a to z; what cannot be read is listed with the reason."""
    for name in sorted(group.list_commands(ctx)):
        here = f"{path} {name}"
        try:
            command = group.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            below = click.Context(command, ctx, info_name=name)
            told = [*_command(command, below, here)]
            if isinstance(command, click.Group):
                told += _below(command, below, here)
        except Exception as error:
            told = [f"## {plain(here)}", "", plain(f"It cannot be read: {type(error).__name__}: {error}"), ""]
        yield from told


def _command(command: click.Command, ctx: click.Context, path: str) -> Iterator[str]:
    yield f"## {plain(path)}"
    yield ""
    yield f"Called as {code(' '.join([path, *command.collect_usage_pieces(ctx)]))}{_whose(command)}."
    yield ""
    for block in (command.help or "It has no help text.").split("\n\n"):
        yield text.prose(block.replace("\b", "").partition("\f")[0])
        yield ""
    yield from _parameters(command, ctx)


def _whose(command: click.Command) -> str:
    """The package that a command comes from, where it is a plugin's."""
    package = str(getattr(command.callback, "__module__", "") or "").partition(".")[0]
    return f", from {code(package)}" if package not in ("", "clippy_core", "click") else ""


def _parameters(command: click.Command, ctx: click.Context) -> Iterator[str]:
    rows = []
    for one in command.get_params(ctx):
        if isinstance(one, click.Option) and not one.hidden:
            names = ", ".join(code(name) for name in (*one.opts, *one.secondary_opts))
            rows.append((names, _kind(one, ctx), text.prose(one.help or "") or "undocumented"))
        elif isinstance(one, click.Argument):
            rows.append((code(one.make_metavar(ctx)), "argument", "required" if one.required else "may be left out"))
    if rows:
        yield from text.table(("option", "takes", "what for"), rows)


def _kind(option: click.Option, ctx: click.Context) -> str:
    if option.is_flag or option.count:
        return "nothing"
    many = ", more than once" if option.multiple else ""
    return code(option.make_metavar(ctx)) + many
