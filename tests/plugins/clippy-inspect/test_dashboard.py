"""What the dashboard adds up, by hand and as a page."""

from __future__ import annotations

import asyncio
import html
import re
import statistics
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from attrs import evolve
from clippy_hookspecs import Headers, Scope, StatusTable
from clippy_hookspecs.services import RawRequest
from clippy_inspect.attention import alarms
from clippy_inspect.dashboard import MOST_GROUPS, OTHERS, as_json, group, groups, summed
from clippy_inspect.door import Door
from clippy_inspect.live import what
from clippy_inspect.site import all_pages
from clippy_inspect.spreads import quantile, spread
from clippy_inspect.tables import tables_of
from clippy_inspect.view import View
from clippy_recorder import Exchange
from clippy_recorder.filter import written
from hypothesis import given
from hypothesis import strategies as st
from inspect_world import BEGAN, Kept, Site, cached, exchange, failed, retried, streamed


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed(values: list[int], share: float) -> None:
    """The nearest rank, as its definition says."""
    found = quantile(sorted(values), share)
    assert found is not None
    assert sum(value <= found for value in values) >= share * len(values)
    smaller = [value for value in values if value < found]
    assert len(smaller) < share * len(values)


def test_nothing_has_no_quantile() -> None:
    """And is no zero."""
    assert (spread([]).p50, spread([None]).p99, spread([None]).count) == (None, None, 0)
    assert spread([5]).p50 == statistics.median([5])


def test_a_cost_that_is_not_known_makes_the_sum_unknown() -> None:
    """A part of a sum is no sum; what a cache answered cost nothing."""
    priced, unpriced = exchange(1, cost=0.5), exchange(2, cost=None)
    assert group("m", [priced, priced]).cost == 1.0
    assert (group("m", [priced, unpriced]).cost, group("m", [priced, unpriced]).unpriced) == (None, 1)
    assert group("m", [priced, cached(3, cost=None)]).cost == 0.5
    assert group("m", [priced, failed(4)]).cost == 0.5


def test_an_answer_that_was_ended_half_way_is_not_free() -> None:
    """Its price is known to nobody; that of one which never began is nothing."""
    ended = streamed(1, state="cancelled", usage=None, cost=None)
    assert (group("m", [ended]).cost, group("m", [ended]).unpriced) == (None, 1)
    assert group("m", [evolve(ended, first_token=None)]).cost == 0
    assert group("m", [exchange(2, state="refused", cost=0.5)]).cost == 0.5


def test_tokens_that_a_cache_gave_are_not_counted_again() -> None:
    """They were paid for once; every page says the same."""
    assert group("m", [exchange(1), cached(2)]).tokens_in == 1200
    with Site(Kept([cached(2)])) as site:
        [line] = site.get("/api/requests").json()["requests"]
        assert (0, 0) == (line["tokens_in"], line["tokens_out"])
        assert "none: the answer came from a cache" in site.get("/requests/req-0002").text
        assert "0 + 0 tokens so far" in site.get("/conversations/req-0002").text


def test_names_that_callers_choose_are_bounded() -> None:
    """The commonest have a line, the others share one, and nothing is lost."""
    many = [exchange(number, model=f"model-{number}") for number in range(300)] + [exchange(900, model="model-7")]
    lines = groups(many, lambda one: one.model or "")
    assert len(lines) == MOST_GROUPS + 1
    assert (lines[0].name, lines[0].requests) == ("model-7", 2)
    assert lines[-1].name == OTHERS
    assert sum(line.requests for line in lines) == 301


