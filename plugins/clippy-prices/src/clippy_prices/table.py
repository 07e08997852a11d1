"""The price table: its JSON form, and which of its prices is a model's.

A name is looked up as it is; then without the date of its snapshot (``-2025-08-07``, ``-20250929``) or ``-latest``;
then among the patterns, the one with the most text first.  Names of other forms are not guessed at: a router's
``vendor/model``, a fine-tuned ``ft:...`` and a cloud's deployment have prices of their own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

from attrs import evolve, field, fields, frozen

from .price import Price, Rates

_KINDS: Final = tuple(one.name for one in fields(Rates))
_ABOUT: Final = {"model", "above", "long", "valid_from", "source", "read", "note"}
_SNAPSHOT: Final = re.compile(r"-(?:(\d{4})-(\d\d)-(\d\d)|(\d{4})(\d\d)(\d\d)|latest)\Z", re.ASCII)


class TableError(ValueError):
    """A table is not of the form that the README of clippy-prices describes; says which entry and what to write."""


@frozen
class Table:
    """Prices by model name; of one name several with different days, the latest first."""

    prices: Mapping[str, tuple[Price, ...]] = field(factory=dict)

    @classmethod
    def of(cls, prices: Iterable[Price]) -> Table:
        """A table of these prices.  Raises TableError for two of one model from the same day."""
        found: dict[str, list[Price]] = {}
        for price in prices:
            found.setdefault(price.model, []).append(price)
        for model, ones in found.items():
            ones.sort(key=_begins, reverse=True)
            if len({_begins(one) for one in ones}) < len(ones):
                raise TableError(f"{model!r} has two prices from the same day: give each its own valid_from")
        return cls({model: tuple(ones) for model, ones in found.items()})

    def replaced_by(self, other: Table) -> Table:
        """This table with the models of *other*, which replace all that is said here of the same names."""
        return Table({**self.prices, **other.prices})

    def of_model(self, model: str) -> tuple[Price, ...]:
        """The prices that hold for *model*, the latest first; none where nothing is known of it."""
        exact = self.prices.get(model) or self.prices.get(family(model))
        if exact:
            return exact
        fitting = [name for name in self.prices if "*" in name and _fits(name, model)]
        # Of two patterns as long as each other the first by alphabet, so that it is always the same one.
        return self.prices[min(fitting, key=lambda name: (name.count("*") - len(name), name))] if fitting else ()

    def price(self, model: str, day: date | None) -> Price | None:
        """The price of *model* on *day*; None for a day asks for the latest."""
        return next((one for one in self.of_model(model) if day is None or _begins(one) <= day), None)


def family(model: str) -> str:
    """*model* without the date of its snapshot or ``-latest``; as it is where that is no date."""
    found = _SNAPSHOT.search(model)
    if found is None:
        return model
    parts = [int(part) for part in found.groups() if part is not None]
    try:
        if parts:
            date(*parts)
    except ValueError:
        return model
    return model[: found.start()]


def read_table(document: Any, where: str) -> Table:
    """The table of a JSON document, which *where* names in errors.  Raises TableError."""
    if not isinstance(document, Mapping) or not isinstance(document.get("prices"), list):
        raise TableError(f'{where}: expected {{"prices": [...]}}')
    try:
        return Table.of(_price(entry, f"{where}: price {number}") for number, entry in enumerate(document["prices"], 1))
    except TableError as error:
        text = str(error)
        raise TableError(text if text.startswith(where) else f"{where}: {text}") from None


def read_overrides(overrides: Mapping[str, Mapping[str, Any]], where: str) -> Table:
    """The table of a mapping from model to its entry without ``model``.  Raises TableError."""
    return Table.of(_price({**entry, "model": model}, where) for model, entry in overrides.items())


def _price(entry: Any, where: str) -> Price:
    if not isinstance(entry, Mapping):
        raise TableError(f"{where}: expected an object")
    model = entry.get("model")
    if not isinstance(model, str) or not model:
        raise TableError(f"{where}: model must be a name")
    where = f"{where} ({model})"
    _known(entry, {*_KINDS, *_ABOUT}, where)
    above, long = entry.get("above"), entry.get("long")
    if above is not None and (type(above) is not int or above <= 0):
        raise TableError(f"{where}: above must be a number of tokens, not {above!r}")
    if long is not None:
        if above is None or not isinstance(long, Mapping):
            raise TableError(f"{where}: long must be an object of prices, and above say for prompts of how many tokens")
        _known(long, set(_KINDS), f"{where}, long")
    return Price(
        model=model,
        rates=_rates(entry, where),
        above=above,
        long=None if long is None else _rates(long, f"{where}, long"),
        valid_from=_day(entry, "valid_from", where),
        source=_text(entry, "source", where),
        read=_day(entry, "read", where),
        note=_text(entry, "note", where),
    )


def _known(entry: Mapping[str, Any], names: set[str], where: str) -> None:
    for name in entry:
        if name not in names:
            raise TableError(f"{where}: {name!r} is not known; there are {', '.join(sorted(names))}")


def _rates(entry: Mapping[str, Any], where: str) -> Rates:
    rates = Rates()
    for kind in _KINDS:
        value = entry.get(kind)
        if value is None:
            continue
        if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
            raise TableError(f"{where}: {kind} must be US dollars for a million tokens, not {value!r}")
        rates = evolve(rates, **{kind: float(value)})
    return rates


def _day(entry: Mapping[str, Any], name: str, where: str) -> date | None:
    value = entry.get(name)
    if value is None or type(value) is date:  # TOML has dates of its own
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise TableError(f"{where}: {name} must be a day as 2026-11-28, not {value!r}") from None


def _text(entry: Mapping[str, Any], name: str, where: str) -> str:
    value = entry.get(name, "")
    if not isinstance(value, str):
        raise TableError(f"{where}: {name} must be a text, not {value!r}")
    return value


def _begins(price: Price) -> date:
    return price.valid_from or date.min


def _fits(pattern: str, model: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), model, re.DOTALL) is not None


__all__ = ["Table", "TableError", "family", "read_overrides", "read_table"]
