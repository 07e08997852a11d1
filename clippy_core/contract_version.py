"""Which versions of the contract this core takes, and whether a plugin was made for the one that is installed here."""

from __future__ import annotations

from collections.abc import Iterable

from .config_names import env_form

CONTRACT = "clippy-hookspecs"
TAKES = ">=0.1.1,<0.2"
"""The contracts that this core works with, as its own dependency says.  A plugin says in the same way which it needs;
one that was written for 0.1.0, the oldest that is supported, runs unchanged until 0.2."""
_OPERATORS = ("===", "~=", "==", "!=", "<=", ">=", "<", ">")
Version = tuple[tuple[int, ...], int]


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

    Requirements with a marker (extras, other platforms) and forms that are not plain comparisons are passed over: the
    installer has judged them.  The rules are those of the version specifiers specification, without local versions.
    """
    if installed is None:
        return None
    for requirement in requires:
        specifiers = _of_contract(requirement)
        if not all(meets(installed, one) for one in specifiers):
            return CONTRACT + ",".join(specifiers)
    return None


def _of_contract(requirement: str) -> list[str]:
    if ";" in requirement or "@" in requirement:
        return []
    text = requirement.strip()
    end = next((i for i, letter in enumerate(text) if not (letter.isalnum() or letter in "-_.")), len(text))
    if env_form(text[:end]) != env_form(CONTRACT):
        return []
    rest = text[end:].strip()
    if rest.startswith("["):
        rest = rest.partition("]")[2]
    return [one.strip() for one in rest.strip(" ()").split(",") if one.strip()]


def meets(installed: str, specifier: str) -> bool:
    """Whether a version is one of those that ``>=0.1`` names; True for what is no plain comparison."""
    operator = next((op for op in _OPERATORS if specifier.startswith(op)), None)
    if operator is None or operator == "===":
        return True
    wanted = specifier[len(operator) :].strip()
    have, want = _parse(installed), _parse(wanted.removesuffix(".*"))
    if have is None or want is None:
        return True
    if operator in ("==", "!="):
        width = len(want[0])
        same = _padded(have[0], width)[:width] == want[0] if wanted.endswith(".*") else _key(have) == _key(want)
        return same == (operator == "==")
    if operator == "~=":
        width = len(want[0]) - 1
        return _key(have) >= _key(want) and _padded(have[0], width)[:width] == want[0][:width]
    if operator == "<":
        # 0.2rc1 comes before 0.2, but is not what "<0.2" lets in.
        early = have[1] < 0 <= want[1] and _key((have[0], 0)) == _key((want[0], 0))
        return _key(have) < _key(want) and not early
    return {
        "<=": _key(have) <= _key(want),
        ">=": _key(have) >= _key(want),
        ">": _key(have) > _key(want),
    }[operator]


def _parse(text: str) -> Version | None:
    """The numbers of a version and -1, 0 or 1 for before, at and after them; None for what is no version."""
    text = text.partition("+")[0].lower().removeprefix("v")
    end = next((i for i, letter in enumerate(text) if letter not in "0123456789."), len(text))
    numbers, tail = text[:end].strip("."), text[end:].lstrip("-_.")
    parts = numbers.split(".")
    if not all(part.isdecimal() for part in parts):
        return None
    return tuple(int(part) for part in parts), 0 if not tail else 1 if tail.startswith("post") else -1


def _padded(numbers: tuple[int, ...], width: int) -> tuple[int, ...]:
    return numbers + (0,) * (width - len(numbers))


def _key(version: Version) -> tuple[tuple[int, ...], int]:
    numbers = list(version[0])
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), version[1]