def test_the_sums_of_a_mixed_hour() -> None:
    """Retries, recoveries, hits, refusals, failures, streams and what runs."""
    all_of_them = [
        exchange(1), streamed(2), retried(3), failed(4), cached(5), exchange(6, state="refused", status=403),
        exchange(7, state="running", duration=None),
    ]  # fmt: skip
    board = summed(all_of_them, BEGAN + 10)
    assert (board.total.requests, board.running, board.retried, board.recovered, board.refused) == (6, 1, 1, 1, 1)
    assert (board.total.failed, board.total.saved) == (1, 1)
    assert board.kinds == (("overloaded: http_529", 1),)
    assert board.caches == (("cache-memory", 1),)
    assert board.total.first_token.p50 == 300_400
    assert sum(one.requests for one in board.timeline) == 7
    assert sum(one.failed for one in board.timeline) == 1


def test_what_failed_has_a_time_of_its_own() -> None:
    """Callers who waited for seconds in vain must not be told of milliseconds; without failures nothing is said."""
    quick = [exchange(number, duration=8_500) for number in range(1, 4)]
    slow = [failed(number, duration=7_400_000, status=None) for number in range(4, 7)]
    lost = exchange(7, state="abandoned", duration=None)
    found = as_json(summed([*quick, *slow, lost], BEGAN + 10))["by_model"][0]
    assert found["latency"] == {"count": 3, "p50": 8_500, "p95": 8_500, "p99": 8_500}
    assert found["failed_after"] == {"count": 3, "p50": 7_400_000, "p95": 7_400_000, "p99": 7_400_000}
    cell = '<td class="n">{}</td>'
    with Site(Kept([*quick, *slow])) as site:
        page = site.get("/dashboard").text
        assert f'<th scope="row">Answers</th>{3 * cell.format("8.5 ms")}' in page
        assert f'<th scope="row">Failed after</th>{3 * cell.format("7.40 s")}' in page
        assert '<td class="n" data-label="Failed p95">7.40 s</td>' in page
    with Site(Kept(quick)) as site:
        page = site.get("/dashboard").text
        assert "Failed after" not in page
        assert "Failed p95" not in page


@pytest.mark.parametrize(("complete", "expected"), [(True, 12 / 11.5), (False, None)])
def test_a_rate_is_told_only_for_a_time_that_is_known_whole(complete: bool, expected: float | None) -> None:
    """Of a minute whose beginning was forgotten nothing is known; where there was nothing before, it is shorter."""
    board = summed([exchange(number) for number in range(1, 13)], BEGAN + 12.5, complete=complete)
    rates = {rate.name: rate.per_second for rate in board.rates}
    assert rates["1 min"] == expected
    assert rates["10 s"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("running", "said"),
    [
        ([], "1 request over, 0 running, since"),
        ([exchange(2, state="running")], "1 request over, 1 running, since"),
        ([streamed(2, state="running")], '1 request over, 1 running (<a href="/streams">streamed</a>), since'),
        (
            [exchange(2, state="running"), streamed(3, state="running")],
            '1 request over, 2 running (<a href="/streams">1 streamed</a>), since',
        ),
    ],
)
def test_the_dashboard_speaks_of_streams_where_there_are_any_and_of_times_that_are_not_over_yet(
    running: list[Exchange], said: str
) -> None:
    door, page = Door(80), RawRequest("GET", "/dashboard", Headers({}), b"")
    view = View(Kept([exchange(1), *running]), now=lambda: BEGAN + 41.5)
    handlers = {path: handler for _, path, handler in all_pages(view, door)}
    body = asyncio.run(handlers["/dashboard"](page)).body  # type: ignore[arg-type]  # a handler is a coroutine function
    assert isinstance(body, bytes)
    assert said in body.decode()
    assert "<dt>Over 10 s</dt>" in body.decode()
    assert "<dt>Over 15 min (40 s so far)</dt>" in body.decode()


def test_an_empty_dashboard_is_a_page() -> None:
    """Nothing divides by nothing."""
    with Site(Kept([])) as site:
        assert site.get("/dashboard").status_code == 200
        assert site.get("/profile").status_code == 200
        assert site.get("/conversations").status_code == 200
    assert as_json(summed([], 1.0))["since"] is None


