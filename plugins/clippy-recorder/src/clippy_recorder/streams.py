"""Whether a stream says a secret, however it is cut into pieces, events and fields.

Each field of its events is put together again, since a key may come in two halves in two of them: also of a stream that
the host decodes, whose chunks say only what every provider says.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import orjson

from .secrets import Secrets

_MOST = 16 * 1024 * 1024
"""Bytes of a stream that are looked through once its encoding is undone."""
_DEEPEST = 40
_ZLIB = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def bytes_say_a_secret(body: bytes, encoding: str, clean: Secrets, known: Collection[str] = ()) -> bool:
    """Whether these bytes of a stream say one, or cannot be looked into.  *known* are texts that were looked through,
    such as those of its chunks together: what else its events say may be a field that only one provider has."""
    plain = _plain(body, encoding)
    if plain is None:
        return True
    try:
        text = plain.decode()
    except UnicodeDecodeError:
        return True
    if clean.body(plain) != plain or clean.cut(text):
        return True
    one_document = text.startswith(("{", "[")) and "\n" not in text.strip()
    return not one_document and any(clean.within(said) for said in _fields(text) if said not in known)


def _plain(body: bytes, encoding: str) -> bytes | None:
    """*body* without its content-encoding; None if it is too large or nobody here can undo it."""
    coding = encoding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in _ZLIB:
        return None
    inflater = zlib.decompressobj(_ZLIB[coding])
    try:
        plain = inflater.decompress(body, _MOST)
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail or inflater.unused_data else plain


def _fields(text: str) -> Iterator[str]:
    """What each field of a stream's events says in all of them: server-sent events, JSON lines or plain lines."""
    said: dict[tuple[Any, ...], list[str]] = {}
    for line in filter(None, text.splitlines()):
        data = line[5:].removeprefix(" ") if line.startswith("data:") else line
        try:
            value = _parsed(data)
        except (ValueError, RecursionError):
            if line.startswith("data:"):
                said.setdefault((), []).append(data)
            continue
        _collect(value, (), said, _DEEPEST)
    for texts in said.values():  # most say the same in each event, such as a model's name: twice shows its seams
        yield "".join(texts if len(set(texts)) > 1 else texts[:2])


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:  # also for half a letter, and for numbers that only Python has
        return json.loads(text)


def _collect(value: Any, path: tuple[Any, ...], said: dict[tuple[Any, ...], list[str]], depth: int) -> None:
    if isinstance(value, dict):
        place = value.get("index")
        inside = (*path, place) if isinstance(place, int) else path
        parts: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list):
        inside, parts = path, enumerate(value)
    else:
        inside, parts = (), [(path, value)] if isinstance(value, str) else ()
    for name, one in parts:  # of a stream's fields nearly all are a text, a number or nothing
        if type(one) is str:
            where = (*inside, name)
            if where in said:
                said[where].append(one)
            else:
                said[where] = [one]
        elif depth and (type(one) is dict or type(one) is list):
            _collect(one, (*inside, name), said, depth - 1)
