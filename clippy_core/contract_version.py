"""Which versions of the contract this core takes, and whether a plugin was made for the one that is installed here."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

CONTRACT = "clippy-hookspecs"
TAKES = ">=0.1.1,<0.2"
"""The contracts that this core works with, as its own dependency says.  A plugin says in the same way which it needs;
one that was written for 0.1.0, the oldest that is supported, runs unchanged until 0.2."""


def installed_contract() -> str | None:
    """The version of the contract, None where it was not installed as a distribution (vendored, frozen)."""
    import importlib_metadata  # its import costs as much as a whole host without plugins

    try:
        return importlib_metadata.version(CONTRACT) or None
    except importlib_metadata.PackageNotFoundError:
        return None


def core_fault() -> str | None:
    """What is wrong between this core and the installed contract, None if nothing is."""
    installed = installed_contract()
    if mismatch([f"{CONTRACT}{TAKES}"], installed) is None:
        return None
    return f"this clippy-core needs {CONTRACT}{TAKES}, and {installed} is installed; install the two together"


def mismatch(requires: Iterable[str], installed: str | None) -> str | None:
    """The requirement on the contract that *installed* does not meet, None if all are met.

    Requirements that do not hold here (extras, other platforms) or that nobody can read are passed over: the installer
    has judged them.
    """
    if installed is None:
        return None
    for text in requires:
        found = requirement(text)
        if found is not None and found.holds and found.name == CONTRACT and not found.admits(installed):
            return CONTRACT + found.specifiers
    return None


@frozen
class Requirement:
    """What a distribution needs of another: its normalized name, which versions, and whether that holds here."""

    name: str
    specifiers: str
    holds: bool
    _set: SpecifierSet

    def admits(self, version: str) -> bool:
        """Whether a version is one of those, as installers see it (version specifiers specification, PyPA)."""
        return self._set.contains(version, prereleases=True)


@functools.lru_cache(maxsize=1024)  # each host asks for the same ones
def requirement(text: str) -> Requirement | None:
    """A requirement as metadata has it, ``clippy-hookspecs<0.2,>=0.1``; None if it is none.  Extras do not hold."""
    # Its import costs as much as a whole host without plugins.
    from packaging import markers, requirements
    from packaging.utils import canonicalize_name

    try:
        read = requirements.Requirement(text)
        holds = read.marker is None or read.marker.evaluate({"extra": ""})
    except (ValueError, markers.UndefinedEnvironmentName):  # the second is one of a marker that parses
        return None
    return Requirement(canonicalize_name(read.name), str(read.specifier), holds, read.specifier)
