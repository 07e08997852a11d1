"""HTTP headers as a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

T = TypeVar("T")
_LATIN = "latin-1"


class Headers(Mapping[str, str]):
    """HTTP headers: ordered, repeatable, found without regard to case; immutable.

    ``headers["Retry-After"]`` is the first value of that name; ``pairs`` keeps all of them as they came.
    """

    __slots__ = ("_index", "_pairs", "_raw")

    _pairs: tuple[tuple[str, str], ...] | None
    _raw: Sequence[tuple[bytes, bytes]] | None
    _index: dict[str, str] | None

    def __init__(self, source: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        if isinstance(source, Headers):
            source = source.pairs
        elif not isinstance(source, tuple | list) and isinstance(source, Mapping):
            source = source.items()
        self._pairs, self._raw, self._index = tuple(source), None, None

    @classmethod
    def undecoded(cls, raw: Sequence[tuple[bytes, bytes]]) -> Headers:
        """The headers of an HTTP message as its bytes (Latin-1), read when somebody looks.  *raw* must not change."""
        self = cls.__new__(cls)
        self._pairs, self._raw, self._index = None, raw, None
        return self

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every name and value, in the order and spelling they came in."""
        pairs = self._pairs
        if pairs is None:
            pairs = self._pairs = tuple([(n.decode(_LATIN), v.decode(_LATIN)) for n, v in self._raw or ()])
        return pairs

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """The pairs as bytes in Latin-1.  Raises UnicodeEncodeError for what HTTP cannot carry."""
        if self._raw is not None:
            return list(self._raw)
        return [(name.encode(_LATIN), value.encode(_LATIN)) for name, value in self.pairs]

    def _found(self) -> dict[str, str]:
        """The first value of each name, by the name in lower case."""
        index = self._index
        if index is None:
            index = {}
            raw = self._raw
            if raw is None:
                for name, value in self._pairs or ():
                    index.setdefault(name.lower(), value)
            else:
                for octets, content in raw:
                    name = octets.decode(_LATIN).lower()
                    if name not in index:
                        index[name] = content.decode(_LATIN)
            self._index = index
        return index

    def __getitem__(self, name: str) -> str:
        return self._found()[name.lower()]

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | T) -> str | T: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        """The first value of that name."""
        return self._found().get(name.lower(), default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._found()

    def __eq__(self, other: object) -> bool:
        return self.pairs == other.pairs if isinstance(other, Headers) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __repr__(self) -> str:
        """Names only: a header may hold a key."""
        return f"Headers({sorted(self._found())})"

    def __reduce__(self) -> tuple[type[Headers], tuple[tuple[tuple[str, str], ...]]]:
        return Headers, (self.pairs,)

    def without(self, *names: str) -> Headers:
        """These headers less all of those names."""
        if self._raw is not None:
            dropped = {name.lower().encode(_LATIN) for name in names}
            return Headers.undecoded([pair for pair in self._raw if pair[0].lower() not in dropped])
        drop = {name.lower() for name in names}
        return Headers([pair for pair in self.pairs if pair[0].lower() not in drop])

    def replace(self, name: str, value: str) -> Headers:
        """These headers with one value for *name*, at the end if it is new."""
        lower = name.lower()
        if lower not in self._found():
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
