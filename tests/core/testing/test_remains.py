"""The walk over what a plugin holds, by which the contract suites tell whether a request left something behind."""

from __future__ import annotations

from typing import Any

from clippy_core.testing.contracts.remains import state, texts


class Pairs(dict[str, object]):
    """Pairs that are made while they are read, as every mapping's are, and on demand kept alive after that."""

    kept: list[Any] | None = None

    def items(self) -> Any:
        pairs = list(super().items())
        if self.kept is not None:
            self.kept.extend(pairs)
        return pairs


def test_every_mapping_of_several_is_looked_into() -> None:
    """The pairs of one are gone when the next is read, and may lie at the very same place."""
    several = [{"word": "one"}, {"word": "two"}, {"word": "three"}]
    assert all(repr(word) in state(several) for word in ("one", "two", "three"))
    assert [text for text in texts([several]) if text != "word"] == ["one", "two", "three"]


def test_a_state_does_not_hang_on_what_else_allocates() -> None:
    """It reads alike whether the place of a pair is free again for the next one or somebody else's by then."""
    several = [Pairs(word=word) for word in ("one", "two", "three")]
    before = state(several)
    for one in several:
        one.kept = []
    after = state(several)
    assert before == after
