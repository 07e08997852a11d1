"""``clippy doctor module:client``: whether a program's client has plugins under it, and whether it retries by itself.

Another process cannot be looked into.  A client is judged after its module was imported; what an SDK repeats while a
program runs is counted and logged there (``host.repeats``).
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from ..config_names import did_you_mean
from .doctor_orders import Finding, Level

if TYPE_CHECKING:
    from ..discovery import Discovered


def examine_client(target: str, discovered: Discovered) -> tuple[dict[str, Any], list[Finding]]:
    """What *target* (``package.module:name.attribute``) is, and what is wrong with it."""
    about = f"client {target}"
    try:
        client = _load(target)
    except (Exception, SystemExit) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return {"target": target, "client": None}, [Finding("wrong", about, f"cannot be loaded: {said}")]
    from ..http_modules import module_of
    from ..in_front import host_of

    http = client if module_of(client) is not None else getattr(client, "_client", None)
    module = module_of(http)
    kind = f"{type(client).__module__}.{type(client).__qualname__}"
    document: dict[str, Any] = {"target": target, "client": kind, "http": module.__name__ if module else None}
    if module is None:
        what = f"is of type {kind}; name the client of an SDK built on httpx or httpx2, or such a client"
        return document, [Finding("wrong", about, what)]
    transports = [http._transport, *(one for one in http._mounts.values() if one is not None)]  # type: ignore[union-attr]  # noqa: SLF001
    hosts = [host_of(one) for one in transports]
    wrapped = all(host is not None for host in hosts)
    retries = getattr(client, "max_retries", 0)
    again = max((_connects_again(one) for one in transports), default=0)
    repeats = sum(host.repeats.count for host in {id(host): host for host in hosts if host is not None}.values())
    document |= {"wrapped": wrapped, "max_retries": retries, "connects_again": again, "repeats": repeats}
    owners = (
        [step.plugin for step in hosts[0].chains.on_error]
        if wrapped and hosts[0] is not None
        else [plugin.name for plugin in discovered.chain("on_error")]
    )
    document["retries_decided_by"] = owners
    return document, [Finding(level, about, what) for level, what in _judge(document)]


def _judge(said: dict[str, Any]) -> list[tuple[Level, str]]:
    found: list[tuple[Level, str]] = []
    owners, retries = " and ".join(said["retries_decided_by"]), said["max_retries"]
    decide = "decide" if len(said["retries_decided_by"]) > 1 else "decides"
    if not said["wrapped"]:
        still = f", and it retries {retries} times by itself" if retries else ""
        found.append(
            (
                "wrong",
                f"is not wrapped: no plugin sees its calls{still}; use what host.wrap(client) returns, or clippy run",
            )
        )
    elif owners and retries:
        what = (
            f"asks for {retries} retries of its own, and {owners} {decide} about them; leave out max_retries, also in "
        )
        found.append(("wrong", f"{what}with_options after host.wrap"))
    if said["connects_again"]:
        what = f"its transport connects {said['connects_again']} times more beneath the plugins"
        found.append(("note", f"{what} (HTTPTransport(retries=...)); no plugin sees that"))
    if said["repeats"]:
        found.append(
            ("wrong", f"an SDK has repeated {said['repeats']} requests in this process; it got the same answers")
        )
    return found


def _load(target: str) -> Any:
    module, colon, path = target.partition(":")
    if not (module and colon and path):
        raise ValueError("write package.module:name")
    if os.getcwd() not in sys.path:  # noqa: PTH109  # as python -m does it
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    found = importlib.import_module(module)
    for name in path.split("."):
        if not hasattr(found, name):
            there = f"{target.removesuffix(path)}{path.partition(name)[0]}".rstrip(".:")
            raise AttributeError(f"{there} has no {name}{did_you_mean(name, dir(found))}")
        found = getattr(found, name)
    return found


def _connects_again(transport: Any) -> int:
    """The retries of an HTTPTransport's connection pool, of one of ours those of what lies beneath."""
    inner = getattr(transport, "inner", transport)
    return int(getattr(getattr(inner, "_pool", None), "_retries", 0) or 0)
