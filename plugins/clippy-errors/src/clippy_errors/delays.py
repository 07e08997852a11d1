"""How long the server told us to wait, in every form in which servers say it.

A delay is finite, positive and in seconds, or None.  What is not one (``nan``, ``inf``, a negative number, a date that
has passed) is as if it had not been sent: a wait that we made up would be worse than our own backoff.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3,
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "m": 60.0, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0,
    "h": 3600.0, "hr": 3600.0, "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0, "week": 604800.0, "weeks": 604800.0,
}  # fmt: skip
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{0,15})?\Z|\.[0-9]{1,15}\Z")
_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)[ ]?([a-zµμ]{1,12})")
_CLOCK = re.compile(r"([0-9]{1,4}):([0-5]?[0-9]):([0-5]?[0-9](?:\.[0-9]{1,9})?)")
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)[0-9.]{0,7} ?(?:utc|gmt|z)\b")
_ISO_LENGTH = re.compile(r"pt(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)s)?\Z")
_HTTP_DATE = re.compile(r"[a-z]{3,9},? [0-9]{1,2}[ -][a-z]{3}[ -][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} gmt")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}\b)")
_AT_LEAST = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})? ?(?:-|\u2013|to) ?(?=[0-9]{1,6}(?:\.[0-9]{1,6})? ?[a-z])")
"""The lower end of *10-15 seconds*."""

_LATER = re.compile(
    r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(\u6beb\u79d2|\u79d2|\u5206|\u5c0f\u65f6|\u5929)"
    r"[\u949f\u4e4b\u4ee5]{0,2}[\u540e\u5f8c]"
)
"""Chinese puts the length first and *later* after it, as Japanese does with seconds and minutes."""

_LATER_UNITS = {"\u6beb\u79d2": 1e-3, "\u79d2": 1.0, "\u5206": 60.0, "\u5c0f\u65f6": 3600.0, "\u5929": 86400.0}
_ANNOUNCED = re.compile(
    r"\b(?:try(?:ing)? again|come back|retry[-_]after|retry(?:ing)?|wait|resets?|available|replenished)\b"
)
_FILLER = frozenset({
    "in", "after", "for", "about", "approximately", "around", "another", "again", "least", "up", "to", "your", "this",
    "request",
})  # fmt: skip
_POINTERS = frozenset({"at", "on", "until", "by"})

_EPOCH = 1e9
"""Numbers from here on are a moment, not a length: 10^9 s after 1970 is 2001, as a wait it would be 31 years."""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The wait in ``retry-after-ms`` (finer, so it wins) or ``retry-after``: a number, a duration, a date.

    Some put a name before it: ``x-ms-retry-after``, or LiteLLM ``llm_provider-retry-after`` for what its upstream said.
    What has no name is of who answers, and wins; of the others the longest counts.
    """
    readers = (("retry-after-ms", _milliseconds), ("retry-after", _after))
    for plain, read in readers:
        if (value := headers.get(plain)) is not None and (wait := read(value, now)) is not None:
            return wait
    named = [read(value, now) for name, value in headers.items() for ending, read in readers if _ends(name, ending)]
    return max((wait for wait in named if wait is not None), default=None)


def _ends(name: str, ending: str) -> bool:
    return name.lower().endswith(f"-{ending}")


def _milliseconds(value: str, now: float) -> float | None:
    return _delay(float(value) / 1000) if _NUMBER.match(value.strip()) else None


def _after(value: str, now: float) -> float | None:
    wait = moment_or_length(value, now)
    if wait is None and "," in value[:64]:  # a proxy that has its own word adds it to the first: "30, 120"
        wait = max((found for part in value[:64].split(",") if (found := duration_or_seconds(part))), default=None)
    return wait


