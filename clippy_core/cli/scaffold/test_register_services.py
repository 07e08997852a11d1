"""Its test."""

from __future__ import annotations

from clippy_hookspecs import Prices, Usage

from .register_services import Plugin
from .trial import trial


def test_the_price_of_tokens_is_a_service() -> None:
    """Unknown until both prices are set."""
    used = Usage(input=1_000_000, output=500_000)
    with trial(Plugin(input_price=2.0, output_price=8.0)) as it:
        assert it.host.services.get(Prices).cost("m", used) == 6.0
    with trial(Plugin()) as it:
        assert it.host.services.get(Prices).cost("m", used) is None
