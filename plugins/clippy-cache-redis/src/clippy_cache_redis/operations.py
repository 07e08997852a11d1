"""What the cache asks of the server.  Nothing here waits.

    PREFIX|a:KEY   a string: the line of lines.py, then what dump_entry makes of the entry

No index is kept beside it: a server that evicts would drop one without the other, and an invalidation would miss
answers and not know.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from clippy_hookspecs import Selector
from clippy_hookspecs.stored import MAX_LINE_BYTES
from clippy_redis import Operation, Script, to_milliseconds

from .lines import named

AT_ONCE = 200
"""Keys that the server looks through in one step, in which it does nothing else."""

START = b"0"
"""The cursor of the first step, and of what comes after the last."""

# KEYS: the answers to look at; without one a step through all keys.  ARGV: what to do, the longest line, a cursor, a
# pattern, how many keys, and what must all be in the line.  It gives the next cursor, and name, size and line of each.
_WALK = Script(
    """
local what, longest, cursor, pattern, count = unpack(ARGV, 1, 5)
local function line_of(name)
  local head = redis.pcall('GETRANGE', name, 0, 511)
  if type(head) ~= 'string' then return nil end
  local stop = string.find(head, '\\n', 1, true)
  if not stop then
    head = redis.call('GETRANGE', name, 0, longest)
    stop = string.find(head, '\\n', 1, true)
  end
  return stop and string.sub(head, 1, stop)
end
local function fits(line)
  for at = 6, #ARGV do
    if not line or not string.find(line, ARGV[at], 1, true) then return false end
  end
  return true
end
local names, found = KEYS, {}
if #names == 0 then
  local step = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', count)
  cursor, names = step[1], step[2]
end
local reads = what == 'list' or #ARGV > 5
for _, name in ipairs(names) do
  local line = reads and line_of(name)
  if fits(line) then
    if what == 'drop' then
      redis.call('UNLINK', name)
    elseif line then
      found[#found + 1] = {name, redis.call('STRLEN', name), line}
    end
  end
end
return {cursor, found}
"""
)


@frozen
class Operations:
    """The operations of the cache under one prefix; no value of more than ``longest`` bytes is read whole."""

    prefix: str
    longest: int

    def lookup(self, key: str) -> Operation:
        # Not GET: whatever somebody else has stored there, no more of it is read than can be an answer.
        return Operation(("GETRANGE", self._name(key), 0, self.longest), _value)

    def store(self, key: str, value: bytes, seconds: float) -> Operation:
        return Operation(("SET", self._name(key), value, "PX", to_milliseconds(seconds)), _nothing)

    def drop(self, selector: Selector, cursor: bytes = START) -> Operation:
        """One step of dropping what *selector* names, from *cursor* on; it gives the next cursor."""
        return self._walk("drop", selector, cursor, _cursor)

    def list(self, selector: Selector, cursor: bytes = START) -> Operation:
        """One step of finding it; it gives the next cursor, and the key, bytes and line of each."""

        def read(answer: Any) -> tuple[bytes, list[tuple[str, int, bytes]]]:
            cursor, found = answer
            cut = len(self._name("").encode())
            return cursor, [(name[cut:].decode(errors="replace"), size, line) for name, size, line in found]

        return self._walk("list", selector, cursor, read)

    def _walk(self, what: str, selector: Selector, cursor: bytes, read: Any) -> Operation:
        wanted = tuple(named(selector))
        if selector.key is not None:  # one that begins as the selector says
            one = (self._name(selector.key), what, MAX_LINE_BYTES, START, "", 0)
            return Operation((*one, *wanted), read, _WALK)
        pattern = _literal(self._name(selector.key_prefix or "")) + "*"
        return Operation((what, MAX_LINE_BYTES, cursor, pattern, AT_ONCE, *wanted), read, _WALK, keys=0)

    def _name(self, key: str) -> str:
        return f"{self.prefix}|a:{key}"


def _literal(text: str) -> str:
    """*text* as a pattern that nothing else fits."""
    return "".join(f"\\{letter}" if letter in "\\*?[]" else letter for letter in text)


def _value(answer: Any) -> bytes | None:
    return answer or None


def _cursor(answer: Any) -> bytes:
    cursor: bytes = answer[0]
    return cursor


def _nothing(answer: Any) -> None:
    return None
