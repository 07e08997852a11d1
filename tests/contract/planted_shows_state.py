"""What the broken state stores do to those who share them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from calling import Caller
from clippy_hookspecs import StateStore
from planted_shows import Make, a_caller, at_once, shows

from clippy_core.driven import drive

SUITE = "StateStoreContract"


class Shared:
    """The store as plugins of a host see it, called from a thread."""

    def __init__(self, make: Make) -> None:
        self.caller: Caller = a_caller().start({"store": make()})
        self.caller.host.open()
        self._store = self.caller.host.services.get(StateStore)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: drive(getattr(self._store, name)(*arguments))

    def later(self, seconds: float) -> Shared:
        self.caller.clock.advance(seconds)
        return self


def many(work: Callable[[], Any], times: int) -> list[Any]:
    return [work() for _ in range(times)]


@shows(SUITE, "looks for room and takes it later", sound=True, broken=False)
def a_limit_holds_for_eight_threads(make):
    store = Shared(make)
    got = at_once([partial(many, partial(store.reserve, "limit", 1, 10, 60), 4) for _ in range(8)])
    return sum(one is not None for each in got for one in each) == 10


@shows(SUITE, "counts by reading and writing", sound=True, broken=False)
def a_counter_counts_all_of_eight_threads(make):
    store = Shared(make)
    at_once([partial(many, partial(store.add, "n", 1.0, 60), 4) for _ in range(8)])
    return store.add("n", 0.0, 60) == 32


@shows(SUITE, "swaps by comparing and putting", sound=True, broken=False)
def one_of_eight_threads_wins_a_swap(make):
    store = Shared(make)
    return at_once([partial(store.swap, "leader", None, f"{number}", 60) for number in range(8)]).count(True) == 1


@shows(SUITE, "swaps over a value where none was expected", sound=(False, "mine"), broken=(True, "yours"))
def a_swap_that_expects_no_value(make):
    store = Shared(make)
    store.put("key", "mine", 60)
    return store.swap("key", None, "yours", 60), store.get("key")


@shows(SUITE, "refunds twice", sound=False, broken=True)
def there_is_more_after_a_second_refund(make):
    store = Shared(make)
    store.reserve("limit", 8, 10, 60)
    held = store.reserve("limit", 2, 10, 60)
    store.refund(held)
    store.refund(held)
    return store.reserve("limit", 4, 10, 60) is not None


@shows(SUITE, "settles twice", sound=True, broken=False)
def there_is_as_much_after_a_second_settlement(make):
    store = Shared(make)
    held = store.reserve("limit", 4, 10, 60)
    store.settle(held, 4, 60)
    store.settle(held, 4, 60)
    return store.reserve("limit", 6, 10, 60) is not None


@shows(SUITE, "settles no more than was reserved", sound=False, broken=True)
def there_is_room_although_more_was_used(make):
    store = Shared(make)
    store.settle(store.reserve("limit", 2, 10, 60), 10, 60)
    return store.reserve("limit", 5, 10, 60) is not None


@shows(SUITE, "never lets a value expire", sound=None, broken="value")
@shows(SUITE, "goes by the machine's clock", sound=None, broken="value")
def a_value_after_its_time(make):
    store = Shared(make)
    store.put("key", "value", 60)
    return store.later(61).get("key")


@shows(SUITE, "never lets a reservation expire", sound=True, broken=False)
def what_a_dead_worker_held_is_free_again(make):
    store = Shared(make)
    store.reserve("limit", 10, 10, 60)
    return store.later(61).reserve("limit", 10, 10, 60) is not None


@shows(SUITE, "prolongs a counter with every addition", sound=1.0, broken=3.0)
def a_counter_in_a_busy_minute(make):
    store = Shared(make)
    store.add("n", 1.0, 60)
    store.later(40).add("n", 1.0, 60)
    return store.later(40).add("n", 1.0, 60)


@shows(SUITE, "never lets a lease expire", sound=True, broken=False)
def the_place_of_a_dead_holder_is_free_again(make):
    store = Shared(make)
    store.lease("place", "one", 60)
    return store.later(61).lease("place", "two", 60)


@shows(SUITE, "gives one place to two holders", sound=[True, False], broken=[True, True])
def two_for_one_place(make):
    store = Shared(make)
    return [store.lease("place", holder, 60) for holder in ("one", "two")]


@shows(SUITE, "refuses to renew a lease", sound=[True, True], broken=[True, False])
def one_twice_for_its_place(make):
    store = Shared(make)
    return [store.lease("place", "one", 60) for _ in range(2)]


@shows(SUITE, "releases the lease of another", sound=False, broken=True)
def a_place_that_a_stranger_released(make):
    store = Shared(make)
    store.lease("place", "one", 60)
    store.release("place", "stranger")
    return store.lease("place", "two", 60)
