"""A plugin that offers a service."""

from __future__ import annotations

from attrs import define, field
from clippy_hookspecs import Prices, ServiceRegistry, Usage, hookimpl


@define(eq=False)
class Plugin:
    """Tells other plugins what tokens cost."""

    input_price: float | None = field(default=None, metadata={"doc": "US dollars for a million tokens that go in"})
    output_price: float | None = field(default=None, metadata={"doc": "US dollars for a million tokens that come out"})

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        """Offer the prices; who needs them asks ``ctx.services.get(Prices)``."""
        services.offer(Prices, self)

    def cost(self, model: str, usage: Usage) -> float | None:
        """US dollars; None while the prices are not set, which is not the same as free."""
        if self.input_price is None or self.output_price is None:
            return None
        return (usage.input * self.input_price + usage.output * self.output_price) / 1_000_000
