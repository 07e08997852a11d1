"""The profiler: its parts add up, and the slow plugin is named."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import openai
import pytest
from attrs import asdict, define, evolve
from clippy_errors import ErrorClassifier
from clippy_hookspecs import Chunk, Request, RequestContext, hookimpl
from clippy_inspect.comparing import compared
from clippy_inspect.parts import parts_of
from clippy_inspect.profiler import as_json, profile, speedscope
from clippy_recorder import Attempt, Piece, Recorder, Step
from clippy_retry import RetryPolicy
from clippy_throttle import Throttle
from hypothesis import given
from hypothesis import strategies as st
from inspect_world import Kept, Site, cached, exchange, retried, streamed

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock

ASKED: Any = [{"role": "user", "content": "Hi"}]


def test_the_parts_add_up_to_the_time_of_the_requests() -> None:
    """Provider, waits, plugins, and the host itself."""
    made = profile([exchange(1), retried(3), streamed(2)])
    assert made.parts.wall == made.wall
    assert made.parts.waits == 1_000_000_000
    assert made.parts.provider > made.parts.waits > made.parts.plugins


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


def test_every_second_of_a_stream_has_a_name() -> None:
    """On a clock that only the test moves: a retry, the provider, its chunks, a busy reader, and nothing is left."""
    clock = VirtualClock()
    reply = Reply("one two three", chunks=["one ", "two ", "three"], delay=4.0, chunk_delay=0.5)
    http = FakeProvider([Fault.status(503, retry_after=2), reply], clock=clock).client(httpx2)
    recorder = Recorder(enabled=True)
    host = clippy_core.Host({"errors": ErrorClassifier(), "retry": RetryPolicy(), "recorder": recorder}, clock=clock)
    client = host.wrap(openai.OpenAI(api_key="sk-test", http_client=http))
    began = clock.now()
    for chunk in client.chat.completions.create(model="m", messages=ASKED, stream=True):
        if chunk.choices[0].delta.content:
            clock.advance(3.0)  # what the program does with it
    elapsed = round((clock.now() - began) * 1e9)
    made = profile(recorder.latest())
    parts = made.parts
    assert made.wall == parts.wall == pytest.approx(elapsed, abs=5_000)
    assert parts.waits == pytest.approx(waited := clock.sleeps[0] * 1e9, abs=5_000)
    assert parts.until_answer == pytest.approx(4e9, abs=5e6)
    assert parts.caller == pytest.approx(9e9, abs=5e6)
    # What plugins take is real time, which a busy machine makes longer, and is no part of what the provider took.
    assert parts.between_chunks + parts.plugins == pytest.approx(elapsed - 13e9 - waited, abs=5e6)
    assert parts.host == pytest.approx(0, abs=5e6)


@pytest.mark.parametrize("how", ["paused", "slowed"])
def test_what_holds_a_stream_back_is_not_the_provider(how: str) -> None:
    """Neither a pause nor a rate: while it lasts nothing is read."""
    clock = VirtualClock()
    provider = FakeProvider(Reply("one two three", chunks=["one ", "two ", "three"]), clock=clock)
    recorder = Recorder(enabled=True)
    rate = {"throttle": Throttle(chunks_per_second=0.25)} if how == "slowed" else {}
    host = clippy_core.Host({**rate, "recorder": recorder}, clock=clock, config={"routes": {"main": {"key": "k"}}})
    with host, clippy_core.Client(host, provider.client()) as client, client.stream("Hi", model="m") as stream:
        for _ in stream:
            if how == "paused":
                stream.context.flow.pause()
                clock.advance(4.0)
                stream.context.flow.resume()
    parts = profile(recorder.latest()).parts
    assert parts.caller >= 8_000_000_000
    assert parts.provider < 10_000_000


def test_who_waits_for_an_equal_request_waits_for_nothing_of_the_hosts() -> None:
    """Its time is a wait, whatever the host did meanwhile."""
    shared = {"source": "cache", "by": "dedup", "reason": "flight"}
    parts = parts_of(cached(1, provenance=shared, duration=900_000, steps=()))
    assert (parts.waits, parts.host) == (900_000_000, 0)


whole_times = st.integers(0, 2_000_000)
attempts = st.builds(
    lambda at, head, end, waited, state: Attempt(1, "main", at, head_at=head, ended_at=end, waited=waited, state=state),
    whole_times, st.none() | whole_times, st.none() | whole_times, whole_times, st.sampled_from(["ok", "error", ""]),
)  # fmt: skip
pieces = st.builds(Piece, whole_times, st.sampled_from(["bytes", "chunk_in", "chunk_out"]))


@given(st.lists(attempts, max_size=3), st.lists(pieces, max_size=6), st.lists(spans, max_size=4), whole_times)
def test_the_parts_are_the_whole_whatever_the_clocks_say(
    tried: list[Attempt], came: list[Piece], steps: list[Step], unread: int
) -> None:
    """No part is less than nothing, and together they are the request's time."""
    told = exchange(1, attempts=tuple(tried), pieces=tuple(came), steps=tuple(steps), unread=unread)
    parts = parts_of(told)
    assert parts.wall == (told.duration or 0) * 1000
    assert min(asdict(parts).values()) >= 0


