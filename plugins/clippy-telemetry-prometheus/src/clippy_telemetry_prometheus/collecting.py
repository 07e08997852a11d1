"""The numbers as families of prometheus_client, in a registry: one collector in each, which all hosts share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import accumulate
from typing import Any, Final
from weakref import WeakKeyDictionary

from attrs import define, field
from clippy_audit import follow_forks
from prometheus_client import Metric as Family
from prometheus_client.registry import CollectorRegistry
from prometheus_client.samples import Exemplar, Sample

from .metrics import BOUNDS, BUILD, COLLECTED, REQUESTS_NOW, STREAMS_NOW, Metric
from .names import clean
from .numbers import Example, Numbers, Spread, Values

log = logging.getLogger("clippy.telemetry.prometheus")

_LE: Final = (*map(str, BOUNDS), "+Inf")
_known: WeakKeyDictionary[CollectorRegistry, Numbers] = WeakKeyDictionary()
_lock = threading.Lock()


def numbers_in(registry: CollectorRegistry) -> Numbers:
    """The numbers that *registry* tells of, with a collector in it from the first time on.

    It stays when a host closes, or its counters would fall.  Two hosts of one process add to the same numbers: a name
    can be there but once.
    """
    with _lock:
        found = _known.get(registry)
        if found is not None:
            return found
        numbers = _known[registry] = Numbers()
        follow_forks(numbers)
        try:
            registry.register(Collected(numbers))
        except ValueError as error:
            log.warning(
                "the registry of prometheus_client has metrics of other code by these names, and so none of clippy's; "
                "give the plugin telemetry-prometheus a registry of its own: %s",
                error,
            )
        return numbers


@define(eq=False)
class Collected:
    """What a registry asks."""

    numbers: Numbers
    _version: str = field(init=False, factory=lambda: version("clippy-core"))

    def describe(self) -> list[Family]:
        """The names alone, by which a registry sees that nobody else has them."""
        return [family_of(one) for one in COLLECTED]

    def collect(self) -> Iterator[Family]:
        """All families that have something to tell, as of one moment."""
        counts, spreads = self.numbers.read()
        now: dict[tuple[Metric, Values], float] = {
            (REQUESTS_NOW, ()): len(self.numbers.under_way),
            (STREAMS_NOW, ()): self.numbers.streams(),
            (BUILD, (self._version,)): 1,
        }
        families = {one: family_of(one) for one in COLLECTED}
        for (metric, values), value in {**counts, **now}.items():
            families[metric].samples.append(sample(metric, values, value))
        for (metric, values), spread in spreads.items():
            families[metric].samples += _histogram(metric, labels_of(metric, values), spread)
        yield from families.values()


def family_of(metric: Metric) -> Family:
    """An empty family."""
    return Family(metric.name, metric.doc, metric.kind, metric.unit)


def labels_of(metric: Metric, values: Values) -> dict[str, str]:
    """Its labels by name.  An empty one is the same as none, so it is left out."""
    return {name: value for name, value in zip(metric.labels, values, strict=True) if value}


def sample(metric: Metric, values: Values, value: float) -> Sample:
    """One line of a counter or a gauge."""
    return Sample(metric.name + ("_total" if metric.kind == "counter" else ""), labels_of(metric, values), value)


def _histogram(metric: Metric, labels: Mapping[str, str], spread: Spread) -> Iterator[Sample]:
    total = 0
    for le, total, example in zip(_LE, accumulate(spread.counts), spread.examples, strict=True):
        yield Sample(f"{metric.name}_bucket", {**labels, "le": le}, total, None, _exemplar(example))
    yield Sample(f"{metric.name}_count", {**labels}, total)
    yield Sample(f"{metric.name}_sum", {**labels}, spread.total)


def _exemplar(example: Example | None) -> Any:
    return None if example is None else Exemplar({"request_id": clean(example[0])}, example[1], example[2])
