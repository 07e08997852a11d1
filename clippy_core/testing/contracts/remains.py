"""What is left of requests: in a plugin's fields, in its files, in its log lines.

A suite cannot know how a plugin keeps what it keeps, but it can look: this module walks over the objects that a plugin
holds, reads the files that it wrote, and listens to what it logs and prints.
"""

from __future__ import annotations

import contextlib
import io
import logging
import types
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import define, field

LONGEST = 20_000
"""Objects that are looked at before a plugin counts as seen."""
SIMPLE = (str, bytes, bytearray, int, float, bool, type(None))
SEQUENCES = (list, tuple, set, frozenset)
_OTHERS = frozenset({"asyncio", "httpcore", "httpcore2", "httpx", "httpx2", "trio"})
_SALT = ("clippy", "salt")
"""The file that the host makes with its first cache key."""


def _is_container(value: object) -> bool:
    return isinstance(value, (*SEQUENCES, Mapping)) or type(value).__name__ in ("deque", "WeakSet", "OrderedDict")


def _items(value: Any) -> list[Any]:
    """What a container holds, pairs of a mapping; nothing where it cannot be walked through, as a pool of urllib3."""
    try:
        return list(value.items()) if isinstance(value, Mapping) else list(value)
    except Exception:
        return []


def _fields(value: object) -> Iterator[tuple[str, Any]]:
    """What an object holds, by name: its attrs fields, its slots and its dict."""
    names: dict[str, None] = {}
    kind: Any = type(value)
    if attrs.has(kind):
        names.update(dict.fromkeys(field.name for field in attrs.fields(kind)))
    for cls in kind.__mro__:
        slots = vars(cls).get("__slots__", ())
        names.update(dict.fromkeys((slots,) if isinstance(slots, str) else slots))
    names.update(dict.fromkeys(getattr(value, "__dict__", ())))
    for name in names:
        if not name.startswith("__"):
            # A lazy value must not be decoded, and a property must not run, only because somebody looks.
            with contextlib.suppress(Exception):
                yield name, object.__getattribute__(value, name)


def _foreign(value: object) -> bool:
    """What is not the plugin's own: code, modules, hosts, clocks, threads, loggers."""
    if isinstance(value, (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)):
        return True
    home = type(value).__module__.partition(".")[0]
    return home in {"clippy_core", "logging", "threading", "_thread", "asyncio", "anyio", "trio", "httpx", "random"}


def state(value: object) -> str:
    """A text that is equal for equal states: the simple values and the sizes of what *value* holds, to the bottom."""
    return "\n".join(_state(value, "", {}, 0))


# What was seen is held until the walk ends: a pair that a mapping makes while it is read is gone a moment later, and
# the next one at the same address would pass for it. Which one does hangs on what else the process does.


def _state(value: object, path: str, seen: dict[int, object], depth: int) -> Iterator[str]:
    if isinstance(value, SIMPLE):
        yield f"{path}={value!r:.200}" + (f" ({len(value)})" if isinstance(value, (str, bytes)) else "")
    elif id(value) in seen or depth > 8 or len(seen) > LONGEST or _foreign(value):
        return
    elif _is_container(value):
        seen[id(value)] = value
        items = _items(value)
        yield f"{path}: {len(items)} in {type(value).__name__}"
        for number, item in enumerate(items):
            yield from _state(item, f"{path}[{number}]", seen, depth + 1)
    else:
        seen[id(value)] = value
        for name, one in _fields(value):
            yield from _state(one, f"{path}.{name}", seen, depth + 1)


def texts(value: object, depth: int = 0, seen: dict[int, object] | None = None) -> Iterator[str]:
    """Every text in *value* and in what it holds; ids and kinds of records, texts of messages."""
    seen = {} if seen is None else seen
    if isinstance(value, str):
        yield value
    elif isinstance(value, (bytes, bytearray)):
        yield bytes(value).decode("latin-1")
    elif isinstance(value, SIMPLE) or depth > 8 or id(value) in seen or len(seen) > LONGEST or _foreign(value):
        return
    else:
        seen[id(value)] = value
        if isinstance(value, Mapping):
            parts: list[Any] = [part for pair in _items(value) for part in pair]
        elif _is_container(value):
            parts = _items(value)
        else:
            parts = [one for _, one in _fields(value)]
        for part in parts:
            yield from texts(part, depth + 1, seen)


@define(eq=False)
class Heard:
    """What was logged and printed while :func:`listening`."""

    handler: logging.Handler = field(init=False)
    others: int = 0
    """Records of the HTTP module and of the event loop, which say nothing about the plugin."""
    records: list[str] = field(factory=list)
    printed: io.StringIO = field(factory=io.StringIO)

    @property
    def lines(self) -> list[str]:
        return [*self.records, *self.printed.getvalue().splitlines()]


@contextlib.contextmanager
def listening() -> Iterator[Heard]:
    """Everything that is logged, at any level, and printed to stdout inside the block."""
    heard, root = Heard(), logging.getLogger()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text = f"{text} {record.exc_info[1]}"
            heard.records.append(text)
            heard.others += record.name.partition(".")[0] in _OTHERS

    heard.handler, level = Keep(), root.level
    root.addHandler(heard.handler)
    root.setLevel(logging.DEBUG)
    try:
        with contextlib.redirect_stdout(heard.printed):
            yield heard
    finally:
        root.setLevel(level)
        root.removeHandler(heard.handler)


@define(eq=False)
class Remains:
    """Where something of a request was found: in a container of the plugin, in a file, in the log."""

    plugin: object
    folder: Path
    heard: Heard

    def places(self) -> dict[str, list[str]]:
        """The things that are kept, as text, by the place where they are."""
        found = dict(self._containers(self.plugin, "", {}, 0))
        for file in sorted(self.folder.rglob("*")):
            if file.is_file():
                content = file.read_bytes()
                text = content.decode("utf-8", "replace")
                found[f"file {file.name}"] = [text] if b"\0" in content else text.splitlines()
        found["log"] = self.heard.lines
        return found

    def _containers(
        self, value: object, path: str, seen: dict[int, object], depth: int
    ) -> Iterator[tuple[str, list[str]]]:
        for name, one in _fields(value):
            if isinstance(one, SIMPLE) or id(one) in seen or _foreign(one):
                continue
            seen[id(one)] = one
            if isinstance(one, Mapping):
                yield f"{path}.{name}", ["\n".join(texts(pair)) for pair in _items(one)]
            elif _is_container(one):
                yield f"{path}.{name}", ["\n".join(texts(item)) for item in _items(one)]
            elif depth < 3:
                yield from self._containers(one, f"{path}.{name}", seen, depth + 1)

    def count(self, word: str) -> Counter[str]:
        """How many of the things in each place speak of *word*."""
        counts = {place: sum(word in thing for thing in things) for place, things in self.places().items()}
        return Counter({place: count for place, count in counts.items() if count})

    def state(self) -> str:
        """A text that changes when anything that is kept changes."""
        files = [file for file in sorted(self.folder.rglob("*")) if file.is_file() and file.parts[-2:] != _SALT]
        sizes = [f"{file.name}: {file.stat().st_size}" for file in files]
        return "\n".join([state(self.plugin), *sizes, str(len(self.heard.lines) - self.heard.others)])
