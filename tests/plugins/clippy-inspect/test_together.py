"""What one worker learns of the others: all of it, as often as it looks, and who is missing."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, evolve, field
from clippy_hookspecs import Headers, Scope, StatusTable
from clippy_hookspecs.services import RawRequest
from clippy_inspect import telling, together
from clippy_inspect.conversations import conversations
from clippy_inspect.door import Door
from clippy_inspect.pace import Pace
from clippy_inspect.site import all_pages
from clippy_inspect.streams import stream
from clippy_inspect.telling import Telling
from clippy_inspect.together import Together
from clippy_inspect.view import View
from clippy_recorder.documents import line as document_line
from inspect_world import Kept, exchange, retried, streamed


@pytest.fixture
def anyio_backend() -> str:
    """A gateway's event loop is asyncio's."""
    return "asyncio"


@define(eq=False)
class Told:
    """Siblings that ask each other without a socket.

    ``away`` are those that do not answer, ``in_time`` so many answers come before the time is over, ``slow`` holds back
    what is told of calls until it is set.
    """

    tellings: dict[int, Telling]
    place: int = 0
    count: int = 2
    away: set[int] = field(factory=set)
    in_time: int = 1000
    strange: bool = False
    waits: list[float] = field(factory=list)
    asked: list[str] = field(factory=list)
    slow: asyncio.Event | None = None

    @property
    def others(self) -> tuple[int, ...]:
        return tuple(place for place in range(self.count) if place != self.place)

    async def ask(self, place: int, what: str, said: bytes, within: float) -> bytes | None:
        self.asked.append(what)
        self.waits.append(within)
        self.in_time -= 1
        if place in self.away or self.in_time < 0:
            return None
        if self.strange:
            return b"{}"
        answering: Callable[[bytes], Awaitable[bytes]] = getattr(self.tellings[place], what)
        told = await answering(said)
        if self.slow is not None and what == "calls":
            await self.slow.wait()
        return told


@define(eq=False)
class Flow:
    state: str = "streaming"

    def pause(self) -> None:
        self.state = "paused"


@define(eq=False)
class Pair:
    """Worker 1, which looks at worker 2."""

    own: Kept = field(factory=lambda: Kept([exchange(1)]))
    theirs: Kept = field(factory=lambda: Kept([exchange(2)]))
    told: Told = field(init=False)
    sees: Together = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.told = Told({1: Telling(self.theirs, Pace(), lambda: None)})
        siblings: Any = self.told
        self.sees = Together(self.own, Pace(), siblings)

    async def ids(self) -> list[str]:
        """What is shown after another look, however short ago the last one was."""
        self.sees._rest = -1.0
        await self.sees.look()
        return [one.id for one in self.sees.latest(500)]


async def test_calls_of_all_are_in_the_order_in_which_they_began() -> None:
    pair = Pair(Kept([exchange(1), exchange(3)]), Kept([exchange(2), exchange(4)]))
    assert await pair.ids() == ["req-0001", "req-0002", "req-0003", "req-0004"]
    assert [one.id for one in pair.sees.latest(2)] == ["req-0003", "req-0004"]
    assert [one.id for one in pair.sees.latest(2, "req-0003")] == ["req-0001", "req-0002"]
    assert pair.sees.find("req-0004") == exchange(4)
    assert pair.sees.find("req-0005") is None
    assert pair.sees.missing == ()


async def test_what_is_over_is_told_once_and_what_runs_each_time() -> None:
    running = exchange(3, state="running", status=None)
    pair = Pair(theirs=Kept([exchange(2), running], {running.id: Flow()}))
    await pair.ids()
    assert pair.sees.flow_elsewhere(running.id) == "streaming"
    known = json.dumps([["req-0002"], []]).encode()
    told = (await pair.told.tellings[1].calls(known)).splitlines()
    assert [json.loads(line)["id"] for line in told[1:]] == [running.id]
    pair.theirs.put(exchange(3))
    await pair.ids()
    assert pair.sees.find(running.id) == exchange(3)


async def test_a_long_stream_that_runs_is_told_by_its_words_and_whole_when_it_is_opened() -> None:
    """Of 2,100 pieces a look was told all each time: 300 such streams were 67 MB."""
    question = b"0123456789" * 500
    going = streamed(3, ("It rains. ",) * 700, state="running", status=None)
    going = evolve(going, came=evolve(going.came, body=question))
    pair = Pair(theirs=Kept([going], {going.id: Flow()}))
    await pair.ids()
    shown = pair.sees.find(going.id)
    assert shown is not None
    assert stream(going, "streaming") == stream(shown, "streaming")
    assert conversations([going])[0].turns[0].answer == conversations([shown])[0].turns[0].answer != ""
    asked = json.dumps(next(iter(pair.sees._copies.values())).question(())).encode()
    again = await pair.told.tellings[1].calls(asked)
    assert len(again) < 10_000 < len(document_line(going)) / 10
    await pair.ids()
    assert pair.sees.find(going.id) == shown, "with what was asked, which is told once"
    assert await pair.sees.whole(going.id) == going
    pair.told.away.add(1)
    assert await pair.sees.whole(going.id) == shown


async def test_a_live_stream_says_which_request_it_is_whose_and_where_it_runs() -> None:
    mine, there = (streamed(number, state="running", scope=Scope("shop", f"ada-{number}")) for number in (2, 3))
    pair = Pair(Kept([mine], {mine.id: Flow()}), Kept([there], {there.id: Flow()}))
    view = View(pair.sees, others=pair.sees)
    pages = {page: handler for method, page, handler in all_pages(view, Door()) if method == "GET"}
    page, api = [await pages[path](RawRequest("GET", path, Headers({}), b"")) for path in ("/streams", "/api/streams")]
    assert isinstance(page.body, bytes)
    assert isinstance(api.body, bytes)
    for number, (request, worker) in enumerate([(mine, "worker 1"), (there, "worker 2")], 2):
        for said in (request.id, f"tenant shop, user ada-{number}", worker):
            assert said in page.body.decode()
    assert [(there.id, "tenant shop, user ada-3", "worker 2"), (mine.id, "tenant shop, user ada-2", "worker 1")] == [
        (one["id"], one["caller"], one["worker"]) for one in json.loads(api.body)["streams"]
    ]


async def test_what_a_running_call_sent_in_another_attempt_is_told_once_it_is_there() -> None:
    going = retried(3, state="running", status=None)
    pair = Pair(theirs=Kept([evolve(going, attempts=going.attempts[:1])]))
    await pair.ids()
    pair.theirs.exchanges = [going]
    for _ in range(2):
        await pair.ids()
        shown = pair.sees.find(going.id)
        assert shown is not None
        assert (going.came, going.attempts) == (shown.came, shown.attempts)


async def test_more_than_fits_into_one_answer_is_asked_for_until_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "BATCH", 1)
    pair = Pair(theirs=Kept([exchange(number, state="running") for number in range(2, 12)]))
    assert 11 == len(await pair.ids())
    assert pair.sees.missing == ()


async def test_what_does_not_come_in_time_is_said_and_comes_with_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "BATCH", 1)
    pair = Pair(theirs=Kept([exchange(number) for number in range(2, 7)]))
    shown = []
    for _ in range(3):
        pair.told.in_time = 2
        shown.append((len(await pair.ids()), pair.sees.missing))
    more = ("Worker 2 has more to show than it could tell yet.",)
    assert [(3, more), (5, more), (6, ())] == shown


async def test_each_has_its_turn_where_more_goes_on_than_can_be_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that run are told again with each look, and would never leave time for the others."""
    monkeypatch.setattr(telling, "BATCH", 1)
    pair = Pair(theirs=Kept([exchange(2), *(exchange(number, state="running") for number in range(3, 6))]))
    for model in ("first", "second"):
        pair.theirs.exchanges = [evolve(one, model=model) for one in pair.theirs.exchanges]
        for _ in range(2):
            pair.told.in_time = 2
            await pair.ids()
        running = [one.model for one in pair.sees.latest() if one.state == "running"]
        assert (5, [model] * 3) == (len(pair.sees.latest()), running)


