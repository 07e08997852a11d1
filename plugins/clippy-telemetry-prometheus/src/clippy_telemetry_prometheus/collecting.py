"""The numbers as families of prometheus_client, in a registry: one collector in each, which all hosts share."""

from __future__ import annotations

import logging
import threading
from collections import Counter
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
_known: WeakKeyDictionary[CollectorRegistry, Collected] = WeakKeyDictionary()
_lock = threading.Lock()


def collected_in(registry: CollectorRegistry) -> Collected:
    """The collector in *registry*: one for all hosts that are told there, since a name can be there but once."""
    with _lock:
        found = _known.get(registry)
        if found is not None:
            return found
        made = _known[registry] = Collected()
        try:
            registry.register(made)
        except ValueError as error:
            log.warning(
                "the registry of prometheus_client has metrics of other code by these names, and so none of clippy's; "
                "give the plugin telemetry-prometheus a registry of its own: %s",
                error,
            )
        return made


@define(eq=False)
class Collected:
    """What a registry asks: the sum of all hosts.

    What a host counted is kept when it closes, or the counters would fall.
    """

    _open: Counter[Numbers] = field(factory=Counter, init=False, repr=False)
    _closed: Numbers = field(factory=Numbers, init=False, repr=False)
    _lock: threading.RLock = field(factory=threading.RLock, init=False, repr=False)
    _version: str = field(init=False, factory=lambda: version("clippy-core"))

    def __attrs_post_init__(self) -> None:
        follow_forks(self)

    def opened(self, numbers: Numbers) -> None:
        """Tell of these from now on; a host opens once in each event loop."""
        with self._lock:
            self._open[numbers] += 1

    def closed(self, numbers: Numbers) -> None:
        """Its host, in one event loop, is closed."""
        with self._lock:
            self._open[numbers] -= 1
            if self._open[numbers] <= 0:
                del self._open[numbers]
                numbers.moved(self._closed)

    def describe(self) -> list[Family]:
        """The names alone, by which a registry sees that nobody else has them."""
        return [family_of(one) for one in COLLECTED]

    def collect(self) -> Iterator[Family]:
        """All families."""
        total = Numbers()
        with self._lock:  # or a host that closes meanwhile would be counted twice
            for numbers in (self._closed, *self._open):
                total.include(numbers)
        total.count(REQUESTS_NOW).value = len(total.under_way)
        total.count(STREAMS_NOW).value = sum(total.under_way.values())
        total.count(BUILD, self._version).value = 1
        families = {one: family_of(one) for one in COLLECTED}
        for metric, values, value in total.counts():
            families[metric].samples.append(sample(metric, values, value))
        for metric, values, spread in total.spreads():
            families[metric].samples += _histogram(metric, labels_of(metric, values), spread)
        yield from families.values()

    def after_fork(self) -> None:
        """In a forked child, whose hosts are not open."""
        self._lock, self._open, self._closed = threading.RLock(), Counter(), Numbers()


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
