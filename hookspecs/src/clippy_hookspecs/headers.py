"""HTTP headers as a value."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

T = TypeVar("T")
_LATIN = "latin-1"
_LOWER = bytes(range(256)).decode(_LATIN).lower().encode(_LATIN)


@functools.lru_cache(maxsize=1024)
def _octets(name: str) -> bytes:
    """*name* in lower case as it is on the wire; one that cannot be there stays apart from all that can."""
    return name.lower().encode(_LATIN, "backslashreplace")


@functools.lru_cache(maxsize=1024)
def _name(octets: bytes) -> str:
    """A name from the wire in lower case: the same few come with every call."""
    return octets.decode(_LATIN).lower()


@functools.lru_cache(maxsize=256)
def _known(names: tuple[str, ...]) -> tuple[frozenset[str], frozenset[bytes]]:
    """*names* in lower case, as text and as on the wire: programs ask for the same few lists."""
    return frozenset(name.lower() for name in names), frozenset(map(_octets, names))


class Headers(Mapping[str, str]):
    """HTTP headers: ordered, repeatable, found without regard to case; immutable.

    ``headers["Retry-After"]`` is the first value of that name; ``pairs`` keeps all of them as they came.
    """

    __slots__ = ("_index", "_octets", "_pairs", "_raw")

    _pairs: tuple[tuple[str, str], ...] | None
    _raw: Sequence[tuple[bytes, bytes]] | None
    _index: dict[str, str] | None
    _octets: dict[bytes, bytes] | None

    def __init__(self, source: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        if isinstance(source, Headers):
            source = source.pairs
        elif not isinstance(source, tuple | list) and isinstance(source, Mapping):
            source = source.items()
        self._pairs, self._raw, self._index, self._octets = tuple(source), None, None, None

    @classmethod
    def undecoded(cls, raw: Sequence[tuple[bytes, bytes]]) -> Headers:
        """The headers of an HTTP message as its bytes (Latin-1), read when somebody looks.  *raw* must not change."""
        self = cls.__new__(cls)
        self._pairs, self._raw, self._index, self._octets = None, raw, None, None
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

    def _by_octets(self, raw: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
        """The first value of each name as bytes, by the name in lower case.

        Most headers are asked for a name or two, and to make a text of each costs three times what this does.
        """
        index = self._octets
        if index is None:
            index = {name.lower(): value for name, value in raw}
            names = b"\n".join(index)
            if len(index) != len(raw) or not names.isascii():  # a name that comes twice, or is none of HTTP's
                index = {}
                for name, value in raw:
                    index.setdefault(name.translate(_LOWER), value)
            self._octets = index
        return index

    def _by_name(self) -> dict[str, str]:
        """The first value of each name, by the name in lower case."""
        index = self._index
        if index is None:
            index = {}
            for name, value in self.pairs:
                index.setdefault(name.lower(), value)
            self._index = index
        return index

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name.lower())
        return value

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | T) -> str | T: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        """The first value of that name."""
        raw = self._raw
        if raw is None:
            return (self._index or self._by_name()).get(name.lower(), default)
        value = (self._octets or self._by_octets(raw)).get(_octets(name))
        return default if value is None else value.decode(_LATIN)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name())

    def __len__(self) -> int:
        return len(self._by_name() if self._raw is None else self._by_octets(self._raw))

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        raw = self._raw
        if raw is None:
            return name.lower() in (self._index or self._by_name())
        return _octets(name) in (self._octets or self._by_octets(raw))

    def __eq__(self, other: object) -> bool:
        return self.pairs == other.pairs if isinstance(other, Headers) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __repr__(self) -> str:
        """Names only: a header may hold a key."""
        return f"Headers({sorted(self._by_name())})"

    def __reduce__(self) -> tuple[type[Headers], tuple[tuple[tuple[str, str], ...]]]:
        return Headers, (self.pairs,)

    def without(self, *names: str) -> Headers:
        """These headers less all of those names."""
        if self._raw is not None:
            _, octets = _known(names)
            if octets.isdisjoint(self._by_octets(self._raw)):
                return self
            return Headers.undecoded([pair for pair in self._raw if pair[0].translate(_LOWER) not in octets])
        drop, _ = _known(names)
        return Headers([pair for pair in self.pairs if pair[0].lower() not in drop])

    def replace(self, name: str, value: str) -> Headers:
        """These headers with one value for *name*, at the end if it is new."""
        lower = name.lower()
        if lower not in self:
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


# ruff: noqa: SLF001 - below this line stand functions for the host, which are no part of the contract


def having(headers: Headers, names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of *names* there are: for the host, which asks for long lists of names of which none is there."""
    raw, (text, octets) = headers._raw, _known(names)
    if raw is None:
        none = text.isdisjoint(headers._index or headers._by_name())
    else:
        none = octets.isdisjoint(headers._octets or headers._by_octets(raw))
    if none:
        return ()
    return tuple([name for name in names if name in headers])


def beginning(headers: Headers, start: str) -> tuple[str, ...]:
    """The names, in lower case, that begin with *start*, which is in lower case and ASCII."""
    if headers._raw is None:
        names = headers._index or headers._by_name()
        if start not in "\n".join(names):
            return ()
        return tuple([name for name in names if name.startswith(start)])
    octets, index = start.encode(), headers._by_octets(headers._raw)
    if octets not in b"\n".join(index):
        return ()
    return tuple([name.decode(_LATIN) for name in index if name.startswith(octets)])


def picked(headers: Headers, wanted: Callable[[str], bool]) -> list[tuple[str, str]]:
    """The pairs whose names, in lower case, are *wanted*; only these are made into texts."""
    raw = headers._raw
    if raw is None:
        return [(lower, value) for name, value in headers._pairs or () if wanted(lower := name.lower())]
    return [(name, value.decode(_LATIN)) for octets, value in raw if wanted(name := _name(octets))]
