"""What one model costs, and what one usage costs at that price.

``Usage.input`` counts all input tokens at every provider, those read from and written to the provider's prompt cache
among them: OpenAI counts so itself, for Anthropic the decoder adds up what its API counts apart.  So the tokens at the
full price are what is left of ``input`` without the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from attrs import frozen
from clippy_hookspecs import Json, Usage

_STANDARD: Final = {
    "service_tier": (None, "standard", "default", "auto"),
    "speed": (None, "standard"),
    "inference_geo": (None, "global", "not_available"),
}
"""What a provider's usage may say of how it served a request, and the values under which its list prices hold."""


@frozen
class Rates:
    """US dollars for a million tokens of each kind; None where no price is known."""

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None

    def cost(self, usage: Usage) -> float | None:
        """US dollars; None as soon as there are tokens of a kind that has no price."""
        total = 0.0
        for tokens, rate in zip(_tokens(usage), self.of_kinds, strict=True):
            if tokens:
                if rate is None:
                    return None
                total += tokens * rate
        return total / 1_000_000

    @property
    def of_kinds(self) -> tuple[float | None, ...]:
        """The five rates in the order of their fields."""
        return self.input, self.output, self.cache_read, self.cache_write, self.cache_write_1h


@frozen
class Price:
    """The rates of a model from a day on, with where they were read and when.

    ``model`` is a name, or a pattern in which ``*`` stands for any text.  Prompts of more than ``above`` input tokens
    cost ``long`` for the whole request; without ``long`` their price is not known.  ``source`` is an address,
    ``read`` the day on which it was read; ``valid_from`` is None where the source does not say since when.
    """

    model: str
    rates: Rates
    above: int | None = None
    long: Rates | None = None
    valid_from: date | None = None
    source: str = ""
    read: date | None = None
    note: str = ""

    def cost(self, usage: Usage) -> float | None:
        """US dollars; None where the list prices do not hold or none is known."""
        if not _at_list_price(usage.extra):
            return None
        rates = self.rates
        if self.above is not None and usage.input > self.above:
            if self.long is None:
                return None
            rates = self.long
        try:
            return rates.cost(usage)
        except OverflowError:  # a count beyond every float is no count of tokens
            return None


def _tokens(usage: Usage) -> tuple[int, ...]:
    """Tokens of each kind, in the order of the rates; no count is below zero."""
    read, written = max(0, usage.cache_read), max(0, usage.cache_write)
    split = usage.extra.get("cache_creation")
    # Anthropic's default is five minutes; only its own split tells of an hour.
    hour = min(written, _count(split, "ephemeral_1h_input_tokens")) if isinstance(split, Mapping) else 0
    return max(0, usage.input - read - written), max(0, usage.output), read, written - hour, hour


def _at_list_price(extra: Mapping[str, Json]) -> bool:
    """Whether the provider served this at the prices of its list: not in a batch, faster, elsewhere or as sound."""
    if any(extra.get(name) not in values for name, values in _STANDARD.items()):
        return False
    return not any(
        isinstance(details, Mapping) and _count(details, "audio_tokens")
        for name, details in extra.items()
        if name.endswith("_details")
    )


def _count(value: Mapping[str, Json], name: str) -> int:
    found = value.get(name)
    return found if type(found) is int and found > 0 else 0


__all__ = ["Price", "Rates"]
