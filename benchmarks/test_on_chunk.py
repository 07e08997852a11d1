"""What a host costs a stream of 100 chunks in one burst, with 0, 1 and 5 plugins that look at each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.bench import BARE, STACK

OURS = [f"our client, {count} on_chunk" for count in (0, 1, 5)]


@pytest.mark.parametrize("case", ["httpx, iter_lines + json", "bare openai SDK", *OURS])
@pytest.mark.parametrize("group", ["stream-sync", "stream-async"])
def test_a_stream_by_our_client(measures: Callable[[str, str], None], group: str, case: str) -> None:
    """Our client beside a program without an SDK, which splits the lines and parses the JSON itself."""
    measures(group, case)


@pytest.mark.parametrize("case", [BARE, "0 on_chunk", "1 on_chunk", "5 on_chunk", STACK])
@pytest.mark.parametrize("group", ["sdk-stream-sync", "sdk-stream-async"])
def test_a_stream_under_the_openai_sdk(measures: Callable[[str, str], None], group: str, case: str) -> None:
    """The SDK reads the stream of our transport."""
    measures(group, case)
