"""A flight across processes, through a store that they share: one of them asks, the others wait for what it puts there.

Who asks holds a lease and renews it, so that nobody waits for a process that died.  What comes back is text that
anybody with access to the store may have written: it is read as strictly as a stored entry, and what is odd is not
there.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

from attrs import define, field, fields
from clippy_hookspecs import CacheEntry, CorruptEntry, ErrorInfo, StateStore
from clippy_hookspecs.errors import Category
from clippy_hookspecs.stored import dump_entry, load_entry

from .ids import new_id
from .outcomes import Landed, Told
from .records import new_entry
from .runtime import TimeIsUp

if TYPE_CHECKING:
    from .flow import FlowHandle
    from .runtime import Runtime

log = logging.getLogger("clippy")

LEASE = 15.0
"""Seconds after which another process may ask although the one that did has not said that it is over."""
RENEWED = LEASE / 3
KEPT = 10.0
"""Seconds that a landed answer is kept for those who wait; who comes later finds it in a cache, or asks."""
LARGEST = 1024 * 1024
"""Bytes of an entry that is put into a store; a larger one every process gets for itself."""
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.02, 0.5, 1.5
"""Seconds between two looks."""
ASK_AGAIN = 30.0
"""Seconds for which a store that failed is not asked."""

_SCOPES = ("request", "key", "model", "route", "provider")
_TOLD = tuple(one.name for one in fields(ErrorInfo) if one.name not in ("partial", "committed"))


@define(eq=False)
class Health:
    """Whether the store works, for all flights of a host."""

    asked_from: float = -math.inf

    def failed(self, error: Exception, now: float) -> None:
        """Each process goes by itself for a while."""
        if now >= self.asked_from:
            log.warning("flights: the StateStore failed (%s); each process asks for itself", type(error).__name__)
        self.asked_from = now + ASK_AGAIN


@define(eq=False)
class Across:
    """One request's part in the flight of *key* among processes.  Nothing here raises what the store raises."""

    store: StateStore
    key: str
    api: str
    runtime: Runtime
    health: Health
    holder: str = field(factory=new_id)
    leads: bool = field(default=False, init=False)
    holds: bool = field(default=False, init=False)
    """Whether it has the lease, or was stopped while it asked for it."""
    _call_off: Callable[[], None] | None = field(default=None, init=False)

    async def arrive(self, flow: FlowHandle, until: float | None, began_at: float) -> Landed | Told | None:
        """What another process got since *began_at* (unix seconds); None when this one asks.

        Raises TimeIsUp, and FlowCancelled.
        """
        if self.runtime.clock.now() < self.health.asked_from:
            return None
        pause, before = FIRST_PAUSE, ""
        while True:
            try:
                self.holds = True
                self.leads = self.holds = await self.store.lease(self._lease, self.holder, LEASE)
                text = await self.store.get(self._landed)
            except Exception as error:
                self.health.failed(error, self.runtime.clock.now())
                return None
            found = _read(text, self.api)
            if found is not None and (found[0] >= began_at or (before and text != before)):
                await self._release()
                return found[1]
            if self.leads:
                self._renew_later()
                return None
            before = before or text or "nothing"
            if until is not None and self.runtime.clock.now() + pause >= until:
                raise TimeIsUp
            await self.runtime.sleep(pause, flow)
            pause = min(pause * GROWTH, LONGEST_PAUSE)

    async def finish(self, outcome: object) -> None:
        """The flight is over: say what it brought, if it is for others, and let the next one ask."""
        if self._call_off is not None:
            self._call_off()
        text = _text(outcome, self.runtime.clock.time()) if self.leads else None
        if text is not None:
            try:
                await self.store.put(self._landed, text, KEPT)
            except Exception as error:
                self.health.failed(error, self.runtime.clock.now())
        await self._release()

    async def _release(self) -> None:
        holds, self.leads, self.holds = self.holds, False, False
        try:
            if holds:
                await self.store.release(self._lease, self.holder)
        except Exception as error:
            self.health.failed(error, self.runtime.clock.now())

    def _renew_later(self) -> None:
        self._call_off = self.runtime.later(RENEWED, self._renew)

    async def _renew(self) -> None:
        try:
            if self.leads and await self.store.lease(self._lease, self.holder, LEASE):
                self._renew_later()
            if not self.leads:  # it was given back meanwhile
                await self.store.release(self._lease, self.holder)
        except Exception as error:
            self.health.failed(error, self.runtime.clock.now())

    @property
    def _lease(self) -> str:
        return f"flight:{self.key}"

    @property
    def _landed(self) -> str:
        return f"flown:{self.key}"


def _text(outcome: object, now: float) -> str | None:
    """What an outcome is in the store, None for one that is nobody else's."""
    said: dict[str, Any] = {"at": now}
    if isinstance(outcome, Landed) and outcome.provenance is None:
        entry: CacheEntry | None = outcome.entry
        said["route"], said["model"] = outcome.route, outcome.answering_model
    elif isinstance(outcome, Told):
        response = outcome.response
        entry = new_entry(response) if response is not None and response.raw is not None else None
        said["route"] = outcome.route
        said["error"] = {name: getattr(outcome.info, name) for name in _TOLD}
    else:
        return None
    if entry is not None:
        try:
            blob = dump_entry(entry)
        except ValueError:
            return None
        if len(blob) > LARGEST:
            return None
        said["entry"] = base64.b64encode(blob).decode("ascii")
    return json.dumps(said)


def _read(text: str | None, api: str) -> tuple[float, Landed | Told] | None:
    """When a flight landed, and with what; None for nothing, and for whatever :func:`_text` does not write."""
    try:
        said = json.loads(text) if text else None
        if not isinstance(said, dict) or type(said.get("at")) is not float or not math.isfinite(said["at"]):
            return None
        entry = said.get("entry")
        found = None if entry is None else load_entry(base64.b64decode(entry, validate=True), 2 * LARGEST)
        if found is not None and found.response.api != api:
            return None
        route = said.get("route")
        if not isinstance(route, str):
            return None
        if "error" in said:
            info, told = _info(said["error"]), None if found is None else found.response
            return None if info is None else (said["at"], Told(info, told, route=route))
        model = said.get("model")
        landed = None if found is None else Landed(found, route, None, model if isinstance(model, str) else None)
        return None if landed is None else (said["at"], landed)
    # RecursionError: nested too deep; TypeError: an entry that is no text.
    except (ValueError, TypeError, RecursionError, binascii.Error, CorruptEntry):
        return None


def _info(said: object) -> ErrorInfo | None:
    """An ErrorInfo whose fields have the types that they must have."""
    if not isinstance(said, dict) or set(said) != set(_TOLD):
        return None
    texts, flags = ("kind", "message"), ("retryable", "outage")
    fits = (
        said["category"] in get_args(Category)
        and said["scope"] in _SCOPES
        and all(isinstance(said[name], str) for name in texts)
        and all(isinstance(said[name], bool) for name in flags)
        and all(said[name] is None or isinstance(said[name], str) for name in ("code", "request_id"))
        and (said["should_retry"] is None or isinstance(said["should_retry"], bool))
        and (said["status"] is None or (type(said["status"]) is int and 100 <= said["status"] <= 599))
        and (said["retry_after"] is None or _seconds(said["retry_after"]))
    )
    return ErrorInfo(**said) if fits else None


def _seconds(said: object) -> bool:
    return type(said) in (int, float) and 0 <= said < math.inf  # type: ignore[operator]  # a number by now
