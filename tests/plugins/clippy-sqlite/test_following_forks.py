"""Who has a file open is told of every fork: before it, after it in the parent, and after it in the child."""

from __future__ import annotations

import gc
import os
import threading

import pytest
from attrs import define, field
from clippy_sqlite import follow_forks

from clippy_core.testing.contracts.base import in_threads
from clippy_core.testing.contracts.processes import in_processes

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


@define(eq=False)
class Owner:
    """Notes what it is told, and which thread said it."""

    told: list[str] = field(factory=list)
    threads: list[int] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        follow_forks(self, Owner.rest, Owner.resume, Owner.begin_anew)

    def rest(self) -> None:
        self.told.append("rest")
        self.threads.append(threading.get_ident())

    def resume(self) -> None:
        self.told.append("resume")
        self.threads.append(threading.get_ident())

    def begin_anew(self) -> None:
        self.told.append("begin anew")


def test_an_owner_rests_before_and_goes_on_after_on_both_sides():
    """Each side hears its own part."""
    one, other = Owner(), Owner()
    assert in_processes(1, lambda _: [one.told, other.told]) == [[["rest", "begin anew"]] * 2]
    assert one.told == other.told == ["rest", "resume"]


def test_a_child_may_fork_too():
    """And owners that begin there are told as well."""

    def work(_: int) -> list[list[list[str]]]:
        late = Owner()
        result: list[list[list[str]]] = in_processes(1, lambda _: [early.told, late.told])
        return [*result, [early.told, late.told]]

    early = Owner()
    in_grandchild = [["rest", "begin anew", "rest", "begin anew"], ["rest", "begin anew"]]
    in_child = [["rest", "begin anew", "rest", "resume"], ["rest", "resume"]]
    assert in_processes(1, work) == [[in_grandchild, in_child]]


def test_an_owner_that_is_gone_is_told_nothing():
    """Following keeps nobody alive."""
    owner = Owner()
    told = owner.told
    del owner
    gc.collect()
    in_processes(1, lambda _: None)
    assert told == []


def test_two_threads_that_fork_at_once_do_it_one_after_the_other():
    """Between a rest and its resume nobody else's comes."""
    owner = Owner()
    in_threads(4, lambda _: [in_processes(1, lambda _: None) for _ in range(5)])
    assert owner.told == ["rest", "resume"] * 20
    assert all(rest == resume for rest, resume in zip(owner.threads[::2], owner.threads[1::2], strict=True))
