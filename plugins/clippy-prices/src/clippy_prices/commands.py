"""``clippy prices``: the table with its days and sources, or what is known of one model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from attrs import asdict

from .price import Price, Rates

if TYPE_CHECKING:
    from .list import PriceList

_COLUMNS = ("input", "output", "cache read", "write 5m", "write 1h")


def prices_command(prices: PriceList) -> click.Command:
    """Show the price table, or what is known of MODEL: US dollars for a million tokens."""

    @click.command("prices", help=prices_command.__doc__)
    @click.argument("model", required=False)
    @click.option("--json", "as_json", is_flag=True, help="One JSON object for each price.")
    def command(model: str | None, as_json: bool) -> None:
        table = prices.table
        found = [one for name in sorted(table.prices) for one in table.prices[name]]
        if model is not None:
            found = list(table.of_model(model))
            if not found:
                raise click.ClickException(
                    f"the price of {_visible(model)} is not known; give it in overrides or file of [plugins.prices]"
                )
        if as_json:
            for price in found:
                click.echo(json.dumps(asdict(price), default=str))
        elif model is None:
            click.echo(_row("model (US$ / 1M tokens)", *_COLUMNS, "read", "source"))
            for price in found:
                click.echo(_row(price.model, *_amounts(price.rates), _day(price), price.source))
        else:
            click.echo("\n\n".join(_visible(_described(price), keep="\n") for price in found))

    return command


def _described(price: Price) -> str:
    lines = [price.model, "US dollars for a million tokens", *_rated(price.rates)]
    if price.above is not None:
        lines.append(f"prompts of more than {price.above} tokens{'' if price.long else ': not known'}")
        lines += _rated(price.long) if price.long else ()
    lines.append(f"valid from {price.valid_from or 'a day that the source does not tell'}")
    lines.append(f"source: {price.source or 'your own settings'}, read {_day(price)}")
    return "\n".join([*lines, *([price.note] if price.note else ())])


def _rated(rates: Rates) -> list[str]:
    return [f"  {name:<11}{amount:>10}" for name, amount in zip(_COLUMNS, _amounts(rates), strict=True)]


def _amounts(rates: Rates) -> list[str]:
    return ["-" if rate is None else f"{rate:g}" for rate in rates.of_kinds]


def _day(price: Price) -> str:
    return str(price.read or "-")


def _row(*cells: Any) -> str:
    model, *amounts, read, source = (_visible(str(cell)) for cell in cells)
    return f"{model:<26}" + "".join(f"{amount:>11}" for amount in amounts) + f"  {read:<10}  {source}".rstrip()


def _visible(text: str, keep: str = "") -> str:
    """*text* with every character that a terminal would obey, reorder or hide written as an escape."""
    return "".join(
        one if one.isprintable() or one in keep else one.encode("unicode_escape").decode("ascii") for one in text
    )


__all__ = ["prices_command"]
