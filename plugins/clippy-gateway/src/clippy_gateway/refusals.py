"""What the gateway refused or cut off itself: no plugin knows of it, so no audit and no recording tells of it."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from attrs import define, field
from clippy_hookspecs import ErrorInfo, StatusTable

from .forms import Refused

log = logging.getLogger("clippy.gateway")

_PAUSE = 1.0
"""Seconds between two lines of one kind: whoever sends nonsense all day long must not fill a disk with it."""
_LONGEST = 500
"""Characters of a failure's own words in a line."""
_STRANGERS = 100
"""Wrong keys that are told apart; what comes with still others is counted together."""


@define(eq=False)
class _Kind:
    """One status, code and caller since the last line about it."""

    told: float = -_PAUSE
    left_out: int = 0
    strangers: set[str] = field(factory=set)


def _shape(path: str) -> str:
    from .paths import shape  # what serves has loaded it; a program that only has the plugin need not wait for it

    return shape(path)


@define(eq=False)
class Refusals:
    """Counted by code and caller, both of which the configuration bounds; a line in the log for each, but no flood.

    Wrong keys are told apart by their fingerprints: one client that was set up wrongly looks otherwise than many.
    """

    now: Callable[[], float] = time.monotonic
    counts: Counter[tuple[int, str, str]] = field(factory=Counter, init=False)
    _kinds: dict[tuple[int, str, str], _Kind] = field(factory=dict, init=False, repr=False)
    _strangers: set[str] = field(factory=set, init=False, repr=False)

    def note(self, refused: Refused, caller: str, method: str, path: str, request_id: str) -> None:
        """One was refused.  *caller* is the name of a key in the configuration, "" for who has none."""
        status, code, stranger = refused.status, refused.code, refused.stranger
        self.counts[(status, code, caller or self._known(stranger))] += 1
        who = f"the key {caller}" if caller else f"nobody known (key #{stranger})" if stranger else "nobody known"
        what = f"{ascii(method[:20])[1:-1]} {_shape(path)} of {who} (request {request_id})"
        self._tell((status, code, caller), stranger, f"refused with {status} {code}: {what}")

    def note_stalled(self, caller: str, method: str, path: str) -> None:
        """An answer was cut off, of which its caller took nothing for too long; it had begun with whatever status."""
        self.counts[(0, "stalled", caller)] += 1
        what = f"{ascii(method[:20])[1:-1]} {_shape(path)} of {f'the key {caller}' if caller else 'nobody known'}"
        self._tell((0, "stalled", caller), "", f"cut off, because its caller stopped reading: {what}")

    def note_failed(self, caller: str, route: str, status: int, failure: ErrorInfo, request_id: str) -> None:
        """A route gave no answer, and *caller*, the name of a key, was not told what is in *failure*."""
        from clippy_lines.looking import visible

        why = visible(" ".join(failure.message.split())[:_LONGEST])  # it may quote what a provider sent
        named = f" (request {request_id})" if request_id else ""
        what = f"the route {route or 'of X-Clippy-Base-URL'} failed for the key {caller}{named}"
        self._tell((status, f"{route} {failure.kind}", caller), "", f"{what}: {visible(failure.kind)}, {why}")

    def _tell(self, which: tuple[int, str, str], stranger: str, text: str) -> None:
        kind, now = self._kinds.setdefault(which, _Kind()), self.now()
        if now - kind.told < _PAUSE:
            kind.left_out += 1
            if stranger and len(kind.strangers) < _STRANGERS:
                kind.strangers.add(stranger)
            return
        log.warning("%s%s", text, _more(kind))
        self._kinds[which] = _Kind(now)

    def table(self) -> StatusTable:
        """The counts, the most frequent first."""
        most = self.counts.most_common(100)
        rows = tuple((status or None, code, caller, count) for (status, code, caller), count in most)
        return StatusTable("refusals of the gateway", ("status", "code", "key", "requests"), rows)

    def _known(self, stranger: str) -> str:
        if stranger and stranger not in self._strangers and len(self._strangers) >= _STRANGERS:
            return "#others"
        if stranger:
            self._strangers.add(stranger)
        return f"#{stranger}" if stranger else ""


def _more(kind: _Kind) -> str:
    if not kind.left_out:
        return ""
    count = len(kind.strangers)
    keys = f", with {count}{' or more' if count >= _STRANGERS else ''} wrong keys" if count > 1 else ""
    return f"; {kind.left_out} more of this kind since the last line{keys}"
