"""``clippy plugins lock``: write down what may load, or compare it with what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from clippy_hookspecs import ConfigError

from .installation import installation
from .output import json_option, say, say_json

if TYPE_CHECKING:
    from ..admission import Verdict
    from ..config import Config


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 if the lock is not what is installed.")
@json_option
@click.pass_context
def lock(ctx: click.Context, only_check: bool, as_json: bool) -> None:
    """Write clippy.lock: name, distribution, version and hash of every plugin that would load.

    It lies beside the configuration file.  With locked = true there, or CLIPPY_LOCKED=1, nothing else loads.  No
    plugin is imported for it.
    """
    from ..lock import lock_path, make_lock, write_lock

    found = installation(ctx)
    found.require_readable()
    path, verdicts = lock_path(found.config), _verdicts(found.config)
    wanted = [one.found for one in verdicts if one.status == "admitted"]
    aside = [f"plugin {v.found.name} {v.found.version}: {v.reason}" for v in verdicts if v.status == "quarantined"]
    differences, changed, names = list[str](), False, [one.name for one in wanted]
    try:
        if only_check:
            differences = differences_of(found.config, verdicts)
        else:
            changed = write_lock(path, make_lock(wanted))
    except ConfigError as error:
        differences = list(error.faults)
    if as_json:
        left = {"left_out": aside, "differences": differences}
        say_json({"ok": not differences, "file": str(path), "changed": changed, "plugins": names, **left})
    else:
        for what in aside:
            say(f"left out: {what}", err=True)
        for what in differences:
            say(what)
        if not differences:
            said = "is what is installed" if only_check else "written" if changed else "was so already"
            say(f"{path} {said}: {', '.join(names) or 'no plugin'}")
    ctx.exit(1 if differences else 0)


def differences_of(config: Config, verdicts: tuple[Verdict, ...] | None = None) -> list[str]:
    """How the lock is not what would load without it.  Raises ConfigError where there is no lock that can be read."""
    from ..lock import lock_path, read_lock

    verdicts = _verdicts(config) if verdicts is None else verdicts
    return read_lock(lock_path(config)).differences([one.found for one in verdicts if one.status == "admitted"])


def _verdicts(config: Config) -> tuple[Verdict, ...]:
    """What would become of the installed plugins if nothing were locked."""
    from ..admission import admit
    from ..installed import scan

    return admit(scan(), config)