async def test_of_a_worker_that_does_not_answer_only_what_was_over_is_shown_and_its_name() -> None:
    running = exchange(3, state="running")
    pair = Pair(theirs=Kept([exchange(2), running], {running.id: Flow()}))
    pair.told.tellings[1].pace.heard("req-0002")
    assert await pair.ids() == ["req-0001", "req-0002", "req-0003"]
    before = sum(rate.per_second or 0.0 for rate in pair.sees.rates())
    pair.told.away.add(1)
    assert await pair.ids() == ["req-0001", "req-0002"]
    assert pair.sees.missing == ("Worker 2 does not answer: what it is doing now is not shown.",)
    assert pair.sees.flow_elsewhere(running.id) is None
    assert pair.sees.find(running.id) is None
    assert before > 0 == sum(rate.per_second or 0.0 for rate in pair.sees.rates())
    assert await pair.sees.act(running.id, "pause") is None
    assert await pair.sees.tables() == []


@pytest.mark.parametrize("path", ["/", "/api/rows", "/streams", "/dashboard", "/profile", "/conversations"])
async def test_every_page_looks_first_and_names_who_is_missing(path: str) -> None:
    pair = Pair()
    view = View(pair.sees, pace=Pace(), others=pair.sees)
    pages = {page: handler for method, page, handler in all_pages(view, Door()) if method == "GET"}
    request = RawRequest("GET", path, Headers({}), b"")
    seen = []
    for away in (set(), {1}):
        pair.told.away, pair.sees._rest = away, -1.0
        body = (await pages[path](request)).body
        assert isinstance(body, bytes)
        seen.append(b"Worker 2 does not answer" in body)
        assert b'id="absent"' in body
    assert [False, True] == seen
    assert "calls" in pair.told.asked


