"""The plugin: the table that is shipped, one's own file over it, and the settings over both."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from attrs import define, field
from clippy_hookspecs import Clock, Host, Prices, ServiceRegistry, Usage, hookimpl

from .price import Price
from .table import Table, TableError, read_overrides, read_table

_EPOCH = date(1970, 1, 1)
_SECONDS_A_DAY = 86400
_MOST_FOUND = 1024
_LONGEST_NAME = 200


def _absolute(path: Path | str | None) -> Path | None:
    if path is None:
        return None
    path = Path(path).expanduser()
    if not path.is_absolute():
        raise ValueError(f"file must be an absolute path or begin with ~, not {str(path)!r}")
    return path


@define(eq=False)
class PriceList:
    """Offers the ``Prices`` service: what tokens cost, by a dated table of the providers' own list prices."""

    file: Path | None = field(
        default=None,
        converter=_absolute,
        metadata={"doc": "a table of your own (JSON); its models replace the shipped ones of the same names"},
    )
    overrides: dict[str, dict[str, Any]] = field(
        factory=dict, metadata={"doc": "prices by model, over the file and the shipped table"}
    )
    _own: Table = field(init=False, repr=False)
    _table: Table | None = field(init=False, default=None, repr=False)
    _clock: Clock | None = field(init=False, default=None, repr=False)
    _found: dict[tuple[str, int | None], Price | None] = field(init=False, factory=dict, repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    def __attrs_post_init__(self) -> None:
        # Read at once, so that what is wrong with them is a fault of the configuration and not of a request.
        own = Table() if self.file is None else _from_file(self.file)
        self._own = own.replaced_by(read_overrides(self.overrides, "overrides"))

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        """Offers the prices."""
        services.offer(Prices, self)

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        """Goes by the host's clock, and has read the table before an upgrade can take it away."""
        self._clock, _ = host.services.get(Clock), self.table
        yield

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        from .commands import prices_command

        cli.add_command(prices_command(self))

    def cost(self, model: str, usage: Usage) -> float | None:
        """US dollars at today's list price; None where it is not known, which is not the same as free."""
        clock = self._clock
        day = None if clock is None else int(clock.time() // _SECONDS_A_DAY)
        price = self._price(model, day)
        return None if price is None else price.cost(usage)

    @property
    def table(self) -> Table:
        """All prices; the shipped ones are read when a host opens, or somebody asks."""
        with self._lock:
            if self._table is None:
                self._table = _shipped().replaced_by(self._own)
            return self._table

    def after_fork(self) -> None:
        """A lock that another thread held when a process forked would never be given back."""
        self._lock = threading.Lock()

    def _price(self, model: str, day: int | None) -> Price | None:
        """The price of *model* on *day*, counted since 1970.  Remembered: most requests ask for few models."""
        try:
            return self._found[model, day]
        except KeyError:
            price = self.table.price(model, None if day is None else _EPOCH + timedelta(days=day))
        if len(model) <= _LONGEST_NAME:  # the caller chose it
            if len(self._found) >= _MOST_FOUND:
                self._found.clear()
            self._found[model, day] = price
        return price


def _shipped() -> Table:
    import json
    from importlib.resources import files

    text = (files(__package__) / "prices.json").read_text(encoding="utf-8")
    return read_table(json.loads(text), "prices.json")


def _from_file(path: Path) -> Table:
    import json

    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror}); correct file in [plugins.prices]") from None
    except ValueError as error:
        raise TableError(f"{path}: is not JSON: {error}") from None
    return read_table(document, str(path))


__all__ = ["PriceList"]
