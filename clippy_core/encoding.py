"""Content-encoding: what we can undo, piece by piece."""

from __future__ import annotations

import functools
import zlib
from typing import Protocol

from clippy_hookspecs import Headers, Request, evolve

_GZIP = b"\x1f\x8b"
KNOWN = ("gzip", "deflate", "identity")


MOST_INFLATED = 16 * 1024 * 1024
MOST_FOLD = 100
"""One piece may become so many bytes, or so many times its size if that is more; text never does."""


class Bomb(Exception):
    """A compressed body that becomes larger than any answer: inflating it would only take memory."""

    def __str__(self) -> str:
        return f"{self.args[0]} compressed bytes of the answer became more than {self.args[1]}"


class Decoding(Protocol):
    """Undoes one content-encoding."""

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Identity:
    """No encoding."""

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


_IDENTITY = Identity()


class Inflate:
    """gzip and deflate (RFC 9110 8.4.1); deflate is tried with and without its zlib header, as browsers do."""

    def __init__(self, coding: str) -> None:
        self._bits = 47 if coding == "gzip" else zlib.MAX_WBITS
        self._raw_allowed = coding == "deflate"
        self._inflater = zlib.decompressobj(self._bits)

    def feed(self, data: bytes) -> bytes:
        """Raises zlib.error, and :class:`Bomb`."""
        first, self._raw_allowed = self._raw_allowed, False
        most = max(MOST_INFLATED, MOST_FOLD * len(data))
        try:
            out = self._some(data, most)
        except zlib.error:
            if not first:
                raise
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._some(data, most)
        # gzip allows several members one after the other; what comes after the last and is none is ignored, as by gzip.
        while self._inflater.eof and self._bits == 47 and self._inflater.unused_data.startswith(_GZIP):
            rest = self._inflater.unused_data
            self._inflater = zlib.decompressobj(self._bits)
            out += self._some(rest, max(1, most - len(out)))
        return out

    def _some(self, data: bytes, most: int) -> bytes:
        out = self._inflater.decompress(data, most)
        if self._inflater.unconsumed_tail:
            raise Bomb(len(data), most)
        return out

    def finish(self) -> bytes:
        return self._inflater.flush()


def decoding_for(headers: Headers) -> Decoding | None:
    """What undoes the encoding of a body with these headers; None if we cannot, so that it must pass untouched."""
    coding = headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity"):
        return _IDENTITY
    if coding in ("gzip", "x-gzip"):
        return Inflate("gzip")
    if coding == "deflate":
        return Inflate("deflate")
    return None


def decoded_headers(headers: Headers) -> Headers:
    """The headers of a body whose encoding was undone."""
    return headers.without("content-encoding", "content-length", "transfer-encoding")


def only_readable(request: Request) -> Request:
    """*request*, asking for no encoding that we could not undo."""
    wanted = request.headers.get("accept-encoding")
    if wanted is None or (readable := _readable(wanted)) == wanted:
        return request
    return evolve(request, headers=request.headers.replace("accept-encoding", readable))


@functools.lru_cache(maxsize=64)
def _readable(wanted: str) -> str:
    kept = [part.strip() for part in wanted.split(",") if part.split(";")[0].strip().lower() in KNOWN]
    return ", ".join(kept) or "identity"