def moment_or_length(value: object, now: float) -> float | None:
    """A wait given as seconds, as a duration (``6m0s``), or as a moment: HTTP date, RFC 3339, unix s or ms."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        # Python's integers have no upper end, floats have.
        return _number(float(value), now) if abs(value) < 1e15 else None
    if isinstance(value, Mapping):  # protobuf's Duration as some serialisers write it
        seconds, nanos = value.get("seconds", 0), value.get("nanos", 0)
        if not _NUMBER.match(f"{seconds}") or not _NUMBER.match(f"{nanos}"):
            return None
        return _delay(float(seconds) + float(nanos) / 1e9)
    if not isinstance(value, str) or len(value) > 64:
        return None
    text = value.strip()
    if _NUMBER.match(text):
        return _number(float(text), now)
    length = duration(text)
    return length if length is not None else _date(text, now)


def duration_or_seconds(text: str) -> float | None:
    """A wait that is no moment: ``30`` or ``6m0s``."""
    text = text.strip()
    return _delay(float(text)) if _NUMBER.match(text) else duration(text)


def duration(text: str) -> float | None:
    """A length of time: ``174ms``, ``6m0s``, ``1h2m3.5s``, ``2 minutes and 5 seconds``, ``00:12:34``, ``PT5S``."""
    iso = _ISO_LENGTH.match(text.strip().lower())
    if iso is not None:
        hours, minutes, seconds = (float(part or 0) for part in iso.groups())
        return _delay(hours * 3600 + minutes * 60 + seconds)
    found = _leading(text.strip().lower())
    return found[0] if found is not None and not found[1].strip(" .") else None


def sentence(text: str, now: float) -> float | None:
    """The wait in a sentence such as *Please try again in 7m12s* or *Please retry after 20 seconds*.

    The longest one of several counts: a wait is never shortened.
    """
    low = _THOUSANDS.sub("", text[:16384].lower())
    waits = [
        wait for match in _ANNOUNCED.finditer(low) if (wait := _announced(low[match.end() : match.end() + 80], now))
    ]
    waits += [wait for size, unit in _LATER.findall(low) if (wait := _delay(float(size) * _LATER_UNITS[unit]))]
    return max(waits, default=None)


def rate_limit_reset(headers: Mapping[str, str], kind: str, now: float) -> float | None:
    """When the limit that was hit opens again, from ``x-ratelimit-reset-*`` and ``anthropic-ratelimit-*-reset``.

    These headers come on every answer and for every limit; only those that have nothing remaining speak.  Where the
    server does not say what remains, the limit of this *kind* (requests, tokens) does, and else the longest.
    """
    waits: dict[str, float] = {}
    remaining: dict[str, str] = {}
    for name, value in _limit_headers(headers):
        words = name.split("-")
        if "reset" in words:
            wait = moment_or_length(value, now)
            if wait is not None:
                waits[_limit_name(words)] = wait
        elif "remaining" in words:
            remaining[_limit_name(words)] = value.strip()
    spent = [
        wait for limit, wait in waits.items() if _NUMBER.match(left := remaining.get(limit, "")) and float(left) <= 0
    ]
    if spent:
        return max(spent)
    open_ended = {limit: wait for limit, wait in waits.items() if limit not in remaining}
    alike = [wait for limit, wait in (open_ended or waits).items() if kind in limit and "day" not in limit]
    return max(alike or open_ended.values(), default=None)


def _limit_headers(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key in headers:
        name = key.lower()
        if name == "ratelimit":  # the IETF draft's one header: limit=10, remaining=0, reset=5  or  "x";r=0;t=5
            for item in headers[key][:200].replace(";", ",").split(","):
                word, _, value = item.strip().partition("=")
                if word in ("reset", "t"):
                    yield "reset", value
                elif word in ("remaining", "r"):
                    yield "remaining", value
        elif "ratelimit" in name.replace("rate-limit", "ratelimit"):
            yield name, headers[key]


def _limit_name(words: list[str]) -> str:
    return "-".join(word for word in words if word not in ("reset", "remaining", "after"))


def _announced(tail: str, now: float) -> float | None:
    """The length or the moment that *tail* begins with, past words like *in* and *after*."""
    rest, pointed = tail.lstrip(" :=~\"'"), False
    while True:
        word, _, after = rest.partition(" ")
        pointed = pointed or (word in _POINTERS and not after.startswith("least"))
        if word.strip(":") not in _FILLER | _POINTERS:
            break
        rest = after.lstrip(" ~")
    # "resets at 12:30:00" is a time of day, which says nothing without a time zone.
    least = _AT_LEAST.match(rest)
    found = None if pointed else _leading(rest if least is None else rest[least.end() :])
    if found is not None:
        return found[0]
    dated = _MOMENT.match(rest)
    if dated is not None:
        return _date(f"{dated.group(1)}T{dated.group(2)}Z", now)
    written = _HTTP_DATE.match(rest)
    if written is not None:
        return _date(written.group(), now)
    word = rest.partition(" ")[0].rstrip(".,;)\"'")
    follows = rest[len(word) : len(word) + 1]
    if _NUMBER.match(word):  # "retry after 20." is seconds; "retry after 3 attempts" is no time at all
        return _number(float(word), now) if follows in ("", ".", ",", ";", ")") else None
    return _date(word.upper(), now) if "t" in word and "-" in word else None


def _leading(text: str) -> tuple[float, str] | None:
    """The length of time at the start of *text*, and what follows it."""
    clock = _CLOCK.match(text)
    if clock is not None:
        hours, minutes, seconds = (float(part) for part in clock.groups())
        total = _delay(hours * 3600 + minutes * 60 + seconds)
        return None if total is None else (total, text[clock.end() :])
    total, position, smallest = 0.0, 0, math.inf
    while (part := _PART.match(text, position)) is not None:
        unit = _UNITS.get(part.group(2))
        if unit is None or unit >= smallest:
            break
        total, position, smallest = total + float(part.group(1)) * unit, part.end(), unit
        for joint in (" and ", ", ", " "):
            if text.startswith(joint, position) and _PART.match(text, position + len(joint)):
                position += len(joint)
                break
    wait = _delay(total)
    return None if wait is None else (wait, text[position:])


def _number(value: float, now: float) -> float | None:
    if value >= _EPOCH:
        moment = value / 1000 if value >= _EPOCH * 1000 else value
        return _delay(moment - now) if now > 0 else None
    return _delay(value)


def _date(text: str, now: float) -> float | None:
    if now <= 0 or not text:
        return None
    try:
        moment = datetime.fromisoformat(text) if text[:4].isdecimal() else parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return _delay(moment.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None  # not a date: as if the server had said nothing


def _delay(value: float) -> float | None:
    return value if math.isfinite(value) and value > 0 else None