def test_a_list_of_models_is_no_call_of_a_model() -> None:
    """A client that asks for it with each start is quick, and would make models look so."""
    asked = exchange(1, duration=2_000_000)
    lists = [exchange(n, method="GET", url="https://x.test/v1/models", model=None, duration=9) for n in (2, 3, 4)]
    board = summed([asked, *lists, exchange(5, method="GET", state="running", duration=None)], BEGAN + 8)
    assert (board.total.requests, board.total.latency.p50, board.running) == (1, 2_000_000, 0)
    assert [(one.name, one.requests, one.latency.p50) for one in board.others] == [("GET /v1/models", 3, 9)]
    assert [one.name for one in board.by_model] == [asked.model]
    assert sum(one.requests for one in board.timeline) == 1
    assert (1 / 7, 7) == (board.rates[0].per_second, board.rates[0].over)


AT = "https://x.test/v1"


@pytest.mark.parametrize(
    ("url", "generating"),
    [
        *((url, True) for url in (
            f"{AT}/chat/completions", f"{AT}/completions/", f"{AT}/responses", "/main/v1/messages?see=https://x.test/y",
            "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=1", f"{AT}/images/edits",
            f"{AT}/audio/transcriptions", f"{AT}/threads/t1/runs", "http://127.0.0.1:11434/api/generate",
            "https://g.test/v1beta/models/gemini-2:streamGenerateContent", "https://b.test/model/m:0/converse-stream",
            "https://v.test/publishers/anthropic/models/claude:rawPredict",
            f"{AT}/threads/t1/runs/r1/submit_tool_outputs", "https://v.test/models/imagen-4:predict", "https://v.test/models/veo-3:predictLongRunning",
            "https://api.mistral.ai/v1/conversations", "https://api.mistral.ai/v1/conversations/c1",
            "https://c.test/client/v4/accounts/a/ai/run/@cf/meta/llama-3", "https://r.test/v1/predictions",
            "https://r.test/v1/models/meta/llama/predictions", "http://127.0.0.1:8080/completion",
        )),
        *((url, False) for url in (
            f"{AT}/files", f"{AT}/uploads/u1/parts", f"{AT}/batches", f"{AT}/messages/batches", f"{AT}/embeddings",
            f"{AT}/messages/count_tokens", f"{AT}/responses/input_tokens", f"{AT}/responses/r1/cancel",
            f"{AT}/moderations",
            f"{AT}/threads/t1/messages", f"{AT}/conversations/c1/items", f"{AT}/evals/e1/runs", f"{AT}/vector_stores",
            "https://g.test/v1beta/models/gemini-2:countTokens", "https://v.test/models/count-tokens:rawPredict",
            "https://api.openai.test/v1/conversations", "https://v.test/v1/models/text-embedding-005:predict",
            "https://c.test/client/v4/accounts/a/ai/run/@cf/baai/bge-m3", "https://r.test/v1/predictions/p/cancel",
            "http://chat", "http://[/v1/files", "",
        )),
    ],
)  # fmt: skip
def test_only_what_asks_a_model_to_generate_is_a_call_of_one(url: str, generating: bool) -> None:
    """A posted file names no model, and one that embeds or counts is quicker than any that writes."""
    posted = exchange(1, url=url)
    board = summed([posted], BEGAN + 8)
    assert (generating, not generating) == (board.total.requests == 1, len(board.others) == 1)
    assert generating == (what(posted) == "openai.chat") != what(posted).startswith("POST ")
    assert not summed([evolve(posted, method="GET")], BEGAN + 8).by_model


def test_the_profile_is_of_what_generates_unless_a_filter_says_otherwise() -> None:
    upload = exchange(2, api="", model=None, url=f"{AT}/files")
    with Site(Kept([exchange(1), upload])) as site:
        paths = ("/api/profile", "/api/profile?q=url:*files", "/api/profile?q=-generating")
        assert [1, 1, 1] == [site.get(path).json()["requests"] for path in paths]
        assert 2 == site.get("/api/profile?q=ms:>0").json()["requests"]
        assert '<span class="quiet">POST /v1/files</span>' in site.get("/").text


