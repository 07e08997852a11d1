"""The profiler: its parts add up, and the slow plugin is named."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import openai
from attrs import define, evolve
from clippy_hookspecs import Chunk, Request, RequestContext, hookimpl
from clippy_inspect.comparing import compared
from clippy_inspect.profiler import as_json, profile, speedscope
from clippy_recorder import Recorder, Step
from hypothesis import given
from hypothesis import strategies as st
from inspect_world import Kept, Site, exchange, retried, streamed

import clippy_core
from clippy_core.testing import FakeProvider, Reply


def test_the_parts_add_up_to_the_time_of_the_requests() -> None:
    """Provider, waits, plugins, and the host itself."""
    made = profile([exchange(1), retried(3), streamed(2)])
    assert made.plugins + made.provider + made.waits + made.host == made.wall
    assert made.waits == 1_000_000_000
    assert made.provider > made.waits > made.plugins


def test_a_slow_plugin_is_named_with_its_reason() -> None:
    """A twentieth of the time and a millisecond of each request; not one that is quick."""
    slow = evolve(
        exchange(1), steps=(Step(90_000, "scanner", "pre_request", "changed", 80_000_000), *exchange(1).steps)
    )
    (sentence,) = profile([slow, slow]).slow
    assert sentence.startswith("scanner takes 10% of the time, 80.0 ms of a request, most of it in pre_request")
    assert profile([exchange(1)]).slow == ()


def test_on_chunk_is_told_for_each_chunk() -> None:
    """The total and its share are those of all of them."""
    (cost,) = profile(
        [evolve(streamed(1), steps=(Step(300_000, "filter", "on_chunk", "changed", 900_000, 300),))]
    ).costs
    assert (cost.calls, cost.total, cost.each.p50) == (300, 900_000, 3000)


spans = st.builds(
    Step, st.integers(-1000, 900_000), st.sampled_from("abc"), st.sampled_from(["pre_request", "on_chunk", "on_error"]),
    st.just("passed"), st.integers(0, 10**9),
)  # fmt: skip


@given(st.lists(spans, max_size=12))
def test_a_flame_graph_opens_and_closes_in_order(steps: list[Step]) -> None:
    """What speedscope asks of an evented profile: times never go back, and each frame is closed by its own name."""
    made = speedscope([evolve(retried(3), steps=tuple(steps)), exchange(4)])
    for one in made["profiles"]:
        stack: list[int] = []
        last = one["startValue"]
        for event in one["events"]:
            assert last <= event["at"] <= one["endValue"]
            last = event["at"]
            if event["type"] == "O":
                stack.append(event["frame"])
            else:
                assert stack.pop() == event["frame"]
        assert not stack
        assert all(frame < len(made["shared"]["frames"]) for frame in [event["frame"] for event in one["events"]])


@define(eq=False)
class Sleeps:
    """Takes its time with each request and each chunk."""

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        time.sleep(0.02)

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
        time.sleep(0.002)


def test_what_was_measured_part_by_part_is_nearly_all_of_the_time() -> None:
    """Against a clock outside, with a plugin that sleeps and a provider that waits."""
    provider = FakeProvider(Reply("one two three four", chunks=4, delay=0.05, chunk_delay=0.005))
    recorder = Recorder(enabled=True)
    host = clippy_core.Host({"sleeps": Sleeps(), "recorder": recorder})
    client = host.wrap(openai.OpenAI(api_key="sk-test", http_client=provider.client(httpx2)))
    messages: Any = [{"role": "user", "content": "Hi"}]
    ask = client.chat.completions.create
    list(ask(model="m", messages=messages, stream=True))  # what is imported at first use is nobody's time
    began = time.perf_counter()
    for _ in range(5):
        list(ask(model="m", messages=messages, stream=True))
    outside = time.perf_counter() - began
    made = profile(recorder.latest()[1:])
    assert made.wall / 1e9 <= outside
    assert made.measured > 0.9
    assert "sleeps" in made.slow[0]
    by_hook = {(cost.plugin, cost.hook): cost for cost in made.costs}
    assert by_hook["sleeps", "on_chunk"].each.p50 > 2_000_000


def test_the_page_and_its_data_say_the_same() -> None:
    """And the flame graph is a file."""
    with Site(Kept([exchange(1), retried(3)])) as site:
        assert "prompt-cache" in site.get("/profile").text
        assert site.get("/api/profile").json() == as_json(profile([exchange(1), retried(3)]))
        graph = site.get("/api/profile/speedscope")
    assert "attachment" in graph.headers["content-disposition"]
    assert len(graph.json()["profiles"]) == 2


def test_two_sets_are_compared_by_what_one_request_costs() -> None:
    """However many there are in each; what changed most comes first, what was not called is not known."""
    slower = evolve(exchange(9), steps=(Step(100, "prompt-cache", "pre_request", "passed", 63_000),))
    changes = {(one.plugin, one.hook): one for one in compared(profile([exchange(1)] * 4), profile([slower] * 2))}
    assert list(changes)[:2] == [("context-window", "compress_context"), ("prompt-cache", "pre_request")]
    more = changes["prompt-cache", "pre_request"]
    assert (more.before, more.now, more.difference, more.times) == (21_000, 63_000, 42_000, 3.0)
    gone = changes["context-window", "compress_context"]
    assert (gone.before, gone.now, gone.difference, gone.times) == (90_000, None, -90_000, None)
    assert changes["", "all"].difference == 0
    assert all(one.now is None for one in compared(profile([exchange(1)]), profile([])))


def test_filters_choose_what_is_profiled_and_compared() -> None:
    """A filter that cannot be read is said, on the page and as data, and nothing it says is taken for markup."""
    with Site(Kept([exchange(1), retried(3), exchange(4, model="llama")])) as site:
        told = site.get("/api/profile?q=model:llama&against=model:gpt-4o").json()
        page = site.get("/profile?q=model:llama&against=model:gpt-4o").text
        wrong = site.get("/profile?q=status:%3Cb%3E").text
        refused = [site.get(f"/api/profile{path}?q=status:abc").status_code for path in ("", "/speedscope")]
        graph = site.get("/api/profile/speedscope?q=model:llama").json()
    assert (told["requests"], len(graph["profiles"])) == (1, 1)
    assert {"guard", "retry"} <= {one["plugin"] for one in told["changes"]}
    assert "Time of one request" in page
    assert 'role="alert"></p>' not in wrong
    assert "<b>" not in wrong
    assert refused == [400, 400]
