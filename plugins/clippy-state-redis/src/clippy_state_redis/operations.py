"""What each operation of a StateStore is on the server, and what its answer means.  Nothing here waits.

Every operation touches one key, so it is atomic, works on a cluster, and loses all or nothing to an eviction.  Time is
the server's: hosts with different clocks agree on what has ended.

    PREFIX|v:KEY   a string: the value
    PREFIX|c:KEY   a string: the counter
    PREFIX|u:KEY   a sorted set: uses of a limit by their end in unix milliseconds, ``h<id> <amount>`` for what is held
                   and ``s<id> <amount>`` for what is settled; the score of ``total`` is the sum of all amounts
    PREFIX|l:KEY   a sorted set: holders of a lease by their end in unix milliseconds

Every key also expires on the server, at the latest when the last thing in it has ended.
"""

from __future__ import annotations

import math
import secrets
from typing import Any

from attrs import frozen
from clippy_hookspecs import Reservation
from clippy_redis import Operation, Script, to_milliseconds

Answer = Any
"""What redis-py makes of a reply: bytes, int, bool, None."""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_LIVE = """
local function live(ms)
  if redis.call('PTTL', KEYS[1]) < ms then redis.call('PEXPIRE', KEYS[1], ms) end
end
"""

_SWAP = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
""")

# Not INCRBYFLOAT: its decimal arithmetic gives other sums than the caller's doubles do.
_ADD = Script("""
local before = redis.call('GET', KEYS[1])
local after = string.format('%.17g', tonumber(before or 0) + tonumber(ARGV[1]))
if before then redis.call('SET', KEYS[1], after, 'KEEPTTL')
else redis.call('SET', KEYS[1], after, 'PX', ARGV[2]) end
return after
""")

_USES = (
    _NOW
    + _LIVE
    + """
local total = tonumber(redis.call('ZSCORE', KEYS[1], 'total') or 0)
local function keep()
  if redis.call('ZCARD', KEYS[1]) > 1 then redis.call('ZADD', KEYS[1], string.format('%.17g', total), 'total')
  else redis.call('DEL', KEYS[1]) end
end
"""
)

_RESERVE = Script(
    _USES
    + """
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
local removed = 0
for _, use in ipairs(ended) do
  if use ~= 'total' then
    total = total - tonumber(string.match(use, ' (.*)$'))
    redis.call('ZREM', KEYS[1], use)
    removed = removed + 1
  end
end
if removed > 0 then
  keep()
  if redis.call('EXISTS', KEYS[1]) == 0 then total = 0 end
end
if total + tonumber(ARGV[2]) > tonumber(ARGV[3]) then return false end
total = total + tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], now + ARGV[4], ARGV[1], string.format('%.17g', total), 'total')
live(tonumber(ARGV[4]))
return now + ARGV[4]
"""
)

_SETTLE = Script(
    _USES
    + """
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) <= now then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
total = total - tonumber(ARGV[2]) + tonumber(ARGV[4])
redis.call('ZADD', KEYS[1], now + ARGV[5], ARGV[3], string.format('%.17g', total), 'total')
live(tonumber(ARGV[5]))
return 1
"""
)

_REFUND = Script(
    _USES
    + """
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
total = total - tonumber(ARGV[2])
keep()
return 1
"""
)

_LEASE = Script(
    _NOW
    + _LIVE
    + """
local mine = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not mine or tonumber(mine) <= now then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
  if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
live(tonumber(ARGV[2]))
return 1
"""
)

SCRIPTS = (_SWAP, _ADD, _RESERVE, _SETTLE, _REFUND, _LEASE)


def _text(answer: Answer) -> str | None:
    return None if answer is None else answer.decode()


def _yes(answer: Answer) -> bool:
    return bool(answer)


def _nothing(answer: Answer) -> None:
    return None


def milliseconds(ttl: float) -> int:
    """*ttl* as the server wants it: whole, and never 0.  Raises ValueError if it is not above 0 seconds."""
    if not ttl > 0:
        raise ValueError(f"ttl is {ttl}; everything in a StateStore expires, so give seconds above 0")
    return to_milliseconds(ttl)


def number(amount: float, what: str) -> str:
    """*amount* as text that gives the same double again.  Raises ValueError if it is not finite."""
    if not math.isfinite(amount):
        raise ValueError(f"{what} is {amount}; give a finite number")
    return repr(float(amount))


@frozen
class Operations:
    """The operations of a StateStore under one prefix.  Each raises ValueError for what no server may be asked."""

    prefix: str

    def get(self, key: str) -> Operation:
        return Operation(("GET", f"{self.prefix}|v:{key}"), _text)

    def put(self, key: str, value: str, ttl: float) -> Operation:
        return Operation(("SET", f"{self.prefix}|v:{key}", value, "PX", milliseconds(ttl)), _nothing)

    def swap(self, key: str, expected: str | None, value: str, ttl: float) -> Operation:
        name, ends = f"{self.prefix}|v:{key}", milliseconds(ttl)
        if expected is None:
            return Operation(("SET", name, value, "PX", ends, "NX"), _yes)
        return Operation((name, expected, value, ends), _yes, _SWAP)

    def add(self, key: str, amount: float, ttl: float) -> Operation:
        return Operation((f"{self.prefix}|c:{key}", number(amount, "amount"), milliseconds(ttl)), float, _ADD)

    def reserve(self, key: str, amount: float, limit: float, ttl: float) -> Operation:
        name, text = secrets.token_hex(12), number(amount, "amount")

        def read(answer: Answer) -> Reservation | None:
            return None if answer is None else Reservation(name, key, float(amount), answer / 1000)

        words = (f"{self.prefix}|u:{key}", f"h{name} {text}", text, repr(float(limit)), milliseconds(ttl))
        return Operation(words, read, _RESERVE)

    def settle(self, reservation: Reservation, actual: float, ttl: float) -> Operation:
        held, used = number(reservation.amount, "the reservation's amount"), number(actual, "actual")
        members = (f"h{reservation.id} {held}", held, f"s{reservation.id} {used}", used)
        return Operation((f"{self.prefix}|u:{reservation.key}", *members, milliseconds(ttl)), _nothing, _SETTLE)

    def refund(self, reservation: Reservation) -> Operation:
        held = number(reservation.amount, "the reservation's amount")
        words = (f"{self.prefix}|u:{reservation.key}", f"h{reservation.id} {held}", held)
        return Operation(words, _nothing, _REFUND)

    def lease(self, key: str, holder: str, ttl: float, places: int) -> Operation:
        return Operation((f"{self.prefix}|l:{key}", holder, milliseconds(ttl), places), _yes, _LEASE)

    def release(self, key: str, holder: str) -> Operation:
        return Operation(("ZREM", f"{self.prefix}|l:{key}", holder), _nothing)
