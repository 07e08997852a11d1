"""Tells other plugins what tokens cost, from a dated price table; a model without a known price costs None, not 0."""

from .list import PriceList
from .price import Price, Rates
from .table import Table, TableError, read_table

__all__ = ["Price", "PriceList", "Rates", "Table", "TableError", "read_table"]
