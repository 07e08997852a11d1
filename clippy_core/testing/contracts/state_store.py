"""What every StateStore must do: values, counters, reservations and leases, each atomic and each with an end."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
from clippy_hookspecs import Reservation, StateStore

from ...driven import drive
from .base import PATIENCE, in_threads, require, vital
from .bench import Bench, colours
from .state_sharing import StateSharing

THREADS = 8


class StateStoreContract(StateSharing):
    """Values, counters, reservations and leases of a StateStore, their ends, and eight threads at once.

    ``make`` gives a store on ``self.clock``, or a plugin that offers one, empty when the check begins.  If processes
    share it, ``make`` opens the same state each time, as another process would; then there are also eight processes at
    once, and some are killed.  ``shared`` says whether they do; None (the default): if a second store sees what was put
    in the first.  A store with a time of its own overrides :meth:`advance`.  The store is asked as plugins ask it,
    through the services of a host.
    """

    about = "limits, counters and leases stay exact when many use them at once"

    # --- values -------------------------------------------------------------------------------------------------------

    def test_a_value_is_kept_until_its_end(self) -> None:
        """A value comes back as it was put, until ttl seconds later and not at that second."""
        store = self.store()
        require(store.get("k") is None, "a key that was never put has a value")
        texts = ["1", "", "null", '{"a": [1, "ü 😀"]}', "x" * 100_000, "line\nline"]
        for number, text in enumerate(texts):
            store.put(f"k{number}", text, 60.0)
        for number, text in enumerate(texts):
            require(store.get(f"k{number}") == text, f"{text[:40]!r} did not come back as it was put")
        require(store.get("k") is None and store.get("K0") is None, "a key that was never put has a value")
        self.advance(59.0)
        require(store.get("k0") == "1", "a value is gone before its ttl")
        self.advance(1.0)
        require(store.get("k0") is None, "a value is there after its ttl")

    def test_putting_again_replaces_value_and_end(self) -> None:
        """The newest put counts, with its own ttl, be it longer or shorter."""
        store = self.store()
        store.put("k", "old", 10.0)
        store.put("k", "new", 60.0)
        self.advance(30.0)
        require(store.get("k") == "new", "a value put again kept its old end")
        store.put("k", "short", 5.0)
        self.advance(5.0)
        require(store.get("k") is None, "a value put again with a shorter ttl kept its longer end")

    @vital
    def test_swap_changes_only_what_it_expects(self) -> None:
        """It says whether it did; None expects that there is nothing, which is also true after the end."""
        store = self.store()
        require(store.swap("k", "1", "2", 60.0) is False, "swap changed a value that is not there")
        require(store.get("k") is None, "a swap that failed left a value")
        require(store.swap("k", None, "1", 60.0) is True, "swap from None fails where nothing is")
        require(store.swap("k", None, "2", 60.0) is False, "swap from None succeeds where something is")
        require(store.swap("k", "2", "3", 60.0) is False, "swap from another value succeeds")
        require(store.get("k") == "1", "a swap that failed changed the value")
        require(store.swap("k", "1", "2", 10.0) is True, "swap from the right value fails")
        require(store.get("k") == "2", "a swap that succeeded did not change the value")
        self.advance(10.0)
        require(store.swap("k", "2", "3", 60.0) is False, "swap took a value that has ended for a live one")
        require(store.swap("k", None, "4", 60.0) is True, "swap from None fails where a value has ended")

    # --- counters -----------------------------------------------------------------------------------------------------

    def test_a_counter_ends_after_its_first_addition(self) -> None:
        """It starts at 0, gives its new value, and later additions do not make it live longer."""
        store = self.store()
        require(store.add("n", 2, 60.0) == 2, "a counter does not start at 0")
        require(math.isclose(store.add("n", 0.5, 60.0), 2.5), "a counter does not add fractions")
        require(math.isclose(store.add("n", -1, 60.0), 1.5), "a counter does not subtract")
        require(store.add("other", 1, 60.0) == 1, "two counters share their value")
        self.advance(59.0)
        require(math.isclose(store.add("n", 1, 60.0), 2.5), "a counter ended before its ttl")
        self.advance(1.0)
        require(store.add("n", 7, 60.0) == 7, "a later addition made a counter live longer, or it never ends")

    @vital
    def test_no_addition_is_lost(self) -> None:
        """Eight threads add to one counter, and every one of them gets a value of its own."""
        store = self.store()
        given = in_threads(THREADS, lambda thread: [store.add("n", 1, 60.0) for _ in range(50)])
        values = sorted(value for values in given for value in values)
        require(store.add("n", 0, 60.0) == THREADS * 50, f"{THREADS * 50} additions gave {store.add('n', 0, 60.0)}")
        require(values == list(range(1, THREADS * 50 + 1)), "two threads got the same value of a counter")

    # --- reservations -------------------------------------------------------------------------------------------------

    @vital
    def test_reservations_stay_within_the_limit(self) -> None:
        """What is used and held together is never more than the limit; what fits exactly fits."""
        store = self.store()
        one = store.reserve("b", 6.0, 10.0, 60.0)
        require(isinstance(one, Reservation), "what fits was not reserved")
        require((one.key, one.amount) == ("b", 6.0), f"the reservation says {one.key} and {one.amount}")
        require(store.reserve("b", 5.0, 10.0, 60.0) is None, "11 of 10 were reserved")
        two = store.reserve("b", 4.0, 10.0, 60.0)
        require(two is not None, "10 of 10 were not reserved")
        require(one.id != two.id, "two reservations have one id")
        require(store.reserve("b", 0.5, 10.0, 60.0) is None, "more than the limit was reserved")
        require(store.reserve("c", 10.0, 10.0, 60.0) is not None, "two keys share one limit")
        require(store.reserve("d", 11.0, 10.0, 60.0) is None, "more than the limit was reserved at once")
        require(store.reserve("b", 0.5, 11.0, 60.0) is not None, "a larger limit does not allow more")

    @vital
    def test_settling_counts_what_was_used(self) -> None:
        """Less than reserved frees the rest, more than reserved counts, until its ttl; twice is once."""
        store = self.store()
        one = store.reserve("b", 8.0, 10.0, 60.0)
        store.settle(one, 3.0, 60.0)
        store.settle(one, 3.0, 60.0)
        require(store.reserve("b", 7.5, 10.0, 60.0) is None, "what was settled does not count, or settling frees it")
        two = store.reserve("b", 7.0, 10.0, 60.0)
        require(two is not None, "what was reserved and not used still counts, or settling twice counts twice")
        store.settle(two, 9.0, 30.0)
        require(store.reserve("b", 0.5, 10.0, 60.0) is None, "use beyond what was reserved does not count")
        require(store.reserve("b", 0.5, 12.0, 60.0) is None, "use beyond what was reserved counts only as reserved")
        self.advance(30.0)
        require(store.reserve("b", 7.0, 10.0, 5.0) is not None, "what was settled for 30 seconds counts after them")
        require(store.reserve("b", 0.5, 10.0, 60.0) is None, "what was settled for 60 seconds is gone after 30")
        self.advance(30.0)
        require(store.reserve("b", 10.0, 10.0, 60.0) is not None, "what was settled counts for ever")

    @vital
    def test_a_refund_frees_what_was_held(self) -> None:
        """Once, however often it is given back; and nothing that was settled."""
        store = self.store()
        one, two = store.reserve("b", 5.0, 10.0, 60.0), store.reserve("b", 5.0, 10.0, 60.0)
        store.refund(one)
        store.refund(one)
        require(store.reserve("b", 5.5, 10.0, 60.0) is None, "a refund given twice freed twice")
        three = store.reserve("b", 5.0, 10.0, 60.0)
        require(three is not None, "what was refunded is still held")
        store.settle(two, 5.0, 60.0)
        store.refund(two)
        require(store.reserve("b", 0.5, 10.0, 60.0) is None, "a refund freed what was settled")
        store.refund(three)
        store.settle(three, 5.0, 60.0)
        require(store.reserve("b", 5.0, 10.0, 60.0) is not None, "what was refunded was settled afterwards")

    def test_a_reservation_that_nobody_settles_ends(self) -> None:
        """After its ttl it is free again, and says when that is in unix seconds."""
        store = self.store()
        one = store.reserve("b", 10.0, 10.0, 60.0)
        ends = self.clock.time() + 60.0
        require(math.isclose(one.expires_at, ends, abs_tol=1.0), f"expires_at is {one.expires_at}, not {ends}")
        self.advance(59.0)
        require(store.reserve("b", 1.0, 10.0, 60.0) is None, "a reservation is free before its ttl")
        self.advance(1.0)
        require(store.reserve("b", 10.0, 10.0, 60.0) is not None, "a reservation is held after its ttl")

    @vital
    def test_eight_threads_never_exceed_a_limit(self) -> None:
        """They reserve, settle and refund; what they hold together stays within the limit, and nothing leaks."""
        store, limit = self.store(), 20.0

        def grab(thread: int) -> list[Any]:
            return [held for _ in range(10) if (held := store.reserve("b", 1.0, limit, 60.0)) is not None]

        held = [one for some in in_threads(THREADS, grab) for one in some]
        require(len(held) == limit, f"{THREADS} threads reserved {len(held)} of {limit:g}")
        require(len({one.id for one in held}) == len(held), "two threads got one reservation")
        in_threads(THREADS, lambda thread: [store.refund(one) for one in held])

        def churn(thread: int) -> None:
            for number in range(25):
                one = store.reserve("b", 1.0, limit, 60.0)
                if one is not None and number % 5 == 0:
                    store.settle(one, 0.25, 60.0)
                elif one is not None:
                    store.refund(one)

        in_threads(THREADS, churn)
        used = THREADS * 5 * 0.25
        require(
            store.reserve("b", limit - used + 0.25, limit, 60.0) is None, "uses that eight threads settled are lost"
        )
        require(
            store.reserve("b", limit - used, limit, 60.0) is not None, "reservations of eight threads are left over"
        )

    # --- leases -------------------------------------------------------------------------------------------------------

    @vital
    def test_a_lease_has_one_holder(self) -> None:
        """Others are refused until it is given back or its ttl is over; its holder may renew it."""
        store = self.store()
        require(store.lease("l", "ada", 60.0) is True, "a free place was refused")
        require(store.lease("l", "bob", 60.0) is False, "one place has two holders")
        require(store.lease("m", "bob", 60.0) is True, "two leases share one place")
        self.advance(30.0)
        require(store.lease("l", "ada", 60.0) is True, "the holder could not renew its place")
        self.advance(59.0)
        require(store.lease("l", "bob", 60.0) is False, "a place that was renewed ended too early")
        self.advance(1.0)
        require(store.lease("l", "bob", 60.0) is True, "a place whose ttl is over is still taken")
        store.release("l", "ada")
        require(store.lease("l", "cyd", 60.0) is False, "a stranger released a place")
        store.release("l", "bob")
        store.release("l", "bob")
        store.release("never", "bob")
        require(store.lease("l", "cyd", 60.0) is True, "a place that was given back is still taken")

    def test_a_lease_may_have_several_places(self) -> None:
        """Each holder takes one, renewing takes no other, and giving one back frees one."""
        store = self.store()
        took = [store.lease("l", holder, 60.0, 3) for holder in ("ada", "bob", "ada", "cyd", "dan")]
        require(took == [True, True, True, True, False], f"of 3 places ada, bob, ada again, cyd and dan got {took}")
        store.release("l", "bob")
        require(store.lease("l", "dan", 60.0, 3) is True, "a place that was given back is still taken")
        require(store.lease("l", "eve", 60.0, 3) is False, "giving one place back freed two")
        require(store.lease("l", "ada", 60.0, 1) is True, "a holder lost its place because there are fewer now")

    @vital
    def test_eight_threads_share_three_places(self) -> None:
        """Never more than three of them have one."""
        store = self.store()
        for turn in range(5):
            took = in_threads(THREADS, partial(_take, store, turn))
            require(sum(took) == 3, f"{sum(took)} of {THREADS} threads got one of 3 places")

    @vital
    def test_eight_threads_swap_one_value(self) -> None:
        """Of all who expect the same value one succeeds."""
        store = self.store()
        for turn in range(10):
            before = None if turn == 0 else store.get("k")
            won = in_threads(THREADS, partial(_swap, store, before, turn))
            require(sum(won) == 1, f"{sum(won)} of {THREADS} threads swapped one value")
            require(store.get("k") == f"{turn} {won.index(True)}", "the value is not that of the thread that won")

    # --- the rest -----------------------------------------------------------------------------------------------------

    def test_everything_must_end(self) -> None:
        """A ttl that is not above zero is refused with ValueError by every method that writes."""
        store = self.store()
        held = store.reserve("b", 1.0, 10.0, 60.0)
        for ttl in (0.0, -1.0, math.nan):
            writes: dict[str, Callable[[float], Any]] = {
                "put": lambda ttl: store.put("k", "v", ttl),
                "swap": lambda ttl: store.swap("k", None, "v", ttl),
                "add": lambda ttl: store.add("n", 1, ttl),
                "reserve": lambda ttl: store.reserve("b", 1.0, 10.0, ttl),
                "settle": lambda ttl: store.settle(held, 1.0, ttl),
                "lease": lambda ttl: store.lease("l", "ada", ttl),
            }
            for name, write in writes.items():
                try:
                    write(ttl)
                except ValueError:
                    continue
                raise AssertionError(f"{name} accepts a ttl of {ttl}")
        require(store.get("k") is None, "a value that was refused for its ttl is there")

    def test_two_stores_are_two(self) -> None:
        """Nothing of one is seen in another that is to be apart from it."""
        one, two = self.store(), self.store(self.apart())
        one.put("k", "v", 60.0)
        one.add("n", 5, 60.0)
        one.reserve("b", 10.0, 10.0, 60.0)
        one.lease("l", "ada", 60.0)
        require(two.get("k") is None, "a new store has a value that was put in another")
        require(two.add("n", 1, 60.0) == 1, "a new store has a counter of another")
        require(two.reserve("b", 10.0, 10.0, 60.0) is not None, "a new store holds a reservation of another")
        require(two.lease("l", "bob", 60.0), "a new store has a lease of another")

    def test_it_works_in_every_colour(self) -> None:
        """Asked from sync, asyncio and trio programs it gives the same."""
        for colour in colours():
            bench = self.opened(colour)
            if colour == "sync":
                said = drive(_story(bench.host.services.get(StateStore), colour))
            else:
                said = bench.run(_in_host, bench, colour)
            require(said == [None, "v", True, 1, 3, True, None, True, False], f"{colour}: it said {said}")

    def test_a_thousand_keys_do_not_mix(self) -> None:
        """Also with many keys every one has its own value and counter, while others end."""
        store = self.store()
        for number in range(1000):
            store.put(f"k{number}", str(number), 10.0 if number % 2 else 60.0)
            store.add(f"k{number}", number, 10.0 if number % 2 else 60.0)
        self.advance(10.0)
        for number in range(1000):
            require(store.get(f"k{number}") == (None if number % 2 else str(number)), f"k{number} has a wrong value")
            counted = store.add(f"k{number}", 1, 60.0)
            require(counted == (1 if number % 2 else number + 1), f"counter k{number} is {counted}")


def _take(store: Any, turn: int, thread: int) -> Any:
    return store.lease(f"l{turn}", f"holder {thread}", 60.0, 3)


def _swap(store: Any, before: str | None, turn: int, thread: int) -> Any:
    return store.swap("k", before, f"{turn} {thread}", 60.0)


async def _story(store: Any, colour: str) -> list[Any]:
    key, counter, limit, place = (f"{what} of {colour}" for what in "knbl")
    held = await store.reserve(limit, 10.0, 10.0, 60.0)
    said = [await store.get(key)]
    await store.put(key, "v", 60.0)
    said += [await store.get(key), await store.swap(key, "v", "w", 60.0)]
    said += [await store.add(counter, 1, 60.0), await store.add(counter, 2, 60.0)]
    said += [held is not None, await store.reserve(limit, 1.0, 10.0, 60.0)]
    await store.refund(held)
    said += [await store.lease(place, "ada", 60.0), await store.lease(place, "bob", 60.0)]
    return said


async def _in_host(bench: Bench, colour: str) -> list[Any]:
    async with bench.host:
        services = bench.host._serving.current.views[False]  # noqa: SLF001 (what ctx.services is in an async program)
        with anyio.fail_after(PATIENCE):
            return await _story(services.get(StateStore), colour)
