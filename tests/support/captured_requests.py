"""The requests that the official SDKs send, as they are on the wire, and requests that differ from one in one place."""

from __future__ import annotations

import copy
import functools
import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx2
import sdk_anthropic_calls
import sdk_openai_calls
from attrs import frozen
from sdk_lab import Lab

from clippy_core.testing import SeenRequest

SDKS: Mapping[str, Any] = {"openai": sdk_openai_calls, "anthropic": sdk_anthropic_calls}
CACHED = ("/chat/completions", "/responses", "/messages", "/embeddings")
"""Endpoints whose answers a cache may give again."""

Path = tuple[str | int, ...]
"""Where a value lies in a JSON body."""


@frozen
class Captured:
    """One request of an SDK; ``name`` says which call sent it."""

    name: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: dict[str, Any]

    @property
    def paths(self) -> list[Path]:
        """Where each value of the body lies, the outer ones before those in them."""
        return list(paths(self.body))


@functools.cache
def captured() -> tuple[Captured, ...]:
    """Each different request that the healthy calls of both SDKs send to an endpoint whose answers are cached."""
    found: dict[tuple[str, str], Captured] = {}
    for sdk, module in SDKS.items():
        for name, (call, script) in module.HEALTHY.items():
            lab = Lab("sync", httpx2, module.make_client)
            lab.run(call, script)
            for seen in lab.provider.requests:
                if seen.method == "POST" and seen.path.endswith(CACHED):
                    one = _captured(f"{sdk} {name} {seen.number}", seen)
                    found.setdefault((one.url, json.dumps(one.body, sort_keys=True)), one)
    return tuple(found.values())


def _captured(name: str, seen: SeenRequest) -> Captured:
    left_out = ("content-length", "host")
    headers = tuple((key, value) for key, value in seen.headers.pairs if key.lower() not in left_out)
    return Captured(name, seen.url, headers, json.loads(seen.body))


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where each value within *value* lies."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*path, key)
        yield from paths(item, (*path, key))


def at(body: Any, path: Path) -> Any:
    """The value at *path*."""
    return functools.reduce(lambda value, key: value[key], path, body)


def changed(body: dict[str, Any], path: Path, change: Callable[[Any, Any], None]) -> dict[str, Any]:
    """A copy of *body* in which *change* was applied to what holds the value at *path*, with its name or place."""
    made = copy.deepcopy(body)
    change(at(made, path[:-1]), path[-1])
    return made


def put(value: Any) -> Callable[[Any, Any], None]:
    """The change that puts *value* there."""
    return lambda holder, key: holder.__setitem__(key, value)


def drop(holder: Any, key: Any) -> None:
    """The change that takes the value away."""
    del holder[key]


def others(value: Any) -> list[Any]:
    """Values near to *value* that are not it: what a careless key takes for the same."""
    if value is None:
        return [0, "null", False]
    if isinstance(value, bool):
        return [not value, int(value), None]
    if isinstance(value, int | float):
        return [value * 2 + 1, str(value), -value - 1, [value]]
    if isinstance(value, str):
        return [value + " ", value + "\0", value.swapcase() + "'", [value], None]
    if isinstance(value, list):
        return [[*value, None], [value], value[1:]] if value else [[None], None]
    return [{**value, "x": None}, [value], {}] if value else [{"x": None}, None]


def shuffled(value: Any, chance: random.Random) -> Any:
    """*value* with the names of each object in another order."""
    if isinstance(value, dict):
        items = [(name, shuffled(item, chance)) for name, item in value.items()]
        chance.shuffle(items)
        return dict(items)
    return [shuffled(item, chance) for item in value] if isinstance(value, list) else value


__all__ = ["SDKS", "Captured", "Path", "at", "captured", "changed", "drop", "others", "paths", "put", "shuffled"]
