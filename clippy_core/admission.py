"""Which of the installed plugins may be imported: allowed, the only one of the name, for this contract, locked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from attrs import frozen
from clippy_hookspecs import ConfigError

from .config import Config
from .contract_version import installed_contract, mismatch
from .installed import Found

if TYPE_CHECKING:
    from .lock import Lock


@frozen
class Verdict:
    """Whether a plugin may be imported; if not, why, *disabled* by a setting or *quarantined* with a fault."""

    found: Found
    status: Literal["admitted", "disabled", "quarantined"] = "admitted"
    reason: str = ""


def let_in(installed: Sequence[Found], config: Config) -> tuple[tuple[Verdict, ...], list[str], bool]:
    """Which of *installed* may be imported, faults of the lock, and whether for these nothing may be."""
    lock, faults = _lock(installed, config)
    shut = bool(faults) and lock is None  # nothing is imported, and that is one fault
    return _shut(installed, config) if shut else admit(installed, config, lock), faults, shut


def _lock(installed: Sequence[Found], config: Config) -> tuple[Lock | None, list[str]]:
    """The lock in force and what is gone from it; None without one, with a fault if there should be one."""
    if not config.host.locked or config.host.allow == "off":
        return None, []
    from .lock import lock_path, read_lock  # who locks nothing need not wait for it

    path = lock_path(config)
    try:
        lock = read_lock(path)
    except ConfigError as error:
        return None, [f"{config.origin('locked')}: locked: {fault}" for fault in error.faults]
    gone = lock.gone(installed)
    return lock, [f"{path}: {what}" for name, what in gone if not left_out(name, config)]


def _shut(installed: Sequence[Found], config: Config) -> tuple[Verdict, ...]:
    """What becomes of the installed plugins where the lock that there should be cannot be read."""
    settings = ((found, left_out(found.name, config)) for found in installed)
    return tuple(
        Verdict(found, "disabled", what) if what else Verdict(found, "quarantined", "waits for a lock that can be read")
        for found, what in settings
    )


def admit(installed: Sequence[Found], config: Config, lock: Lock | None = None) -> tuple[Verdict, ...]:
    """What becomes of each of *installed*; with a *lock*, only what is in it is admitted."""
    contract = installed_contract()
    first = [_by_itself(found, config, lock, contract) for found in installed]
    names = Counter(one.found.name for one in first if one.status == "admitted")
    return tuple(
        _double(one.found, installed) if one.status == "admitted" and names[one.found.name] > 1 else one
        for one in first
    )


def left_out(name: str, config: Config) -> str:
    """The setting that keeps a plugin of this name from loading, in a few words; "" if none does."""
    allow = config.host.allow
    if allow == "off":
        return f"all plugins are off ({config.origin('allow')})"
    if allow is not None and name not in allow:
        return f"not in the allow list ({config.origin('allow')})"
    if name in config.host.disable:
        return f"disabled ({config.origin('disable')})"
    return ""


def _by_itself(found: Found, config: Config, lock: Lock | None, contract: str | None) -> Verdict:
    setting = left_out(found.name, config)
    if setting:
        return Verdict(found, "disabled", setting)
    unmet = mismatch(found.requires, contract)
    if unmet:
        what = f"was made for {unmet}, and {contract} is installed; install a {found.distribution} for it"
        return Verdict(found, "quarantined", what)
    refusal = lock.refusal(found) if lock is not None else None
    return Verdict(found, "quarantined", refusal) if refusal else Verdict(found)


def _double(found: Found, installed: Sequence[Found]) -> Verdict:
    who = " and ".join(f"{one.distribution} {one.version}" for one in installed if one.name == found.name)
    return Verdict(found, "quarantined", f"{who} both bring a plugin of this name; uninstall one of them")
