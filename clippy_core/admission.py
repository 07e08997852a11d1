"""Which of the installed plugins may be imported: allowed, the only one of the name, for this contract, locked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from attrs import frozen

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
