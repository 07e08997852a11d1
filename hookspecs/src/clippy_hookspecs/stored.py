"""Cache entries as bytes and back: JSON, never pickle, so a file that somebody else wrote can at worst be a miss.

A stored entry is one line of JSON and then the provider's bytes as they came: the body (itself JSON) and, for an answer
that was streamed, each event.  The line is an array: schema, api, status, headers, stored_at, expires_at, tags, origin
and the sizes of what follows.  Reading it costs the same for a body of any size, nothing is escaped or unpacked, and no
part of it can name code, a type, a file or a compression.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NoReturn

from .blocks import draft
from .errors import CorruptEntry
from .headers import Headers
from .records import CacheEntry
from .types import Response

SCHEMA = 1
MAX_BYTES = 10 * 1024 * 1024
"""Larger blobs are refused unread."""
MAX_LINE_BYTES = 1024 * 1024
"""The longest JSON line: parsed JSON takes up to thirty times the memory of its text."""

body_decoders: dict[str, Callable[[Response], Mapping[str, Any]]] = {}
"""How the body of each wire API is read, by its name; filled by the host's wire modules, all pure functions."""


def dump_entry(entry: CacheEntry) -> bytes:
    """*entry* in its stored form.

    Raises ValueError for what :func:`load_entry` would not read back: a response without its body, a status that is
    not HTTP's, a time that is not a finite number, more than a megabyte of headers and sizes.
    """
    response = entry.response
    if response.raw is None:
        raise ValueError("only an answer in its wire form can be stored; this one was changed by a plugin")
    if not 100 <= response.status <= 599:
        raise ValueError(f"only an HTTP answer can be stored; {response.status} is not an HTTP status")
    text = _written(entry, response, response.raw).encode("ascii")
    if len(text) >= MAX_LINE_BYTES:
        raise ValueError(f"its headers, tags and event sizes take {len(text)} bytes, {MAX_LINE_BYTES} are allowed")
    return b"".join((text, b"\n", response.raw, *entry.events))


def _written(entry: CacheEntry, response: Response, body: bytes) -> str:
    """The JSON line; by hand, since json makes an encoder for each text, which takes four times what this does."""
    stored_at, expires_at = entry.stored_at, entry.expires_at
    sizes = [len(body), *map(len, entry.events)] if entry.events else [len(body)]
    try:
        if type(response.status) is int and type(stored_at) is float and math.isfinite(stored_at):
            headers = ",".join([f"[{_quoted(name)},{_quoted(value)}]" for name, value in response.headers.pairs])
            tags = ",".join(map(_quoted, entry.tags)) if entry.tags else ""
            until = "null" if expires_at is None else _encoded(expires_at)
            return (
                f"[{SCHEMA},{_quoted(response.api)},{response.status},[{headers}],{stored_at!r},{until},"
                f"[{tags}],{_quoted(entry.origin)},[{','.join(map(str, sizes))}]]"
            )
    except TypeError:
        pass  # Something that is no text: it is written as JSON has it, and load_entry refuses what it must.
    line = [SCHEMA, response.api, response.status, response.headers.pairs, stored_at, expires_at]
    return _encoded([*line, entry.tags, entry.origin, sizes])


def load_entry(blob: bytes, max_bytes: int = MAX_BYTES) -> CacheEntry:
    """The entry in *blob*; its body is decoded when somebody first looks, by the wire module of its API.

    Raises :class:`~clippy_hookspecs.CorruptEntry` for anything that :func:`dump_entry` does not write: other formats,
    other schemas, missing or surplus parts, wrong types, NaN, more than *max_bytes*.  Nothing in a blob names code.
    """
    if not isinstance(blob, bytes):
        raise CorruptEntry(f"a stored entry is bytes, this is {type(blob).__name__}")
    if len(blob) > max_bytes:
        raise CorruptEntry(f"the entry has {len(blob)} bytes, {max_bytes} are allowed")
    line, feed, rest = blob.partition(b"\n")
    if not feed or len(line) >= MAX_LINE_BYTES:
        raise CorruptEntry("not a stored entry: it does not begin with a line")
    read = _line_again if len(line) <= _SHORT_LINE else _line
    api, status, headers, stored_at, expires_at, tags, origin, sizes, total = read(line)
    if total != len(rest):
        raise CorruptEntry("its sizes do not fit what follows the line")
    events: tuple[bytes, ...] = ()
    if len(sizes) > 1:
        rest, *cut = [rest[a:b] for a, b in pairwise(accumulate(sizes, initial=0))]
        events = tuple(cut)
    return undecoded_entry(rest, api, status, headers, events, stored_at, expires_at, tags, origin)


