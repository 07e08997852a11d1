"""Which versions of the contract this core takes, and whether a plugin was made for the one that is installed here."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

from attrs import frozen

CONTRACT = "clippy-hookspecs"
TAKES = ">=0.1.1,<0.2"
"""The contracts that this core works with, as its own dependency says.  A plugin says in the same way which it needs;
one that was written for 0.1.0, the oldest that is supported, runs unchanged until 0.2."""


def installed_contract() -> str | None:
    """The version of the contract, None where it was not installed as a distribution (vendored, frozen)."""
    import importlib_metadata  # its import costs as much as a whole host without plugins

    try:
        return said_by(importlib_metadata.distribution(CONTRACT))[1] or None
    except importlib_metadata.PackageNotFoundError:
        return None


def said_by(distribution: Any) -> tuple[str, str, tuple[str, ...]]:
    """Name, version and requirements of a distribution (core metadata specification, PyPA)."""
    text = distribution.read_text("METADATA") or ""
    lines = text.partition("\n\n")[0].rstrip("\n").split("\n")
    if not text or "\r" in text or any(line[:1].isspace() for line in lines):
        # It is of another form, or has folded lines.  Only these wait for a parser of e-mails to be imported.
        metadata = distribution.metadata
        said = str(metadata.get("Name") or ""), str(metadata.get("Version") or "")
        return *said, tuple(distribution.requires or ())
    fields: dict[str, list[str]] = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.lower(), []).append(value.strip())
    name, version = (fields.get(key, [""])[0] for key in ("name", "version"))
    return name, version, tuple(fields.get("requires-dist", ()))


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
        found = requirement(text) if name_of(text) == CONTRACT else None
        if found is not None and found.holds and not found.admits(installed):
            return CONTRACT + found.specifiers
    return None


@frozen
class Requirement:
    """What a distribution needs of another: its normalized name, which versions, and whether that holds here."""

    name: str
    specifiers: str
    holds: bool

    def admits(self, version: str) -> bool:
        """Whether a version is one of those, as installers see it (version specifiers specification, PyPA)."""
        bounds = [_BOUND.fullmatch(one) for one in self.specifiers.split(",")] if self.specifiers else []
        if _RELEASE.fullmatch(version) is None or None in bounds:
            from packaging.specifiers import SpecifierSet

            return SpecifierSet(self.specifiers).contains(version, prereleases=True)
        return all(_SIGNS[bound[1]](*_numbers(version, bound[2])) for bound in bounds if bound is not None)


_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_RELEASE = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_SIGN = r"[<>]=?|[=!]="
_BOUND = re.compile(rf"({_SIGN})({_RELEASE.pattern})")
_ONE = rf"(?:{_SIGN})\s*{_RELEASE.pattern}"
_PLAIN = re.compile(rf"{_NAME.pattern}\s*({_ONE}(?:\s*,\s*{_ONE})*)?\s*")
"""A requirement as nearly all are: a name, and how its release numbers compare.  Others are packaging's to read, whose
import costs as much as a whole host without plugins."""
_SIGNS = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def _numbers(*versions: str) -> tuple[tuple[int, ...], ...]:
    """Release numbers to be compared: of equal length, 1.0 is 1."""
    return tuple(zip(*zip_longest(*(map(int, one.split(".")) for one in versions), fillvalue=0), strict=True))


def name_of(text: str) -> str:
    """The normalized name of what a requirement is on, "" if there is none."""
    found = _NAME.match(text)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found is not None else ""


@functools.lru_cache(maxsize=1024)  # each host asks for the same ones
def requirement(text: str) -> Requirement | None:
    """A requirement as metadata has it, ``clippy-hookspecs<0.2,>=0.1``; None if it is none.  Extras do not hold."""
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        bounds = sorted(re.sub(r"\s", "", plain[2] or "").split(","))
        return Requirement(name_of(text), ",".join(bounds), holds=True)
    from packaging import markers, requirements

    try:
        read = requirements.Requirement(text)
        holds = read.marker is None or read.marker.evaluate({"extra": ""})
    except (ValueError, markers.UndefinedEnvironmentName):  # the second is one of a marker that parses
        return None
    return Requirement(name_of(read.name), str(read.specifier), holds)
