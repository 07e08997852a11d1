"""The metrics that plugins say they make, and the page of them.

A plugin declares them as a class attribute without an annotation, so that it is no setting::

    declares_metrics = (("clippy.retries", "{attempt}", "Repetitions on one route."),)

Each is the name, the unit as UCUM writes it, and a sentence.  It is read from the class; nothing of the plugin runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from . import text
from .plain import code, plain, slug

ATTRIBUTE = "declares_metrics"
Metric = tuple[str, str, str]


def declared(cls: Any) -> tuple[tuple[Metric, ...], str]:
    """The metrics that a class declares, and a sentence where what it declares cannot be read."""
    said = inspect.getattr_static(cls, ATTRIBUTE, ())
    if isinstance(said, (tuple, list)) and all(map(_is_metric, said)):
        return tuple((name, unit, what) for name, unit, what in said), ""
    return (), f"Its {ATTRIBUTE} cannot be read: it has to be a tuple of (name, unit, sentence)."


def _is_metric(one: object) -> bool:
    return isinstance(one, (tuple, list)) and len(one) == 3 and all(isinstance(part, str) for part in one)


def metrics_page(plugins: Sequence[Any], place: str) -> str:
    """The page of all of them, by name."""
    rows = sorted(_rows(plugins, place))
    told = text.table(("metric", "unit", "what it counts", "from"), rows) if rows else "No plugin declares a metric."
    return text.page("Metrics", "what plugins declare", "What the installed plugins count and measure.", told)


def _rows(plugins: Sequence[Any], place: str) -> Iterator[tuple[str, str, str, str]]:
    for one in plugins:
        if one.cls is not None:
            for name, unit, what in declared(one.cls)[0]:
                yield code(name), code(unit), plain(what), f"[{plain(one.name)}]({place % slug(one.name)})"
