"""What the contract promises of the host is there."""

from __future__ import annotations

import inspect
from typing import Any

import clippy_hookspecs as contract
import pytest

import clippy_core
from clippy_core.calls import AsyncPieces, Pieces
from clippy_core.flow import FlowHandle
from clippy_core.making import SystemClock
from clippy_core.opaque import OpaqueStream
from clippy_core.registry import Registry, ServicesView
from clippy_core.state_memory import MemoryStateStore
from clippy_core.testing import VirtualClock
from clippy_core.tokens import HeuristicTokenCounter

KEPT = [
    (contract.Host, clippy_core.Host),
    (contract.Services, ServicesView),
    (contract.ServiceRegistry, Registry),
    (contract.Flow, FlowHandle),
    (contract.Clock, SystemClock),
    (contract.Clock, VirtualClock),
    (contract.TokenCounter, HeuristicTokenCounter),
    (contract.StateStore, MemoryStateStore),
    (contract.ByteStream, Pieces),
    (contract.ByteStream, AsyncPieces),
    (contract.ByteStream, OpaqueStream),
]


@pytest.mark.parametrize(("protocol", "kept_by"), KEPT, ids=lambda one: one.__name__)
def test_a_promise_is_kept(protocol: type[Any], kept_by: type[Any]) -> None:
    """Every member of the Protocol is there, awaitable where it says so, and takes what the Protocol's takes."""
    for name, member in vars(protocol).items():
        if name.startswith("_") or not (inspect.isfunction(member) or isinstance(member, property)):
            continue
        other = inspect.getattr_static(kept_by, name, None)
        assert other is not None, f"{kept_by.__name__} has no {name}"
        other = getattr(other, "__func__", other)
        if inspect.isfunction(member) and inspect.isfunction(other):
            assert inspect.iscoroutinefunction(member) == inspect.iscoroutinefunction(other), name
            wanted = [one for one in inspect.signature(member).parameters if one != "self"]
            taken = inspect.signature(other).parameters
            stars = any(one.kind is one.VAR_POSITIONAL for one in taken.values())
            assert stars or wanted == [one for one in taken if one != "self"][: len(wanted)], name