class Gate:
    """Turns away before anything is a request, as a gateway does."""

    async def status_tables(self) -> list[StatusTable]:
        columns = ("status", "code", "key", "requests")
        rows = ((401, "invalid_api_key", "#3f", 3), (401, "invalid_api_key", "#77", 1), (413, "too_large", "shop", 2))
        return [StatusTable("refusals of the gateway", columns, (*rows, (None, "stalled", "shop", 9)))]


def test_what_a_gateway_turns_away_is_refused_too_and_a_table_says_why() -> None:
    guarded = exchange(1, state="refused", status=403, error={"category": "policy", "kind": "secret_in_prompt"})
    gate: Any = SimpleNamespace(plugins={"gateway": Gate()})
    with Site(Kept([guarded, exchange(2)]), host=gate) as site:
        told = site.get("/api/dashboard").json()
        page = site.get("/dashboard").text
    assert (told["refused"], told["refusals"]) == (
        7,
        {"401 invalid_api_key": 4, "413 too_large": 2, "policy: secret_in_prompt": 1},
    )
    assert "<dt>Refused</dt><dd>7</dd>" in page
    assert '<th scope="row" class="wrap">401 invalid_api_key</th><td class="n">4</td>' in page


class Full:
    """A log whose disk is full, or was."""

    def __init__(self, seconds: int | None) -> None:
        self.seconds = seconds

    async def status_tables(self) -> list[StatusTable]:
        row = ("/var/calls.jsonl", "No space left on device", self.seconds, 3)
        return [StatusTable("not written", ("file", "why", "for, s", "calls lost"), (row,))]


def test_what_cannot_be_written_stands_above_all_numbers_while_that_lasts() -> None:
    plugins: dict[str, Any] = {"recorder": Full(20), "audit": Full(None)}
    with Site(Kept([exchange(1)]), host=SimpleNamespace(plugins=plugins)) as site:  # type: ignore[arg-type]
        told = site.get("/api/dashboard").json()["plugins"]
        page = site.get("/dashboard").text
    assert [one["rows"][0][2] for one in told] == [20, None]
    said = "recorder cannot write /var/calls.jsonl: No space left on device, for 20 s now; calls lost: 3"
    alarms = page.partition("Look at this first")[2].partition("</ul>")[0]
    assert alarms.count("<li") == 1
    assert said in alarms


class Breaker:
    """Shows a table."""

    async def status_tables(self) -> list[StatusTable]:
        return [StatusTable("breakers", ("route", "state", "open for, s"), (("main", "open", 3.5),))]


class Broken:
    """Cannot say how it is doing."""

    async def status_tables(self) -> list[StatusTable]:
        raise RuntimeError("no store, and a secret in the message")


class Hosting:
    @property
    def plugins(self) -> dict[str, Any]:
        return {"breaker": Breaker(), "broken": Broken(), "other": object()}


@pytest.mark.anyio
async def test_plugins_say_how_they_are_doing_and_one_that_cannot_says_that() -> None:
    """The others are shown all the same; its message is not."""
    found = await tables_of(Hosting())  # type: ignore[arg-type]
    assert [name for name, _ in found] == ["breaker", "broken"]
    assert found[1][1] == "could not tell: RuntimeError"
    assert as_json(summed([], 1.0), found)["plugins"][0]["rows"] == [["main", "open", 3.5]]


def test_the_page_has_every_number_of_its_chart_in_a_table() -> None:
    """And escapes what callers chose."""
    evil: Exchange = exchange(1, model="<script>alert(1)</script>", scope=Scope(tenant="<b>x</b>"))
    with Site(Kept([evil, evolve(failed(2), route="<i>")])) as site:
        text = site.get("/dashboard").text
        told = site.get("/api/dashboard").json()
    assert "<script>alert" not in text
    assert "<b>x" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert told["total"]["requests"] == 2
    assert text.count("<tr><td>") >= len(told["timeline"])


