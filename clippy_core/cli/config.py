"""``clippy config``: whether the configuration is right, what it comes to, and who said so."""

from __future__ import annotations

import click

from .installation import Installation, installation
from .output import json_option, say, say_json, table


@click.group()
def config() -> None:
    """Check the configuration, or see what it comes to."""


@config.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """List every fault with its path and what is expected there; exit 1 if there is one."""
    found = installation(ctx)
    faults = found.faults
    if as_json:
        say_json({"ok": not faults, "file": _file(found), "faults": list(faults)})
    else:
        for fault in faults:
            say(fault)
        if not faults:
            say(f"no faults ({_file(found) or 'no file: defaults and environment'})")
    ctx.exit(1 if faults else 0)


@config.command()
@click.option("--origin", "with_origin", is_flag=True, help="Say for each setting who set it.")
@json_option
@click.pass_context
def show(ctx: click.Context, with_origin: bool, as_json: bool) -> None:
    """Every setting in force, the plugins' and the defaults included; secrets are not shown."""
    from ..config_show import rows

    found = installation(ctx)
    classes = {plugin.name: type(plugin.object) for plugin in found.discovered.loaded}
    lines = rows(found.config, classes)
    if as_json:
        settings = [{"path": row.path, "value": row.data, "origin": row.origin} for row in lines]
        say_json({"file": _file(found), "settings": settings, "faults": list(found.faults)})
    elif with_origin:
        for line in table(("setting", "value", "origin"), [(row.path, row.value, row.origin) for row in lines]):
            say(line)
    else:
        for row in lines:
            say(f"{row.path} = {row.value}")
    found.end(ctx, told=as_json)


@config.command()
@click.pass_context
def schema(ctx: click.Context) -> None:
    """Print the JSON Schema (2020-12) of everything installed: the host's settings and each plugin's table.

    Of plugins that would not load (disabled, not allowed, not locked) every table is accepted.
    """
    from ..config_schema import schema_of

    found = installation(ctx).discovered.plugins
    classes = dict[str, type[object] | None]()
    for plugin in found:
        classes[plugin.name] = classes.get(plugin.name) or plugin.cls
    versions = sorted({f"{plugin.distribution} {plugin.version}" for plugin in found if plugin.cls is not None})
    say_json(schema_of(classes, f"The configuration of clippy with {', '.join(versions) or 'no plugin'}."))


def _file(found: Installation) -> str | None:
    return str(found.config.file) if found.config.file else None
