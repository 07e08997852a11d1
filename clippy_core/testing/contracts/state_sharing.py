"""A StateStore that processes share: nothing is lost between them, and what a killed one held ends with its time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from attrs import define
from clippy_hookspecs import Reservation, StateStore, hookimpl

from ...driven import drive
from .base import Contract, NotApplicable, require, vital
from .bench import Bench
from .processes import in_processes, killed

PROCESSES = 8


@define(eq=False)
class Offers:
    """A plugin that offers a StateStore."""

    store: Any

    @hookimpl
    def register_services(self, services: Any) -> None:
        services.offer(StateStore, self.store)


class Driven:
    """The store of an open host; its methods are called and not awaited, as a sync program's thread does it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._store: Any = bench.host.services.get(StateStore)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Coroutine[Any, Any, Any]] = getattr(self._store, name)
        return lambda *arguments: drive(method(*arguments))


class StateSharing(Contract):
    """How the suite of state stores comes by its stores, and the part of it that is about processes."""

    shared: ClassVar[bool | None] = None

    def advance(self, seconds: float) -> None:
        """Let time pass for the store."""
        self.clock.advance(seconds)

    def apart(self) -> Any:
        """A store that shares nothing with the one of :meth:`make`; for a shared one the same with another ``path``."""
        return self.made(path=self.folder / "apart") if self._is_shared() else self.make()

    def store(self, made: Any = None) -> Any:
        """A store (by default what :meth:`make` gives) as a sync program sees it."""
        return Driven(self.opened(made=made))

    def opened(self, colour: str = "sync", made: Any = None) -> Bench:
        """A host whose services have a store."""
        made = self.make() if made is None else made
        plugin = made if hasattr(made, "register_services") else Offers(made)
        bench = self.bench(plugin, colour=colour)
        if colour == "sync":
            bench.host.open()
        return bench

    # --- eight at once ------------------------------------------------------------------------------------------------

    @vital
    def test_what_one_process_writes_the_others_see(self) -> None:
        """Values, counters, reservations and leases are there for all, with their ends, whoever settles them."""
        store = self._shared_store()
        store.put("k", "mine", 60.0)
        store.add("n", 2, 60.0)
        mine = store.reserve("b", 4.0, 10.0, 60.0)
        store.lease("l", "ada", 60.0)

        def work(other: Any, _: int) -> Any:
            require(other.get("k") == "mine", "another process does not see a value")
            require(other.swap("k", None, "wrong", 60.0) is False, "another process's swap does not see a value")
            require(other.swap("k", "mine", "yours", 60.0) is True, "another process cannot swap a value")
            require(other.add("n", 3, 60.0) == 5, "another process does not go on with a counter")
            require(other.lease("l", "bob", 60.0) is False, "another process gives away a place that is taken")
            require(other.lease("m", "bob", 60.0) is True, "another process cannot take a place")
            held = other.reserve("b", 6.0, 10.0, 60.0)
            require(held is not None, "another process does not reserve what is left")
            require(other.reserve("b", 0.5, 10.0, 60.0) is None, "another process reserves what is held")
            return [held.id, held.key, held.amount, held.expires_at]

        ((name, key, amount, ends),) = self._in_others(1, work)
        require(store.get("k") == "yours", "what another process swapped is not seen")
        require(store.add("n", 1, 60.0) == 6, "what another process added is not seen")
        require(store.lease("m", "ada", 60.0) is False, "a place that another process took is given away")
        require(store.reserve("b", 0.5, 10.0, 60.0) is None, "what another process holds is given away")
        store.settle(Reservation(name, key, amount, ends), 1.0, 90.0)
        store.refund(mine)
        require(store.reserve("b", 9.5, 10.0, 60.0) is None, "what another process reserved cannot be settled here")
        require(store.reserve("b", 9.0, 10.0, 60.0) is not None, "settling what another process reserved frees nothing")
        self.advance(60.0)
        require(store.get("k") is None, "what another process put has no end")
        require(store.add("n", 7, 60.0) == 7, "another process's addition gave a counter another end")
        require(store.lease("m", "ada", 60.0) is True, "what another process leased has no end")
        require(store.reserve("b", 9.5, 10.0, 60.0) is None, "what was settled for another process ends too early")

    @vital
    def test_eight_processes_lose_no_addition(self) -> None:
        """They add to one counter, and count by swapping; each addition has a value of its own."""
        store = self._shared_store()

        def work(other: Any, _: int) -> Any:
            given = [other.add("n", 1, 60.0) for _ in range(25)]
            for _ in range(5):
                while not other.swap("k", now := other.get("k"), str(int(now or 0) + 1), 60.0):
                    pass
            return given

        values = sorted(value for given in self._in_others(PROCESSES, work) for value in given)
        total = store.add("n", 0, 60.0)
        require(total == PROCESSES * 25, f"{PROCESSES * 25} additions of {PROCESSES} processes gave {total}")
        require(values == list(range(1, PROCESSES * 25 + 1)), "two processes got the same value of a counter")
        require(
            store.get("k") == str(PROCESSES * 5), f"{PROCESSES * 5} swaps that each count one gave {store.get('k')}"
        )

    @vital
    def test_eight_processes_never_exceed_a_limit(self) -> None:
        """They reserve, settle and refund; together they stay within the limit, and nothing leaks."""
        store, limit = self._shared_store(), 20.0

        def grab(other: Any, _: int) -> Any:
            held = [other.reserve("b", 1.0, limit, 60.0) for _ in range(10)]
            return [[one.id, one.key, one.amount, one.expires_at] for one in held if one is not None]

        held = [Reservation(*one) for some in self._in_others(PROCESSES, grab) for one in some]
        require(len(held) == limit, f"{PROCESSES} processes reserved {len(held)} of {limit:g}")
        require(len({one.id for one in held}) == len(held), "two processes got one reservation")
        for one in held:
            store.refund(one)

        def churn(other: Any, _: int) -> None:
            for number in range(25):
                one = other.reserve("b", 1.0, limit, 60.0)
                require(one is not None, "what fits was not reserved while other processes do the same")
                if number % 5 == 0:
                    other.settle(one, 0.25, 60.0)
                else:
                    other.refund(one)

        self._in_others(PROCESSES, churn)
        left = limit - PROCESSES * 5 * 0.25
        require(store.reserve("b", left + 0.25, limit, 60.0) is None, "uses that eight processes settled are lost")
        require(store.reserve("b", left, limit, 60.0) is not None, "reservations of eight processes are left over")

    @vital
    def test_eight_processes_share_one_place_and_three(self) -> None:
        """Of one place one of them has it, of three places three of them."""
        self._shared_store()
        turns = range(10)

        def work(other: Any, number: int) -> Any:
            return [[other.lease(f"l{turn} of {n}", f"holder {number}", 60.0, n) for turn in turns] for n in (1, 3)]

        took = self._in_others(PROCESSES, work)
        for which, places in enumerate((1, 3)):
            for turn in turns:
                got = sum(one[which][turn] for one in took)
                require(got == places, f"{got} of {PROCESSES} processes got one of {places} places")

    # --- fork and kill ------------------------------------------------------------------------------------------------

    @vital
    def test_a_store_in_use_may_be_forked(self) -> None:
        """Children that go on with their parent's host write beside it and each other, and so does the parent."""
        store = self._shared_store()
        held = [store.reserve("b", 1.0, 100.0, 60.0)]
        store.add("n", 1, 60.0)

        def work(_: int) -> Any:
            store.bench.host.open()
            mine = Driven(store.bench)
            taken = [mine.reserve("b", 1.0, 100.0, 60.0) for _ in range(4)]
            return [[one.id, one.key, one.amount, one.expires_at] for one in taken], mine.add("n", 1, 60.0)

        given = in_processes(PROCESSES, work)
        held += [Reservation(*one) for taken, _ in given for one in taken]
        require(len({one.id for one in held}) == len(held), "forked processes got the same reservation")
        require(sorted(n for _, n in given) == list(range(2, PROCESSES + 2)), "a forked process counts for itself")
        require(store.add("n", 1, 60.0) == PROCESSES + 2, "after a fork the parent does not see what children add")
        left = 100.0 - len(held)
        require(store.reserve("b", left + 0.5, 100.0, 60.0) is None, "what forked processes hold is given away")
        for one in held:
            store.refund(one)
        require(store.reserve("b", 100.0, 100.0, 60.0) is not None, "what forked processes held cannot be given back")

    @vital
    def test_what_a_killed_process_held_ends_with_its_time(self) -> None:
        """Its leases and reservations are free after their ttl, and not before."""
        store = self._shared_store()

        def hold(tell: Callable[[], None]) -> None:
            other = self.store()
            require(other.lease("l", "dead", 60.0), "a free place was refused")
            require(other.reserve("b", 10.0, 10.0, 60.0) is not None, "what fits was not reserved")
            tell()

        killed(hold)
        for seconds in (0.0, 59.0):
            self.advance(seconds)
            require(
                store.lease("l", "ada", 60.0) is False, "the place of a killed process is given away before its ttl"
            )
            require(store.reserve("b", 1.0, 10.0, 60.0) is None, "what a killed process held is free before its ttl")
        self.advance(1.0)
        require(store.lease("l", "ada", 60.0) is True, "the place of a killed process is taken for ever")
        require(store.reserve("b", 10.0, 10.0, 60.0) is not None, "what a killed process held is held for ever")

    @vital
    def test_a_process_killed_amid_its_writes_leaves_a_store_that_works(self) -> None:
        """What it was told is written is there, nothing is half there, and nobody has to wait for it."""
        store, limit = self._shared_store(), 1000.0
        for turn in range(10):
            before = store.add("n", 0, 6000.0)

            def write(tell: Callable[[], None]) -> None:
                other = self.store()
                for number in itertools.count():
                    other.put("k", f"{number} " + "x" * 5000, 6000.0)
                    one = other.reserve("b", 1.0, limit, 60.0)
                    other.settle(one, 0.25, 6000.0) if number % 2 else other.refund(one)
                    other.add("n", 1, 6000.0)
                    tell()

            told = killed(write, 5, later=turn / 8)
            number, _, rest = (store.get("k") or "").partition(" ")
            whole = number.isdigit() and rest == "x" * 5000
            require(
                whole and told - 1 <= int(number) <= told + 1, f"a value that a killed process put is {number!r}..."
            )
            counted = store.add("n", 0, 6000.0) - before
            require(
                counted in (told, told + 1), f"a killed process was told of {told} additions, and {counted} are there"
            )
            self.advance(60.0)
            require(store.reserve("b", limit, limit, 60.0) is None, "what a killed process settled is lost")
            fits = store.reserve("b", limit / 2, limit, 60.0)
            require(fits is not None, "what a killed process held is held for ever")
            store.refund(fits)

    # --- how the checks are made --------------------------------------------------------------------------------------

    def _in_others(self, count: int, work: Callable[[Any, int], Any]) -> list[Any]:
        """What *work* gives in *count* processes, each with the store as it opens it itself."""

        def run(number: int) -> Any:
            store = self.store()
            result = work(store, number)
            store.bench.close()
            return result

        return in_processes(count, run)

    def _shared_store(self) -> Any:
        if not self._is_shared():
            raise NotApplicable("it is not shared between processes")
        return self.store()

    def _is_shared(self) -> bool:
        if self.shared is not None:
            return self.shared
        one, two = self.store(), self.store()
        one.put("is it shared?", "it is", 60.0)
        return bool(two.get("is it shared?") == "it is")
