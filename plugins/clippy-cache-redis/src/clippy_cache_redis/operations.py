"""What the cache asks of the server.  Nothing here waits.

    PREFIX|a:KEY   a string: one line that says whose answer it is, then what dump_entry makes of it

The line is JSON texts, each ended by a tab: tenant, user, session, model, and then the tags.
It is in the value, and no index is kept beside it: a server that evicts would drop one without the other, and an
invalidation would miss answers and not know.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen
from clippy_hookspecs import Scope, Selector
from clippy_hookspecs.stored import MAX_LINE_BYTES
from clippy_redis import Operation, Script, to_milliseconds

AT_ONCE = 1000
"""Keys that the server looks through in one step of an invalidation, in which it does nothing else."""

ANYTHING = ""
"""What no JSON text is."""

# KEYS: the answers to look at; without one a step through all keys: ARGV has its cursor, a pattern and their number.
_DROP = Script(
    """
local tenant, user, session, tag, longest, cursor, pattern, count = unpack(ARGV)
local all = tenant == '' and user == '' and session == '' and tag == ''
local function fits(name)
  if all then return true end
  local head = redis.pcall('GETRANGE', name, 0, 511)
  if type(head) ~= 'string' then return false end
  local stop = string.find(head, '\\n', 1, true)
  if not stop then
    head = redis.call('GETRANGE', name, 0, longest)
    stop = string.find(head, '\\n', 1, true)
    if not stop then return false end
  end
  local fields, tagged = {}, tag == ''
  for field in string.gmatch(string.sub(head, 1, stop - 1), '([^\\t]*)\\t') do
    fields[#fields + 1] = field
    tagged = tagged or (#fields > 4 and field == tag)
  end
  return tagged
    and (tenant == '' or fields[1] == tenant)
    and (user == '' or fields[2] == user)
    and (session == '' or fields[3] == session)
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
    parts = (scope.tenant, scope.user, scope.session, model, *tags)
    return ("".join(json.dumps(part) + "\t" for part in parts) + "\n").encode("ascii")


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
        scope, parts = selector.scope, [ANYTHING] * 3
        if scope is not None:
            # A tenant's users and sessions belong to the tenant; a scope that says nothing is that of calls without
            # a scope and does not stand for everybody.
            parts = [
                ANYTHING if part is None and scope != Scope() else json.dumps(part)
                for part in (scope.tenant, scope.user, scope.session)
            ]
        tag = ANYTHING if selector.tag is None else json.dumps(selector.tag)
        wanted = (*parts, tag, str(MAX_LINE_BYTES))
        if selector.key is not None:
            return Operation((f"{self.prefix}|a:{selector.key}", *wanted, b"0"), bytes, _DROP)
        pattern = _literal(f"{self.prefix}|a:") + "*"
        return Operation((*wanted, cursor, pattern, AT_ONCE), bytes, _DROP, keys=0)


def _literal(text: str) -> str:
    """*text* as a pattern that nothing else fits."""
    return "".join(f"\\{letter}" if letter in "\\*?[]" else letter for letter in text)


def _value(answer: Any) -> bytes | None:
    return answer or None


def _nothing(answer: Any) -> None:
    return None
