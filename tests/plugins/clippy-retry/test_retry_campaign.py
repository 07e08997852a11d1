"""What callers of the official SDKs get of providers with faults: the campaign of ``campaign_faults.py``, in small.

The margins are wide: how many of some hundred requests meet six faults in a row is chance.
"""

from __future__ import annotations

import pytest
from campaign_faults import COLOURS, Campaign
from clippy_breaker import CircuitBreaker
from clippy_fallback import Fallback
from fault_calls import OF_ONE_ROUTE
from fault_provider import MIX, Fates
from sdk_lab import SDK_GENERATORS

pytestmark = [pytest.mark.filterwarnings(warning) for warning in SDK_GENERATORS]


@pytest.mark.parametrize("colour", COLOURS)
def test_transient_faults_are_repaired_and_others_sent_once(colour: str) -> None:
    """Nine of ten requests that met a fault are answered at the least, at three faults in ten attempts."""
    ran = Campaign(colour, 300, Fates("small", 0.3, final_share=0.1), more={"breaker": CircuitBreaker()}).run()
    assert not ran.odd
    assert ran.success > 0.97
    assert ran.recovered > 0.9
    assert set(ran.fates.kinds) == set(MIX), "every fault was met"
    assert ran.finals, "some requests met a failure that no repetition helps"
    assert set(ran.finals) == {1}


def test_the_bare_sdks_repair_less_and_repeat_spent_quotas() -> None:
    """What the campaign compares with."""
    bare = Campaign("threads", 300, Fates("small", 0.3, final_share=0.1), more=None).run()
    assert bare.recovered < 0.95
    assert max(bare.finals) > 1


def test_bursts_are_left_by_another_route() -> None:
    """The first route's retries end soon, and the second has its own budget."""
    more = {"breaker": CircuitBreaker(), "fallback": Fallback(routes=("second",))}
    ran = Campaign("threads", 500, Fates("small", 0.2, burst=True), more=more).run()
    assert ran.success > 0.98
    assert set(ran.finals) == {1}


def test_over_sockets() -> None:
    """The same with real connections, and a read timeout now and then."""
    ran = Campaign("asyncio", 60, Fates("small", 0.3, rests=0.02), loopback=True).run()
    assert not ran.odd
    assert ran.success > 0.9
    assert set(ran.finals) <= {1}


def test_an_outage_costs_the_budget_or_what_opens_a_breaker() -> None:
    """Two hundred calls: twenty retries with the budget alone; with a breaker few attempts in all."""
    alone = Campaign("threads", 200, Fates("down", 1.0, outage=True), calls=OF_ONE_ROUTE).run()
    assert alone.fates.attempts == 220
    breaker = {"breaker": CircuitBreaker()}
    held = Campaign("threads", 200, Fates("down", 1.0, outage=True), more=breaker, calls=OF_ONE_ROUTE).run()
    assert held.fates.attempts <= 40
    assert not held.answered
