"""What a host costs a plain call: by an HTTP client of either module, and by the openai SDK."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.bench import BARE, EVERY, NONE, NOOP, STACK, TIMED

CASES = [BARE, NONE, NOOP, TIMED, EVERY, STACK]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("group", ["call-sync", "call-async", "call-sync-httpx2", "sdk-sync", "sdk-async"])
def test_a_plain_call(measures: Callable[[str, str], None], group: str, case: str) -> None:
    """One call whose question is new, its answer read as JSON or as the SDK's object."""
    measures(group, case)


@pytest.mark.parametrize("case", [BARE, NONE, "with a cache key"])
def test_a_call_of_a_megabyte(measures: Callable[[str, str], None], case: str) -> None:
    """A body of 1 MB passes through, or gets a cache key."""
    measures("big", case)


@pytest.mark.parametrize("case", ["one direct call", "0 implementations", "1 implementations", "5 implementations"])
def test_dispatch_of_a_chunk(measures: Callable[[str, str], None], case: str) -> None:
    """The on_chunk chain by itself."""
    measures("dispatch-chunk", case)


@pytest.mark.parametrize("case", ["one awaited coroutine", "1 implementations", "5 implementations"])
@pytest.mark.parametrize("group", ["dispatch-plain", "dispatch-async"])
def test_dispatch_of_a_fold(measures: Callable[[str, str], None], group: str, case: str) -> None:
    """A folding hook by itself, its implementations plain or async."""
    measures(group, case)
