"""What the provider says that it read from its cache and wrote to it."""

from __future__ import annotations

from typing import Any

import pytest
from clippy_hookspecs import AttemptRecord, AuditRecord, Usage
from clippy_prompt_cache import Counts, PromptCache
from clippy_prompt_cache.counting import MAX_LINES, Counter

from clippy_core.testing import Bench, Fault, Reply
from clippy_core.testing.contracts.bench import PATHS, body_for

APIS = list(PATHS)


def counted(script: Any, api: str = "openai.chat", *, calls: int = 1, **more: Any) -> tuple[PromptCache, Bench]:
    plugin = PromptCache()
    bench = Bench({"prompt-cache": plugin}, script)
    for number in range(calls):
        bench.post(PATHS[api], body_for(api, f"question {number}", **more))
    bench.close()
    return plugin, bench


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
def test_reads_and_writes_are_summed_by_route_and_model(api: str, stream: bool) -> None:
    more: dict[str, Any] = {"stream": stream}
    if stream and api == "openai.chat":
        more["stream_options"] = {"include_usage": True}
    replies = [Reply("a", usage=Usage(2000, 10, read, 100)) for read in (0, 1536, 1792)]
    plugin, bench = counted(replies, api, calls=3, **more)
    wrote = 0 if api == "openai.chat" else 300  # the fake provider says nothing of writes there
    ((line, counts),) = plugin.statistics().lines.items()
    assert line == (bench.records[0].route, "test-model")
    assert counts == Counts(3, 0, 6000, 3328, wrote)
    assert counts.share == pytest.approx(3328 / 6000)


def test_a_request_of_which_the_provider_said_nothing_is_counted_apart() -> None:
    plugin, _ = counted(Reply("a", usage=Usage(2000, 10, 1500, 0)), stream=True)  # without include_usage
    assert plugin.statistics().total == Counts(1, 1)


def test_an_attempt_that_failed_and_one_that_was_never_made_are_not_counted() -> None:
    plugin, _ = counted([Fault.status(400), Reply("a", usage=Usage(50, 1))], calls=2)
    assert plugin.statistics().total == Counts(1, 0, 50)


def test_answers_from_a_cache_of_ours_are_not_the_providers() -> None:
    from clippy_cache_memory import MemoryCache

    plugin = PromptCache()
    bench = Bench({"prompt-cache": plugin, "cache-memory": MemoryCache()}, Reply("a", usage=Usage(2000, 9, 1500, 0)))
    for _ in range(3):
        bench.post(PATHS["openai.chat"], body_for("openai.chat", "the same", temperature=0))
    bench.close()
    assert [record.outcome for record in bench.records] == ["answered", "cached", "cached"]
    assert plugin.statistics().total == Counts(1, 0, 2000, 1500)


def test_models_beyond_the_most_are_counted_under_their_route_alone() -> None:
    counter, given = Counter(), Usage(5, 1, 2, 1)
    record = AuditRecord("1", "answered", 0.0, 0.1, route="r", attempts=(AttemptRecord(1, "r", 200),), usage=given)
    for number in range(MAX_LINES + 3):
        counter.add(record, f"m{number}")
    counter.add(record, "m0")
    lines = counter.statistics().lines
    assert (len(lines), lines["r", "m0"], lines["r", ""]) == (
        MAX_LINES + 1,
        Counts(2, 0, 10, 4, 2),
        Counts(3, 0, 15, 6, 3),
    )
