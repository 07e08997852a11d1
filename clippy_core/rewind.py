"""Bodies that are passed on unread: which of them can be sent a second time, and from where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define


@define(eq=False)
class Rewind:
    """Takes the files of a body back to where they stood when the caller handed it over."""

    places: list[tuple[Any, int]]

    def __call__(self) -> None:
        """Go back.  Raises OSError or ValueError where a file no longer lets us, because it was closed, say."""
        for file, position in self.places:
            file.seek(position)


def rewind_of(stream: Any) -> Rewind | None:
    """What takes *stream* (the body of a request of httpx or httpx2) back to its start, None if nothing can.

    Bytes, and forms and files whose parts are bytes or can seek, can be sent again.  A generator cannot, nor what
    only says that it can be iterated: it may give the same used-up iterator again.  That is the rule of the official
    OpenAI SDK (3.54, ``_RequestBodyReplay``), which reads the same bodies.
    """
    rewind = Rewind([])
    return rewind if all(_noted(content, rewind) for content in _contents(stream)) else None


def _contents(stream: Any) -> Iterator[Any]:
    """What a body is made of: the values and files of a form, or its one content."""
    kind = type(stream).__name__
    if kind == "ByteStream":
        return
    if kind == "MultipartStream":
        for part in stream.fields:
            yield part.file if hasattr(part, "file") else b""
    else:
        yield getattr(stream, "_stream", stream)


def _noted(content: Any, rewind: Rewind) -> bool:
    if isinstance(content, bytes | bytearray | str) or type(content) in (list, tuple):
        return True
    try:
        if not (callable(content.read) and content.seekable()):
            return False
        position = content.tell()
    except (AttributeError, OSError, ValueError):
        return False
    rewind.places.append((content, position))
    return isinstance(position, int)
