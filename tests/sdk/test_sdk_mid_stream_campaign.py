"""The campaign of broken streams, with a few of each kind."""

from __future__ import annotations

import pytest
from campaign_midstream import APIS, COLOURS, FAULTS, QUESTIONS, Plan, campaign, judge, one
from sdk_lab import SDK_GENERATORS

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]


def test_every_stream_is_recovered_raised_exactly_or_joined() -> None:
    well, wrong = campaign(27, seed=7)
    assert wrong == []
    assert well == dict.fromkeys(QUESTIONS, 27)


@pytest.mark.parametrize("repeats", [0, 1, 3, 99])
@pytest.mark.parametrize("fault", range(len(FAULTS)))
def test_it_joins_whatever_is_said_again_and_however_it_broke(fault: int, repeats: int) -> None:
    """At the end of a word, where a model that repeats nothing begins with the next."""
    plan = Plan("one two three four five.", ("one two ", "three ", "four ", "five."), 2, fault, repeats)
    assert judge("joined", plan, one("joined", APIS[fault % 3], COLOURS[repeats % 3], plan)) is None