async def test_one_that_does_not_answer_is_not_waited_for_as_long_the_next_time() -> None:
    pair = Pair()
    pair.told.away.add(1)
    await pair.ids()
    await pair.ids()
    assert pair.told.waits == [pytest.approx(together.WITHIN, abs=0.1), pytest.approx(together.BRIEF, abs=0.1)]
    pair.told.away.clear()
    assert await pair.ids() == ["req-0001", "req-0002"]
    assert pair.sees.missing == ()


async def test_one_that_was_started_again_shows_what_it_has_now() -> None:
    pair = Pair()
    await pair.ids()
    pair.told.tellings[1] = Telling(Kept([exchange(7)]), Pace(), lambda: None)
    assert await pair.ids() == ["req-0001", "req-0007"]


async def test_what_cannot_be_told_or_read_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """Such as by a worker of another version, which was installed while the gateway ran."""
    pair = Pair(theirs=Kept([exchange(2), exchange(3, cost=math.nan)]))
    assert await pair.ids() == ["req-0001", "req-0002"]
    assert "req-0003 is not shown by the other workers" in caplog.text
    pair.theirs.put(exchange(5, cost=Decimal("0.1")))
    assert await pair.ids() == ["req-0001", "req-0002"]
    assert caplog.text.count("is not shown by the other workers") == 2, "each once, however often a page looks"
    pair.theirs.put(evolve(exchange(4), state="dreaming"))
    assert await pair.ids() == ["req-0001", "req-0002"]
    assert "a request of worker 2 is not shown" in caplog.text

    pair.told.strange = True
    assert await pair.ids() == ["req-0001", "req-0002"]
    assert pair.sees.missing[0].startswith("Worker 2 does not answer")
    assert "what worker 2 told cannot be read" in caplog.text