def test_a_cost_of_which_not_all_is_known_says_what_it_is_at_least() -> None:
    with Site(Kept([exchange(1, cost=0.5), exchange(2, cost=None)])) as site:
        told, page = site.get("/api/dashboard").json(), site.get("/dashboard").text
    assert (told["total"]["cost"], told["total"]["priced"], told["by_model"][0]["priced"]) == (None, 0.5, 0.5)
    assert (
        page.count('<span class="quiet">at least</span> <span class="nowrap">$ 0.5000</span>') == 4
    )  # in all, and by model, route and tenant


def test_a_line_leads_to_the_requests_that_it_is_of() -> None:
    """As many as it says, whatever signs are in a name; what cannot stand in an address leads nowhere."""
    names = ["gpt-4o", 'a "b" \\ c:*', "zwei\nlines", "日本", "\ud800", "x" * 2000]
    calls = [failed(number, model=name) for number, name in enumerate(names * 2, 1)]
    calls += [exchange(50, model="gpt-4o", url="https://api.example/v1/embeddings"), streamed(51, state="running")]
    with Site(Kept(calls)) as site:
        page = html.unescape(site.get("/dashboard").text)
        for place, name in enumerate(names):
            lead = f"/?q={quote(q + ' generating -running failed')}" if (q := written(model=name)) else ""
            assert (lead != "") is (place < 4)
            if lead:
                assert f'href="{lead}"' in page
                assert len(site.get("/api/requests" + lead[1:]).json()["requests"]) == 2
        for lead in re.findall(r'href="(/\?q=[^"]+)"', page):
            assert site.get("/api/requests" + lead[1:]).json()["requests"], lead


OPEN = ("openai.chat at https://x", None, "open", 12.5, 9, "9 failures in a row")


@pytest.mark.parametrize(
    ("exchanges", "tables", "said"),
    [
        ([exchange(1)], [], []),
        ([exchange(1), failed(2)], [], ["1 request of the last 5 minutes failed, 50% of them all"]),
        ([failed(1, began=BEGAN - 900), exchange(2)], [], []),
        ([*map(exchange, range(1, 60)), failed(60)], [], []),
        ([], [OPEN], ["the breaker of openai.chat at https://x is open: 9 failures in a row"]),
        ([], [("a", "m", "half_open", None, 0, None)], ["the breaker of a, m is half open"]),
        ([], [("a", None, "closed", None, 0, None)], []),
        ([], "could not tell: OSError", ["breaker could not tell: OSError"]),
        (
            [],
            [OPEN] * 10,
            [*["the breaker of openai.chat at https://x is open: 9 failures in a row"] * 8, "and 2 more"],
        ),
    ],
)
def test_what_is_wrong_is_said_first(exchanges: list[Exchange], tables: Any, said: list[str]) -> None:
    """A breaker that keeps requests away, a plugin that cannot tell, and failures of now: not of an hour ago."""
    columns = ("route", "model", "state", "open for, s", "failures in a row", "why")
    shown = tables if isinstance(tables, str) else StatusTable("breakers", columns, tuple(tables))
    assert [one.said for one in alarms(exchanges, [("breaker", shown)], BEGAN + 60)] == said


def test_each_span_of_time_has_the_latency_of_what_was_answered_in_it() -> None:
    calls = [exchange(1, duration=10), exchange(1, duration=30), failed(1, duration=900), exchange(3, duration=5)]
    told = as_json(summed(calls, BEGAN + 4))["timeline"]
    assert told == [[BEGAN + 1, 3, 1, 10, 30], [BEGAN + 2, 0, 0, None, None], [BEGAN + 3, 1, 0, 5, 5]]
