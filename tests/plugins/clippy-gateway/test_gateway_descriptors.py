"""A gateway may have as many files open as the system allows it, and says where that is too few."""

from __future__ import annotations

import logging
import resource

import pytest
from clippy_gateway.descriptors import allow_connections


class Limits:
    """The system's limit of open files, *soft* and *hard*, and a second one behind it that it tells nobody."""

    def __init__(self, soft: int, hard: int, most: int) -> None:
        self.now, self.most = (soft, hard), most

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.now

    def setrlimit(self, _: int, wanted: tuple[int, int]) -> None:
        if wanted[0] > self.most:
            raise ValueError("not allowed to raise maximum limit")
        self.now = wanted


@pytest.mark.parametrize(
    ("soft", "hard", "most", "then", "told"),
    [
        (1024, 524_288, 524_288, 65_536, False),
        (1024, 2**30, 2**30, 65_536, False),  # containers: what closes every number there may be would take minutes
        (1024, 20_000, 20_000, 20_000, False),
        (524_288, 524_288, 524_288, 524_288, False),
        (1024, 1024, 1024, 1024, True),
        (1024, 3000, 3000, 3000, True),
        (256, resource.RLIM_INFINITY, 10_240, 4000, False),
        (256, resource.RLIM_INFINITY, 2000, 256, True),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 2000, resource.RLIM_INFINITY, False),
    ],
)
def test_the_limit_is_raised_as_far_as_it_goes_and_a_low_one_is_told(monkeypatch, caplog, soft, hard, most, then, told):
    limits = Limits(soft, hard, most)
    monkeypatch.setattr(resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limits.setrlimit)
    with caplog.at_level(logging.WARNING, logger="clippy.gateway"):
        allow_connections(2000)
    assert limits.now == (then, hard)
    assert ("LimitNOFILE" in caplog.text) == told


def test_more_than_usual_is_asked_for_where_so_many_may_call(monkeypatch):
    limits = Limits(1024, 2**30, 2**30)
    monkeypatch.setattr(resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limits.setrlimit)
    allow_connections(50_000)
    assert limits.now == (100_000, 2**30)
