"""A queue that hands things on by a thread of its own, and never keeps whoever puts something in waiting."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from attrs import define, field
from clippy_lines import Delivery


@define(eq=False)
class Gate:
    """Takes what is delivered, and holds the thread at the first of it until ``open``."""

    got: list[tuple[int, ...]] = field(factory=list)
    came: threading.Event = field(factory=threading.Event)
    open: threading.Event = field(factory=threading.Event)

    def take(self, some: Sequence[int]) -> None:
        self.got.append(tuple(some))
        self.came.set()
        self.open.wait(60)


def test_a_queue_that_was_closed_takes_nothing_that_nobody_would_deliver() -> None:
    got: list[Sequence[int]] = []
    queue = Delivery(got.append, 10)
    assert queue.put(1)
    assert queue.close(30) == 0
    assert not queue.put(2)
    assert got == [[1]]


def test_what_waits_is_delivered_together_in_its_order_and_at_most_so_much() -> None:
    gate = Gate()
    queue = Delivery(gate.take, 10, together=3)
    queue.put(0)
    assert gate.came.wait(60)
    assert all(queue.put(number) for number in range(1, 6))
    gate.open.set()
    assert queue.close(30) == 0
    assert gate.got == [(0,), (1, 2, 3), (4, 5)]


def test_a_full_queue_says_so_and_keeps_what_it_has() -> None:
    gate = Gate()
    queue = Delivery(gate.take, 2)
    queue.put(0)
    assert gate.came.wait(60)
    assert [queue.put(number) for number in (1, 2, 3)] == [True, True, False]
    gate.open.set()
    assert queue.close(30) == 0
    assert gate.got == [(0,), (1,), (2,)]


def test_closing_waits_for_no_pause() -> None:
    got: list[Sequence[int]] = []
    queue = Delivery(got.append, 10, pause=3600.0, together=10)
    queue.put(1)
    queue.put(2)
    assert queue.close(30) == 0
    assert got == [[1, 2]]


def test_closing_gives_up_what_nobody_takes() -> None:
    gate = Gate()
    queue = Delivery(gate.take, 10)
    for number in range(3):
        queue.put(number)
    assert gate.came.wait(60)
    assert queue.close(0.0) == 2
    gate.open.set()
    assert queue.close(30) == 0
    assert gate.got == [(0,)]
