"""The answer to GET /metrics: the registry of this process, or those of all workers of a gateway."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from attrs import define
from clippy_hookspecs import Headers, Host
from clippy_hookspecs.services import RawReply, RawRequest
from prometheus_client import Metric as Family
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.registry import CollectorRegistry

from .collecting import family_of, sample
from .metrics import WORKER_UP
from .names import Names
from .tables import families_of
from .telling import heard, together, told

log = logging.getLogger("clippy.telemetry.prometheus")

WITHIN: Final = 2.0
"""Seconds that the page waits for the other workers; Prometheus gives a scrape ten."""
_PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"


class Siblings(Protocol):
    """The processes at one address, as ``clippy_serving.siblings`` has them; ``place`` is which of them this is."""

    count: int
    place: int | None

    @property
    def others(self) -> tuple[int, ...]: ...

    async def ask(self, place: int, what: str, said: bytes, within: float) -> bytes | None: ...


@define(eq=False)
class Page:
    """What *registry* has and what the plugins of the host show, for whoever may read it."""

    registry: CollectorRegistry
    host: Host
    names: Names
    siblings: Siblings | None = None

    async def answer(self, request: RawRequest) -> RawReply:
        """In the format that the request accepts."""
        families = await self._families()
        body, kind = await asyncio.to_thread(_encoded, families, request.headers.get("accept", ""))
        return RawReply(200, Headers({"content-type": kind, "cache-control": "no-store"}), body, {})

    async def tell(self, _: bytes) -> bytes:
        """What this worker has, for another one's page."""
        families = await self._own()
        return await asyncio.to_thread(told, families)

    async def _own(self) -> list[Family]:
        # Collected in a thread: a collector of somebody else's may take its time, and requests go on.
        return [*await asyncio.to_thread(_collected, self.registry), *await families_of(self.host, self.names)]

    async def _families(self) -> list[Family]:
        siblings = self.siblings
        if siblings is None or siblings.place is None or siblings.count < 2:
            return await self._own()
        others = siblings.others
        asked = [asyncio.ensure_future(siblings.ask(one, "metrics", b"", WITHIN)) for one in others]
        own, answers = await self._own(), [await one for one in asked]
        parts = [(_worker(siblings.place), [*own, _up(True)])]
        for place, answer in zip(others, answers, strict=True):
            families = None if answer is None else await asyncio.to_thread(_heard, answer, place)
            parts.append((_worker(place), [_up(False)] if families is None else [*families, _up(True)]))
        return await asyncio.to_thread(together, sorted(parts, key=lambda part: int(part[0])))


@define(eq=False)
class _Families:
    """As encoders want to be given families."""

    families: list[Family]

    def collect(self) -> list[Family]:
        return self.families


def _worker(place: int) -> str:
    """As the pages of the debugger call it: worker 1 is the first."""
    return str(place + 1)


def _up(answers: bool) -> Family:
    family = family_of(WORKER_UP)
    family.samples.append(sample(WORKER_UP, (), float(answers)))
    return family


def _collected(registry: CollectorRegistry) -> list[Family]:
    return list(registry.collect())


def _heard(answer: bytes, place: int) -> list[Family] | None:
    try:
        return heard(answer)
    except (ValueError, TypeError, LookupError) as error:
        log.warning("the numbers of worker %s cannot be read, and are left out: %s", _worker(place), error)
        return None


def _encoded(families: list[Family], accept: str) -> tuple[bytes, str]:
    found: Any = _Families(families)
    encode: Callable[[Any], bytes]
    try:
        encode, kind = choose_encoder(accept)
    except (ValueError, TypeError):  # a version that is no number
        encode, kind = generate_latest, _PLAIN
    return encode(found), kind