def test_what_was_measured_part_by_part_is_the_time_that_a_clock_outside_saw() -> None:
    """Real time, with a plugin that sleeps, a provider that waits, and a reader who takes his time."""
    provider = FakeProvider(Reply("one two three four", chunks=4, delay=0.05, chunk_delay=0.005))
    recorder = Recorder(enabled=True)
    host = clippy_core.Host({"sleeps": Sleeps(), "recorder": recorder})
    client = host.wrap(openai.OpenAI(api_key="sk-test", http_client=provider.client(httpx2)))
    ask = client.chat.completions.create
    began, chunks = time.perf_counter(), 0
    for _ in range(5):
        for _ in ask(model="m", messages=ASKED, stream=True):
            time.sleep(0.003)
            chunks += 1
    outside = time.perf_counter() - began
    made = profile(recorder.latest())
    print(f"parts {made.parts.wall / 1e9:.4f} s of {outside:.4f} s, measured {made.measured:.1%}: {made.parts}")
    assert made.parts.wall == made.wall
    assert made.wall / 1e9 <= outside
    # A busy machine makes each of them longer, and what is the host's as well: none can be shorter than what it waits.
    parts, least = made.parts, 5 * 0.05e9
    assert parts.until_answer >= least
    assert parts.plugins >= 5 * 0.02e9 + chunks * 0.002e9
    assert parts.caller >= chunks * 0.003e9 - 1e6
    assert parts.between_chunks > 0
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


def test_the_hooks_of_a_plugin_are_added_up_and_the_dearest_plugin_is_named_first() -> None:
    """With what it takes of a request and of a chunk; below a twentieth of the time nothing is called slow."""
    steps = (
        Step(100, "quick", "pre_request", "passed", 2_000_000),
        Step(200, "dear", "pre_request", "passed", 3_000_000),
        Step(300, "dear", "on_chunk", "passed", 9_000_000, 9),
    )
    made = profile([exchange(1, steps=steps, duration=100_000), exchange(2, steps=(), duration=100_000)])
    dear, quick = made.plugins
    assert (dear.name, dear.total, dear.each, dear.share) == ("dear", 12_000_000, 6_000_000, 0.06)
    assert (dear.worst, dear.calls, dear.chunk) == ("on_chunk", 9, 1_000_000)
    assert (quick.name, quick.chunk) == ("quick", None)
    assert made.slow == ("dear takes 6% of the time, 6.0 ms of a request, most of it in on_chunk (9 calls)",)
    with Site(Kept([exchange(1, steps=steps[:1], duration=100_000)])) as site:
        assert "quick takes most: 2.0 ms of one, 2.0 % of the time." in site.get("/profile").text
