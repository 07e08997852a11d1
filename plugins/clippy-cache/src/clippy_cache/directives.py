"""What one caller asks of caches for one request, in the grammar of Cache-Control (RFC 9111, section 5.2).

A directive that is not understood is an error and not ignored, as that RFC has it for browsers and servers that know
different ones: a misspelt ``no-store`` would leave a private answer in a cache.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import Attribute, field, frozen
from attrs.validators import and_, ge, gt, optional
from clippy_hookspecs import CacheControl, evolve

LONGEST = 2.0**31
"""Seconds; a longer time is taken for this one (RFC 9111, section 1.2.2)."""
MOST_TAGS = 32
LONGEST_TAG = 200
_SHOWN = 40


def _tags(given: Any) -> tuple[str, ...]:
    """Tags from a text with spaces between them, or from several texts."""
    if not isinstance(given, Iterable):
        raise ValueError(f"tags takes names, as in tags='news sport', not {_shown(repr(given))}")
    tags = tuple(dict.fromkeys(given.split() if isinstance(given, str) else given))
    if strange := [tag for tag in tags if not isinstance(tag, str)]:
        raise ValueError(f"tags takes names, as in tags='news sport', not {_shown(repr(strange[0]))}")
    if len(tags) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in tags):
        raise ValueError(f"tags: at most {MOST_TAGS} of at most {LONGEST_TAG} characters each")
    return tags


def _a_time(_: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError(f"{attribute.name} takes seconds as a number, as in {attribute.name}=60, not {value!r:.40}")


def _a_flag(_: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{attribute.name} is True or False, not {value!r:.40}")


@frozen
class Directives:
    """What one caller asks of caches.  Times are seconds; None and () leave it to the settings.

    ``no_cache``: ask the provider, and keep its answer.  ``no_store``: keep nothing of this one.  ``only_if_cached``:
    ask no provider.  ``max_age``: take a stored answer only if it is at most so old.  The others are those of
    :class:`~clippy_hookspecs.CacheControl`.
    """

    no_cache: bool = field(default=False, validator=_a_flag)
    no_store: bool = field(default=False, validator=_a_flag)
    only_if_cached: bool = field(default=False, validator=_a_flag)
    max_age: float | None = field(default=None, validator=and_(_a_time, optional(ge(0))))
    ttl: float | None = field(default=None, validator=and_(_a_time, optional(gt(0))))
    stale_if_error: float | None = field(default=None, validator=and_(_a_time, optional(ge(0))))
    tags: tuple[str, ...] = field(default=(), converter=_tags)
    join: bool | None = field(default=None, validator=_a_flag)

    def __attrs_post_init__(self) -> None:
        if self.no_cache and self.only_if_cached:
            raise ValueError("no-cache and only-if-cached cannot both be obeyed")

    def within(self, outer: Directives) -> Directives:
        """These, where *outer* are asked for around them: nothing takes back a no-store, other inner words win."""
        return Directives(
            self.no_cache or (outer.no_cache and not self.only_if_cached),
            self.no_store or outer.no_store,
            self.only_if_cached or (outer.only_if_cached and not self.no_cache),
            _said(self.max_age, outer.max_age),
            _said(self.ttl, outer.ttl),
            _said(self.stale_if_error, outer.stale_if_error),
            (*outer.tags, *self.tags),
            _said(self.join, outer.join),
        )

    def applied(self, control: CacheControl) -> CacheControl:
        """*control* with what these say."""
        found: dict[str, Any] = {}
        if self.no_cache:
            found["lookup"] = False
        if self.no_store:
            found["store"] = False
        if self.no_cache or self.no_store:
            found["reason"] = control.reason or ("no-cache" if self.no_cache else "no-store")
        if self.max_age is not None:
            found["max_age"] = self.max_age
        if self.ttl is not None:
            found["ttl"] = self.ttl
        if self.stale_if_error is not None:
            found["stale_if_error"] = found["max_stale"] = self.stale_if_error
        if self.tags:
            found["tags"] = tuple(dict.fromkeys((*control.tags, *self.tags)))
        if self.join is not None:
            found["join"] = self.join
        return evolve(control, **found) if found else control


def _said(inner: Any, outer: Any) -> Any:
    return outer if inner is None else inner


NOTHING = Directives()


# --- reading them ----------------------------------------------------------------------------------------------------

# One token, and for a value a token or a quoted string: RFC 9110, section 5.6.
_DIRECTIVE = re.compile(
    r"[ \t]*+(?:([!#$%&'*+.^_`|~0-9A-Za-z-]++)"
    r"(?:=(?:([!#$%&'*+.^_`|~0-9A-Za-z-]++)|\"((?:[\t !\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*+)\"))?+)?+[ \t]*+(?:,|\Z)"
)
_ESCAPED = re.compile(r"\\(.)")
_SECONDS = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,6})?\Z")
_DIGITS = re.compile(r"[0-9]+(?:\.[0-9]+)?\Z")


def _seconds(name: str, value: str) -> float:
    if _SECONDS.match(value):
        return min(float(value), LONGEST)
    if len(value) < 1000 and _DIGITS.match(value):
        return LONGEST
    raise ValueError(f"{name} takes seconds, as in {name}=60, not {_shown(value)}")


def _text(name: str, value: str) -> str:
    return value


_Take = Callable[[str, str], Any]
_KNOWN: dict[str, tuple[str, _Take | bool]] = {
    "no-store": ("no_store", True),
    "no-cache": ("no_cache", True),
    "only-if-cached": ("only_if_cached", True),
    "join": ("join", True),
    "no-join": ("join", False),
    "max-age": ("max_age", _seconds),
    "ttl": ("ttl", _seconds),
    "stale-if-error": ("stale_if_error", _seconds),
    "tags": ("tags", _text),
}
"""Each directive: the field that it sets, and its value or what reads it."""


def parse(text: str) -> Directives:
    """The directives in *text*, such as ``no-cache, ttl=60, tags="news sport"``.

    Raises ValueError for what is none, naming it: for unknown ones, wrong values, and one that is said twice.
    """
    if not isinstance(text, str):
        raise ValueError(f"directives are a text, as in 'no-store, ttl=60', not {_shown(repr(text))}")
    found: dict[str, Any] = {}
    for name, value in _pieces(text):
        known = _KNOWN.get(name.lower())
        if known is None:
            raise ValueError(f"there is no directive {_shown(name)}{_instead(name)}")
        into, take = known
        if into in found:
            raise ValueError(f"{name} is said twice, or join and no-join together")
        if isinstance(take, bool):
            if value is not None:
                raise ValueError(f"{name} takes no value")
            found[into] = take
        elif value is None:
            raise ValueError(f"{name} needs a value, as in {name}={'60' if take is _seconds else 'name'}")
        else:
            found[into] = take(name, value)
    if found.get("ttl") == 0:
        raise ValueError("ttl must be above 0; what must not be kept is asked for with no-store")
    return Directives(**found)


def _pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """Each directive with its value."""
    place = 0
    while place < len(text):
        match = _DIRECTIVE.match(text, place)
        if match is None:
            raise ValueError(f"{_shown(text[place:].strip())} is no list of directives")
        place = match.end()
        name, token, quoted = match.groups()
        if name is not None:
            yield name, _ESCAPED.sub(r"\1", quoted) if quoted is not None else token


def _instead(name: str) -> str:
    near = difflib.get_close_matches(name.lower()[:_SHOWN], _KNOWN, 1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(_KNOWN)}"


def _shown(text: str) -> str:
    """What somebody wrote, short and in ASCII."""
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
