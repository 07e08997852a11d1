"""Families as bytes and back: what one worker of a gateway tells another."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from prometheus_client import Metric as Family
from prometheus_client.samples import Exemplar, Sample


def told(families: Iterable[Family]) -> bytes:
    """*families* as JSON."""
    return json.dumps([[one.name, one.documentation, one.type, one.unit, _samples(one)] for one in families]).encode()


def heard(said: bytes) -> list[Family]:
    """What was told.  Raises ValueError, TypeError or LookupError for something else, as of another version."""
    families = []
    for name, doc, kind, unit, samples in json.loads(said):
        family = Family(name, doc, kind, unit)
        family.samples = [_sample(*one) for one in samples]
        families.append(family)
    return families


def together(parts: Iterable[tuple[str, Iterable[Family]]]) -> list[Family]:
    """The families of all workers by name, each sample with the name of its worker as the label ``worker``."""
    found: dict[str, Family] = {}
    for worker, families in parts:
        for one in families:
            family = found.setdefault(one.name, Family(one.name, one.documentation, one.type, one.unit))
            if family.type == one.type:
                family.samples += [line._replace(labels=_with(line.labels, worker)) for line in one.samples]
    return list(found.values())


def _with(labels: dict[str, str], worker: str) -> dict[str, str]:
    """Of other code's metric that has such a label itself, that is renamed as Prometheus does it."""
    if "worker" in labels:
        labels = {("exported_worker" if name == "worker" else name): value for name, value in labels.items()}
    return {**labels, "worker": worker}


def _samples(family: Family) -> list[list[Any]]:
    return [
        [one.name, one.labels, one.value, None if one.exemplar is None else list(one.exemplar[:3])]
        for one in family.samples
    ]


def _sample(name: str, labels: dict[str, str], value: float, exemplar: list[Any] | None) -> Sample:
    return Sample(name, labels, value, None, None if exemplar is None else Exemplar(*exemplar))
