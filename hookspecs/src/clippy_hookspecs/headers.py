"""HTTP headers as a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class Headers(Mapping[str, str]):
    """HTTP headers: ordered, repeatable, found without regard to case; immutable.

    ``headers["Retry-After"]`` is the first value of that name; ``pairs`` keeps all of them as they came.
    """

    __slots__ = ("_index", "pairs")

    pairs: tuple[tuple[str, str], ...]

    def __init__(self, source: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        if isinstance(source, Headers):
            source = source.pairs
        elif not isinstance(source, tuple | list) and isinstance(source, Mapping):
            source = source.items()
        self.pairs = tuple(source)
        index: dict[str, str] = {}
        for name, value in self.pairs:
            index.setdefault(name.lower(), value)
        self._index = index

    def __getitem__(self, name: str) -> str:
        return self._index[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._index

    def __eq__(self, other: object) -> bool:
        return self.pairs == other.pairs if isinstance(other, Headers) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __repr__(self) -> str:
        """Names only: a header may hold a key."""
        return f"Headers({sorted(self._index)})"

    def __reduce__(self) -> tuple[type[Headers], tuple[tuple[tuple[str, str], ...]]]:
        return Headers, (self.pairs,)

    def without(self, *names: str) -> Headers:
        """These headers less all of those names."""
        drop = {name.lower() for name in names}
        return Headers(pair for pair in self.pairs if pair[0].lower() not in drop)

    def replace(self, name: str, value: str) -> Headers:
        """These headers with one value for *name*, at the end if it is new."""
        lower = name.lower()
        if lower not in self._index:
            return Headers((*self.pairs, (name, value)))
        kept: list[tuple[str, str]] = []
        done = False
        for pair in self.pairs:
            if pair[0].lower() != lower:
                kept.append(pair)
            elif not done:
                kept.append((pair[0], value))
                done = True
        return Headers(kept)
