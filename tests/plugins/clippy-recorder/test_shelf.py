"""Which tapes are kept, whatever begins and ends in whatever order."""

from __future__ import annotations

from clippy_recorder.shelf import Shelf
from clippy_recorder.tape import Tape
from hypothesis import given
from hypothesis import strategies as st

STEPS = st.lists(st.tuples(st.sampled_from(["begin", "end"]), st.integers(0, 30), st.integers(0, 500)), max_size=120)


@given(STEPS, st.integers(1, 5), st.integers(0, 1000))
def test_what_is_over_makes_room_and_what_is_counted_is_what_is_there(
    steps: list[tuple[str, int, int]], keep: int, room: int
) -> None:
    shelf = Shelf(keep, room)
    running: list[Tape] = []
    for count, (what, which, size) in enumerate(steps):
        if what == "begin" or not running:
            tape = Tape(str(count), None, 0, 0.0, 1 << 20, None)
            running.append(tape)
            shelf.add(tape)
        else:
            tape = running.pop(which % len(running))
            tape.size = size
            shelf.over(tape)
        kept = shelf.tapes()
        over = [one for one in kept if one.weight is not None]
        assert shelf.size == sum(one.size for one in over)
        assert len(kept) <= 2 * keep
        if tape.weight is not None:  # something ended just now
            assert shelf.size <= room or not over
            assert len(kept) <= keep or not over
        # Those that run are let go of last: only when there are twice as many as there is room for.
        assert set(running) <= set(kept) or len(kept) >= keep


def test_a_call_that_was_let_go_of_while_it_ran_counts_nothing_when_it_ends() -> None:
    shelf = Shelf(1, 1000)
    tapes = [Tape(str(number), None, 0, 0.0, 1 << 20, None) for number in range(3)]
    for tape in tapes:
        shelf.add(tape)
    tapes[0].size = 100
    shelf.over(tapes[0])
    assert shelf.size == 0
    assert shelf.find("0") is None
