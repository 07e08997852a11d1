"""The suite that every plugin must pass."""

from clippy_prices import PriceList

from clippy_core.testing import PluginContract


class TestPriceList(PluginContract):
    def make(self) -> PriceList:
        return PriceList(overrides={"m": {"input": 1.0, "output": 2.0}})
