"""A provider that repeats what it was sent must not hand the caller the provider's key."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from operator import itemgetter

from attrs import define, field

Pair = tuple[bytes, bytes]

_SHORTEST = 8
"""Characters below which a text is no key: it would be found everywhere."""
_MASK = b"***"
_values = itemgetter(1)
_LARGEST = 1024 * 1024
"""Bytes of an unpacked error; no provider has more to say of one."""


def key_in(value: str) -> bytes | None:
    """The key in the value of a header that has one for it, None for a text that is too short for that."""
    bare = value.rpartition(" ")[2]
    return bare.encode("latin-1", "replace") if len(bare) >= _SHORTEST else None


def without_keys(fields: Sequence[Pair], keys: Sequence[bytes]) -> Sequence[Pair]:
    """*fields* without those that have one of *keys* in their value, a ``location`` with the key in it among them."""
    together = b"\n".join(map(_values, fields))
    for key in keys:
        if together.find(key) >= 0:  # as in all that each request passes: to ask by "in" raises and catches an error
            return [pair for pair in fields if not any(key in pair[1] for key in keys)]
    return fields


def packed(fields: Sequence[Pair]) -> str:
    """The coding in which a body comes, "" for one that comes as it is."""
    codings = [value.strip().lower().decode("latin-1") for name, value in fields if name.lower() == b"content-encoding"]
    return ",".join(coding for coding in codings if coding not in ("", "identity"))


def can_unpack(coding: str) -> bool:
    """Whether :class:`Hiding` can look into *coding*; requests ask for no other one."""
    return coding in ("gzip", "x-gzip", "deflate")


def asked_for(accepted: str) -> str:
    """An ``accept-encoding`` with those codings left out that nobody here could look into."""
    kept = [one.strip() for one in accepted.split(",") if _plain(one.partition(";")[0].strip().lower())]
    return ", ".join(kept) or "identity"


def _plain(coding: str) -> bool:
    return coding == "identity" or can_unpack(coding)


@define(eq=False)
class Hiding:
    """A body that comes in pieces, with a mask for each of *keys*, also for one that is cut in two.

    *unpack*: the body is packed and shall be given plain.
    """

    keys: Sequence[bytes]
    unpack: bool = False
    _held: bytes = field(default=b"", init=False)
    _packed: object = field(default=None, init=False)
    _size: int = field(default=0, init=False)
    _letters: frozenset[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._letters = frozenset(b"".join(self.keys))
        if self.unpack:
            self._packed = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip and zlib's own, whichever it is

    def feed(self, piece: bytes) -> bytes:
        """What can be shown of *piece* and what was held before it.  Raises zlib.error, and ValueError for a bomb."""
        data = self._held + (self._unpacked(piece) if self.unpack else piece)
        for key in self.keys:
            if key in data:
                data = data.replace(key, _MASK)
        held = self._begun(data) if data and data[-1] in self._letters else 0
        self._held = data[len(data) - held :]
        return data[: len(data) - held]

    def finish(self) -> bytes:
        """What is left at the end."""
        left, self._held = self._held, b""
        return left

    def _begun(self, data: bytes) -> int:
        """How many bytes at the end of *data* begin a key."""
        longest = 0
        for key in self.keys:
            tail = data[-(len(key) - 1) :]
            at = tail.find(key[:1])
            while at >= 0 and not key.startswith(tail[at:]):
                at = tail.find(key[:1], at + 1)
            longest = max(longest, len(tail) - at if at >= 0 else 0)
        return longest

    def _unpacked(self, piece: bytes) -> bytes:
        data: bytes = self._packed.decompress(piece, _LARGEST)  # type: ignore[attr-defined]
        self._size += len(data)
        if self._size >= _LARGEST:
            raise ValueError(f"an error of more than {_LARGEST} bytes is not unpacked")
        return data