def undecoded_entry(
    body: bytes,
    api: str,
    status: int,
    headers: Headers,
    events: tuple[bytes, ...],
    stored_at: float,
    expires_at: float | None,
    tags: tuple[str, ...],
    origin: str,
) -> CacheEntry:
    """An entry whose body nobody has looked at yet.

    For caches: every caller gets one of its own, so that no two threads decode the same value, nobody sees what
    another did to it, and what is kept stays as small as its bytes.
    """
    entry = _EntryDraft()
    # The reader itself where it is known: it can tell one field without making all the others.
    decoder = body_decoders.get(api, _decode)
    entry.response = Response.undecoded(decoder, body, api=api, status=status, headers=headers)
    entry.events, entry.stored_at = events, stored_at
    entry.expires_at, entry.tags, entry.origin, entry.note = expires_at, tags, origin, ""
    entry.__class__ = CacheEntry
    return entry  # type: ignore[no-any-return]  # it is one now


def _decode(response: Response) -> Mapping[str, Any]:
    if response.api not in body_decoders:
        raise CorruptEntry(f"no wire module reads {response.api!r}: is a host imported?")
    return body_decoders[response.api](response)


_Line = tuple[str, int, Headers, float, float | None, tuple[str, ...], str, tuple[int, ...], int]


def _line(line: bytes) -> _Line:
    """What the JSON line says, all of it checked and immutable."""
    try:
        found, stop = _JSON.raw_decode(line.decode("ascii"))
    # ValueError: not ASCII, not JSON, an integer of thousands of digits; RecursionError: nested too deep.
    except (ValueError, RecursionError) as error:
        raise CorruptEntry(f"not a stored entry: {type(error).__name__}") from error
    if type(found) is not list or stop != len(line) or len(found) != 9 or type(found[0]) is not int:
        raise CorruptEntry("not a stored entry: its line is not ours")
    schema, api, status, headers, stored_at, expires_at, tags, origin, sizes = found
    if schema != SCHEMA:
        raise CorruptEntry("a stored entry of another schema")
    if type(api) is not str or type(origin) is not str:
        raise CorruptEntry("api or origin is not a string")
    if type(status) is not int or not 100 <= status <= 599:
        raise CorruptEntry("status is not an HTTP status")
    if type(sizes) is not list or not sizes or not all(type(size) is int and size >= 0 for size in sizes):
        raise CorruptEntry("the sizes are not a list of counts")
    return (
        api,
        status,
        Headers(_pairs(headers)),
        _seconds(stored_at),
        None if expires_at is None else _seconds(expires_at),
        _strings(tags),
        origin,
        tuple(sizes),
        sum(sizes),
    )


_SHORT_LINE = 4096
_line_again = lru_cache(maxsize=256)(_line)
"""The same few answers are asked for again and again; a line is a pure function of its bytes, and most of the work."""


def _pairs(found: Any) -> Sequence[tuple[str, str]]:
    if type(found) is not list:
        raise CorruptEntry("headers are not a list")
    pairs: list[tuple[str, str]] = []
    for pair in found:
        if type(pair) is not list or len(pair) != 2 or type(pair[0]) is not str or type(pair[1]) is not str:
            raise CorruptEntry("headers are not pairs of strings")
        pairs.append((pair[0], pair[1]))
    return pairs


def _strings(found: Any) -> tuple[str, ...]:
    if type(found) is not list or not all(type(item) is str for item in found):
        raise CorruptEntry("tags are not a list of strings")
    return tuple(found)


def _seconds(value: Any) -> float:
    # An integer of JSON can be larger than any float, and then isfinite itself fails.
    if type(value) is int and abs(value) < 1 << 63:
        value = float(value)
    if type(value) is not float or not math.isfinite(value):
        raise CorruptEntry("a time is not a finite number of seconds")
    return value


def _no_constant(name: str) -> NoReturn:
    raise CorruptEntry(f"{name} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_no_constant)
_quoted = json.encoder.encode_basestring_ascii
_encoded = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_EntryDraft = draft(CacheEntry)