async def test_what_a_plugin_shows_of_itself_is_seen_elsewhere_as_it_is_there() -> None:
    @define(eq=False)
    class Spends:
        async def status_tables(self) -> list[StatusTable]:
            spent: Any = Decimal("0.1")
            return [StatusTable("spent", ("usd",), ((spent,),))]

    pair = Pair()
    host: Any = SimpleNamespace(plugins={"spends": Spends()})
    pair.told.tellings[1].host = lambda: host
    assert await pair.sees.tables() == [("spends, worker 2", StatusTable("spent", ("usd",), (("0.1",),)))]


async def test_a_look_that_was_cancelled_is_none_for_those_who_wait() -> None:
    pair = Pair()
    looks = [asyncio.create_task(pair.sees.look()) for _ in range(3)]
    for look in looks[:2]:
        await _until(lambda: pair.sees._lock.locked())
        look.cancel()
        await asyncio.wait([look])
    await looks[2]
    assert [one.id for one in pair.sees.latest()] == ["req-0001", "req-0002"]


async def test_pages_that_are_asked_for_together_look_once() -> None:
    pair = Pair()
    await asyncio.gather(*(pair.sees.look() for _ in range(5)))
    assert pair.told.asked.count("calls") <= 2


@pytest.mark.parametrize("under_way", [False, True], ids=["before", "meanwhile"])
async def test_after_a_stream_was_held_the_next_look_looks_however_long_the_last_one_took(under_way: bool) -> None:
    """That one had been told before: what it was told is no more."""
    going = streamed(3, state="running")
    pair = Pair(theirs=Kept([going], {going.id: Flow()}))
    pair.told.slow = asyncio.Event()
    looking = asyncio.create_task(pair.sees.look())
    await _until(lambda: pair.told.asked == ["calls"])
    if not under_way:
        pair.told.slow.set()
        await looking
    assert "paused" == await pair.sees.act(going.id, "pause")
    pair.told.slow.set()
    await looking
    pair.sees._rest = math.inf
    assert "streaming" == pair.sees.flow_elsewhere(going.id)
    await pair.sees.look()
    assert "paused" == pair.sees.flow_elsewhere(going.id)
    pair.sees._rest = math.inf
    await pair.sees.look()
    assert 2 == pair.told.asked.count("calls"), "and the one after it rests again"


async def test_what_others_told_is_forgotten_when_nobody_looks_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_FORGOTTEN", 0.0)
    pair = Pair()
    await pair.ids()
    await asyncio.sleep(0.01)
    assert [one.id for one in pair.sees.latest()] == ["req-0001"]


async def test_who_listens_hears_of_what_changes_elsewhere_until_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of what changed before, but also of what a worker did that was started meanwhile."""
    monkeypatch.setattr(together, "_PACE", 0.0)
    pair = Pair()
    pair.told.tellings[1].heard("before")
    heard: list[str] = []
    leave = pair.sees.subscribe(heard.append)
    await _until(lambda: len(pair.told.asked) > 1)
    pair.told.tellings[1].heard("after")
    await _until(lambda: heard)
    pair.told.tellings[1] = Telling(pair.theirs, Pace(), lambda: None)
    pair.told.tellings[1].heard("again")
    await _until(lambda: len(heard) > 1)
    leave()
    await asyncio.sleep(0)
    pair.told.tellings[1].heard("later")
    asked = len(pair.told.asked)
    await asyncio.sleep(0.01)
    assert (["after", "again"], asked) == (heard, len(pair.told.asked))
    assert pair.own.listeners == []


async def test_only_the_newest_changes_are_remembered() -> None:
    one = Telling(Kept(), Pace(), lambda: None)
    for number in range(3000):
        one.heard(f"r{number}")
    now, ids = json.loads(await one.changed(b"0"))
    assert (3000, 1000, "r2999") == (now, len(ids), ids[-1])
    assert [3000, []] == json.loads(await one.changed(b"null"))


async def _until(true: Callable[[], object]) -> None:
    for _ in range(2000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came")
