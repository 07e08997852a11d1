"""``clippy new-plugin``: a package with a working plugin and its tests, to begin from."""

from __future__ import annotations

import re
from pathlib import Path

import click
from clippy_hookspecs import POLICIES

from ..config_names import did_you_mean
from ..contract_version import CONTRACT, installed_contract
from ..installed import scan
from .output import say
from .package import Package

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 30
_OURS = ("core", "hookspecs")


@click.command("new-plugin")
@click.argument("name")
@click.option("--hook", "hooks", multiple=True, metavar="HOOK", help="Implement it; may be given several times.")
@click.option(
    "--path",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="Where the package's folder is made, by default here.",
)
def new_plugin(name: str, hooks: tuple[str, ...], folder: Path) -> None:
    """Make a package clippy-NAME: a plugin that works, its tests, and what a package needs.

    Without --hook it implements pre_request; clippy hooks --all names them all.
    """
    name = _checked_name(name)
    for hook in hooks:
        if hook not in POLICIES:
            hint = did_you_mean(hook, POLICIES, "the hooks are")
            raise click.BadParameter(f"there is no hook {hook!r}{hint}", param_hint="--hook")
    package = Package(name, hooks or ("pre_request",), contract_requirement(installed_contract()))
    target = folder / package.distribution
    if target.exists() or target.is_symlink():
        raise click.ClickException(f"{target} is there already; choose another name, or another --path")
    for path, text in package.files().items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text, encoding="utf-8")
    say(f"{target}: {package.cls} implements {', '.join(package.implemented)}")
    more = [hook for hook in package.implemented if hook not in (hooks or ("pre_request",))]
    if more:
        say(f"  {', '.join(more)} came along, because they belong to what was asked for")
    say(f'  python -m pip install -e "{target}[test]"    makes it active, and brings what its tests need')
    say(f"  python -m pytest {target}    runs its tests")


def _checked_name(said: str) -> str:
    name = said.removeprefix("clippy-")
    if not _NAME.fullmatch(name):
        letters = "-".join(re.findall(r"[a-z0-9]+", name.lower().removeprefix("clippy"))).lstrip("0123456789-")
        hint = f"; did you mean {letters}?" if _NAME.fullmatch(letters) else ""
        what = "is no name for a plugin: small letters, digits and single hyphens, a letter first, like cache-redis"
        raise click.BadParameter(f"{said!r} {what}{hint}", param_hint="NAME")
    if len(name) > _LONGEST:
        raise click.BadParameter(f"{name} is longer than {_LONGEST} letters; choose a shorter name", param_hint="NAME")
    if name in _OURS or name == "off":
        what = "CLIPPY_PLUGINS=off switches all plugins off" if name == "off" else f"clippy-{name} is a package of ours"
        raise click.BadParameter(f"{name} cannot be a plugin: {what}; choose another name", param_hint="NAME")
    for found in scan():
        if found.name == name:
            what = f"{found.distribution} {found.version} is installed and has a plugin {name}, and two of one name"
            raise click.BadParameter(f"{what} cannot both be active; choose another name", param_hint="NAME")
    return name


def contract_requirement(version: str | None) -> str:
    """The range of versions of the contract that a plugin made for *version* works with."""
    major, minor, *_ = map(int, re.findall(r"\d+", version or "0.1"))
    oldest = version if re.fullmatch(r"[\d.]+", version or "") else f"{major}.{minor}"
    return f"{CONTRACT}>={oldest},<{f'0.{minor + 1}' if major == 0 else major + 1}"
