"""What the cache asks of the server.  Nothing here waits.

    PREFIX|a:KEY   a string: one line that says whose answer it is, then what dump_entry makes of it

The line is words between tabs, each a letter and a JSON text: t(enant), u(ser), s(ession), m(odel), and # for each tag.
It is in the value, and no index is kept beside it: a server that evicts would drop one without the other, and an
invalidation would miss answers and not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from attrs import frozen
from clippy_hookspecs import Scope, Selector
from clippy_hookspecs.stored import MAX_LINE_BYTES
from clippy_redis import Operation, Script, to_milliseconds

AT_ONCE = 200
"""Keys that the server looks through in one step of an invalidation, in which it does nothing else."""

# KEYS: the answers to look at; without one a step through all keys.  ARGV: the longest line, a cursor, a pattern, how
# many keys, and the words that must all be in the line.
_DROP = Script(
    """
local longest, cursor, pattern, count = unpack(ARGV, 1, 4)
local function fits(name)
  if #ARGV == 4 then return true end
  local head = redis.pcall('GETRANGE', name, 0, 511)
  if type(head) ~= 'string' then return false end
  local stop = string.find(head, '\\n', 1, true)
  if not stop then
    head = redis.call('GETRANGE', name, 0, longest)
    stop = string.find(head, '\\n', 1, true)
    if not stop then return false end
  end
  head = string.sub(head, 1, stop)
  for at = 5, #ARGV do
    if not string.find(head, ARGV[at], 1, true) then return false end
  end
  return true
end
local names = KEYS
if #names == 0 then
  local found = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', count)
  cursor, names = found[1], found[2]
end
for _, name in ipairs(names) do
  if fits(name) then redis.call('UNLINK', name) end
end
return cursor
"""
)


def head_of(scope: Scope, model: str, tags: tuple[str, ...]) -> bytes:
    """The line that says whose answer it is."""
    parts = (("t", scope.tenant), ("u", scope.user), ("s", scope.session), ("m", model), *(("#", tag) for tag in tags))
    return ("\t" + "".join(f"{_word(*part)}\t" for part in parts) + "\n").encode("ascii")


def without_head(value: bytes) -> bytes:
    """What stands behind the line; nothing if there is no line."""
    return value.partition(b"\n")[2]


@frozen
class Operations:
    """The operations of the cache under one prefix; no value of more than ``longest`` bytes is read whole."""

    prefix: str
    longest: int

    def lookup(self, key: str) -> Operation:
        # Not GET: whatever somebody else has stored there, no more of it is read than can be an answer.
        return Operation(("GETRANGE", f"{self.prefix}|a:{key}", 0, self.longest), _value)

    def store(self, key: str, value: bytes, seconds: float) -> Operation:
        return Operation(("SET", f"{self.prefix}|a:{key}", value, "PX", to_milliseconds(seconds)), _nothing)

    def drop(self, selector: Selector, cursor: bytes) -> Operation:
        """One step of dropping what *selector* names, from *cursor* on; it gives the next cursor, b"0" at the end."""
        wanted = [f"\t{_word(letter, part)}\t" for letter, part in _named(selector)]
        if selector.key is not None:
            return Operation((f"{self.prefix}|a:{selector.key}", MAX_LINE_BYTES, b"0", "", 0, *wanted), bytes, _DROP)
        pattern = _literal(f"{self.prefix}|a:") + "*"
        return Operation((MAX_LINE_BYTES, cursor, pattern, AT_ONCE, *wanted), bytes, _DROP, keys=0)


def _word(letter: str, part: str | None) -> str:
    return letter + json.dumps(part)


def _named(selector: Selector) -> Iterator[tuple[str, str | None]]:
    """What the line of an answer must have."""
    if selector.tag is not None:
        yield "#", selector.tag
    scope = selector.scope
    if scope is not None:
        # A tenant's users and sessions belong to the tenant; a scope that says nothing is that of calls without a
        # scope and does not stand for everybody.
        for letter, part in (("t", scope.tenant), ("u", scope.user), ("s", scope.session)):
            if part is not None or scope == Scope():
                yield letter, part


def _literal(text: str) -> str:
    """*text* as a pattern that nothing else fits."""
    return "".join(f"\\{letter}" if letter in "\\*?[]" else letter for letter in text)


def _value(answer: Any) -> bytes | None:
    return answer or None


def _nothing(answer: Any) -> None:
    return None
