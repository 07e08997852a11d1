"""The pages, asked over HTTP as a browser or a script asks them: what they say, and that all of it is text."""

from __future__ import annotations

import html.parser
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from attrs import define, evolve
from clippy_breaker import CircuitBreaker
from clippy_cache_memory import MemoryCache
from clippy_hookspecs import ProviderError, Refusal, Request, RequestContext, hookimpl
from clippy_inspect.failures import got
from clippy_inspect.live import bars, row
from clippy_inspect.streams import ending
from clippy_inspect.text import visible
from clippy_recorder import Attempt, Exchange, Message, Recorder, Step
from gateway_world import CALLERS_KEY, World
from hypothesis import given
from hypothesis import strategies as st
from inspect_world import Kept, Site, cached, exchange, failed, retried, streamed
from patience import until

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    kept = Kept([exchange(1), streamed(2), retried(3), failed(4), cached(5)])
    with Site(kept) as made:
        yield made


def words(page: httpx.Response) -> str:
    """What somebody reads on a page."""
    reader = Reader()
    reader.feed(page.text)
    return " ".join(" ".join(reader.texts).split())


class Reader(html.parser.HTMLParser):
    """A page as a browser takes it apart: its text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


# --- what they say ---------------------------------------------------------------------------------------------------


def test_the_live_list_shows_the_newest_first(site: Site) -> None:
    text = site.get("/").text
    assert sorted(range(1, 6), key=lambda n: text.index(f"/requests/req-{n:04}")) == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("colour", ["SDK", "own client"])
def test_what_a_breaker_refused_is_shown_as_its_caller_got_it(colour: str) -> None:
    """Nothing was sent, so no status is known but that of the answer which was made for a caller over HTTP."""
    recorder = Recorder(enabled=True)
    config = {"routes": {"main": {"base_url": "http://fake.test/v1", "key": "k", "model": "m"}}}
    plugins = {"recorder": recorder, "breaker": CircuitBreaker(state="forced_open")}
    provider = FakeProvider(Reply("never"))
    with clippy_core.Host(plugins, config=config) as host:
        if colour == "SDK":
            with host.wrap(provider.client()) as client:
                given = client.post("http://fake.test/v1/chat/completions", json={"model": "m", "messages": []})
            assert 503 == given.status_code
            said = given.json()["error"]["message"]
        else:
            with clippy_core.Client(host, provider.client()) as ours, pytest.raises(ProviderError) as caught:
                ours.chat("Hello")
            said = caught.value.info.message
    assert "forced_open" in said
    assert not provider.requests
    with Site(Kept([*recorder.latest()])) as one:
        [line] = one.get("/api/requests").json()["requests"]
        page = words(one.get(f"/requests/{line['id']}"))
    assert (line["state"], line["status"]) == ("failed", None)
    assert "refused before it was sent" in line["notes"]
    assert (
        f"breaker refused it before it was sent: breaker_open: {said}. "
        "Over HTTP (an SDK, the gateway) its caller got this as status 503, else as an exception."
    ) in page


def refused(hook: str, **changes: Any) -> Exchange:
    """A request that no provider answered."""
    steps = (Step(2_000_000, "breaker", hook, "attemptrefused", 9000),)
    error = {"category": "transient", "kind": "breaker_open", "message": "down", "status": None}
    return failed(1, **{"steps": steps, "error": error, "status": None, **changes})


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (refused("pre_attempt"), "breaker refused it before it was sent: breaker_open: down"),
        (refused("pre_attempt", steps=(Step(9, "breaker", "pre_attempt", "attemptrefused", 9),)), "No answer but the"),
        (refused("pre_request", state="refused", error={"kind": "quota", "status": 429}), "as status 429, else"),
        (refused("pre_request", error={"category": "plugin", "kind": "guard"}), "A plugin failed: guard"),
        (failed(1), "The failure of the last attempt below, with status 529: http_529"),
        (failed(1, state="cancelled"), "There is none."),
    ],
)
def test_who_got_no_answer_got_a_failure(kept: Exchange, said: str) -> None:
    """Which is shown in its place; what was refused first and then sent was not refused."""
    assert said in got(kept)


def test_what_asks_no_model_is_shown_by_its_method_and_path() -> None:
    with Site(Kept([exchange(1, method="GET", url="https://x.test/v1/models", model=None)])) as one:
        assert one.get("/api/requests").json()["requests"][0]["what"] == "GET /v1/models"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("short", "short"), ("seven " * 40, "…" + "seven " * 26), ("x" * 200, "…" + "x" * 160)],
)
def test_the_end_of_a_stream_begins_with_a_word(text: str, shown: str) -> None:
    assert shown == ending(text)


def test_a_filter_leaves_out_what_does_not_fit(site: Site) -> None:
    page = site.get("/?q=status:>=400")
    assert "1 of 5 requests" in words(page)
    assert ["req-0004"] == [one["id"] for one in site.get("/api/requests?q=status:>=400").json()["requests"]]


def test_a_filter_that_cannot_be_read_says_why_and_shows_everything(site: Site) -> None:
    page = site.get("/?q=status:abc")
    assert 'compares numbers, as in status:>=400; "abc" is none' in words(page)
    assert "5 requests" in words(page)
    assert 400 == site.get("/api/requests?q=status:abc").status_code


def test_a_request_says_what_came_what_went_and_what_each_plugin_changed(site: Site) -> None:
    said = words(site.get("/requests/req-0003"))
    for wanted in (
        "rate_limited: slow down (asked to wait 1 s)",
        "after a wait of 1.00 s",
        'added: "content": "How is the weather? Answer in one line."',
        'removed: "content": "How is the weather?"',
        "What now, after the failure?",
        "attempt 2 sent",
    ):
        assert wanted in said


def test_an_export_that_there_is_not_says_why() -> None:
    with Site(Kept([exchange(1, api="")])) as site:
        answer = site.get("/api/requests/req-0001/python")
    assert (answer.status_code, "there is no SDK for this call; export it as curl" in words(answer)) == (404, True)


def test_what_went_out_can_be_had_byte_for_byte() -> None:
    odd = b'{"a":1.0,  "b":"\\u00e9\xff"}'
    sent = Attempt(1, "primary", 5, sent=Message(body=odd, size=len(odd)))
    with Site(Kept([exchange(1, attempts=(sent,))])) as site:
        got = site.get("/api/requests/req-0001/sent/1")
        assert odd == got.content
        assert 'attachment; filename="req-0001-1.body"' == got.headers["content-disposition"]
        assert '{"a":1.0,  "b":"\\u00e9\\xff"}' in "".join(_texts(site.get("/requests/req-0001")))
        assert 404 == site.get("/api/requests/req-0001/sent/2").status_code


def _texts(page: httpx.Response) -> list[str]:
    reader = Reader()
    reader.feed(page.text)
    return reader.texts


def test_every_time_of_the_picture_is_in_the_table(site: Site) -> None:
    said = words(site.get("/requests/req-0002"))
    for piece in site.source.exchanges[1].pieces:
        assert f"{piece.at / 1000:.0f} ms" in said


def test_a_cached_answer_says_from_where(site: Site) -> None:
    assert "The answer came from the cache (cache-memory), 12.5 s old." in words(site.get("/requests/req-0005"))


@pytest.mark.parametrize(
    ("form", "kind"), [("har", "json"), ("curl", "plain"), ("python", "plain"), ("jsonl", "ndjson")]
)
def test_a_request_can_be_taken_along(form: str, kind: str, site: Site) -> None:
    got = site.get(f"/api/requests/req-0001/{form}")
    assert kind in got.headers["content-type"]
    assert got.headers["content-disposition"].startswith('attachment; filename="req-0001.')
    assert "How is the weather?" in got.text


def test_a_context_made_to_fit_says_what_it_was() -> None:
    long, short = ([{"role": "user", "content": "x" * 50}] * count for count in (12, 3))
    step = Step(9, "context-window", "compress_context", "changed", 5, 1, _request(long), _request(short))
    with Site(Kept([exchange(1, steps=(step,))])) as site:
        said = words(site.get("/requests/req-0001"))
    assert "context-window 12 3" in said


def _request(messages: list[Any]) -> str:
    return json.dumps({"messages": messages}, indent=1)


def test_what_was_not_recorded_is_said(site: Site) -> None:
    bare = evolve(exchange(9), came=Message(size=70), answered=Message(size=20, status=200), attempts=())
    with Site(Kept([bare])) as other:
        said = words(other.get("/requests/req-0009"))
    assert "the recorder keeps content at level “detailed” only" in said
    assert "Nothing was sent to a provider." in said


def test_a_request_that_is_not_kept_is_said(site: Site) -> None:
    page = site.get("/requests/nope")
    assert 404 == page.status_code
    assert "No request nope is kept." in words(page)


def test_events_say_which_requests_changed_and_nothing_else(site: Site) -> None:
    with site.client.stream("GET", "/api/events") as events:
        lines = events.iter_lines()
        assert "retry: 1000" == next(lines)
        site.source.put(evolve(exchange(1), state="answered"))
        data = next(line for line in lines if line.startswith("data:"))
    assert 'data: ["req-0001"]' == data
    ended = _until(lambda: not site.source.listeners)
    assert ended, "a reader who left is still told"


def _until(what: Any) -> bool:

    return until(what)


def test_a_recording_has_nobody_to_send_again_to(site: Site) -> None:
    answered = site.client.post("/api/replay", json={"id": "req-0001"})
    assert (409, True) == (answered.status_code, "clippy replay" in answered.json()["error"])
    assert 404 == site.client.post("/api/replay", json={"id": "nope"}).status_code
    for body in (b"", b"[1]", b'{"id": 7}', b"\xff", b"[" * 100_000):
        assert 404 == site.client.post("/api/replay", content=body).status_code


# --- signs that nobody sees -------------------------------------------------------------------------------------------


@given(st.text(max_size=80))
def test_nothing_unseen_is_left_and_the_rest_stays(text: str) -> None:
    shown = visible(text)
    assert not any(sign in shown for sign in "\x00\x1b\x7f\u202e\u2066\u200b\ufeff\u2028")
    assert visible(shown) == shown
    if text.isascii() and text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a[U+202E]b"), ("\x1b[31m", "␛[31m"), ("tab\tline\n", "tab\tline\n"), ("\x85", "[U+0085]"),
        ("👩\u200d👧", "👩\u200d👧"), ("نمی\u200cخواهم", "نمی\u200cخواهم"), ("pass\u200dword", "pass[U+200D]word"),
        ("\U000e0041", "[U+E0041]"), ("\ud800", "[U+D800]"), ("naïve – “ok”", "naïve – “ok”"),
        ("\u200d\u200d", "[U+200D][U+200D]"),
    ],
)  # fmt: skip
def test_signs_that_hide_are_named(text: str, shown: str) -> None:
    assert shown == visible(text)


def test_older_requests_than_are_shown_are_a_link_away() -> None:
    """Page by page, with the filter; the oldest page has no further one, and does not go on by itself."""
    with Site(Kept([exchange(number) for number in range(1, 452)])) as one:
        first = one.get("/?q=answered").text
        assert 'href="/?q=answered&amp;before=req-0252"' in first
        last = one.get("/?q=answered&before=req-0052").text
        assert "401 to 451 are shown" in words(one.get("/?q=answered&before=req-0052"))
        assert [last.count(text) for text in ("<tr>", "exchange from:body", ">Older</a>")] == [51, 0, 0]
        told = one.get("/api/requests?q=answered&before=req-0052").json()["requests"]
    assert (told[0]["id"], told[-1]["id"], len(told)) == ("req-0051", "req-0001", 51)


def test_the_list_says_what_was_asked_and_how_many_fit_the_usual_filters(site: Site) -> None:
    page = site.get("/?q=failed").text
    assert '<span class="asks quiet">How is the weather?</span>' in page
    assert '<a href="/?q=failed" aria-current="true">failed <span class="quiet">1</span></a>' in page
    assert '<a href="/?q=ms%3A%3E1000">slower than 1 s <span class="quiet">1</span></a>' in page
    assert 'hx-swap-oob="true"' in site.get("/api/rows?q=failed").text


def test_one_slow_request_does_not_hide_how_long_the_others_took() -> None:
    lines = [row(streamed(number, duration=1_000_000, first_token=250_000)) for number in range(20)]
    found = bars([*lines, row(exchange(21, duration=3_600_000_000))])
    assert (found["req-0000"], found["req-0021"]) == ((25.0, 75.0), (100.0, 0.0))
    assert bars([row(exchange(1, duration=None, state="running"))]) == {"req-0001": (0.0, 0.0)}


def test_what_a_plugin_did_is_told_in_words() -> None:
    """Not by the names that code has for it."""
    steps = (
        Step(2_000, "breaker", "pre_attempt", "attemptrefused", 9000),
        Step(3_000, "cache", "cache_store", "passed", 9),
    )
    with Site(Kept([exchange(1, steps=steps)])) as site:
        page = site.get("/requests/req-0001").text
    assert "attemptrefused" not in page
    assert "refused this attempt" in page
    assert "it does not say" not in page


# --- asked in one wire API, answered in another ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def translated() -> tuple[Exchange, ...]:
    """Plain, streamed, refused by the provider, and answered from a cache: a caller of Anthropic's at OpenAI's."""
    recorder = Recorder(enabled=True)
    plugins = {"recorder": recorder, "cache-memory": MemoryCache()}
    script = [Reply("Paris."), Reply("Paris.", chunks=("Pa", "ris.")), Fault.status(429)]
    headers = {"x-clippy-route": "main", "x-api-key": CALLERS_KEY, "anthropic-version": "2023-06-01"}
    message = {"role": "user", "content": [{"type": "text", "text": "The capital of France?"}]}
    body = {"model": "m", "max_tokens": 9, "messages": [message], "temperature": 0}
    more: tuple[dict[str, Any], ...] = ({}, {"stream": True, "temperature": 1}, {"temperature": 0.5}, {})
    with World(script, plugins) as world:
        for one in more:
            httpx.post(f"{world.url}/v1/messages", headers=headers, json={**body, **one}, trust_env=False)
        return recorder.latest()


@pytest.mark.parametrize("live", [True, False])
def test_a_translated_request_is_shown_as_its_caller_wrote_it_and_got_it(translated: Any, live: bool) -> None:
    """Live and of a file; the provider's words stand where they were sent and came back."""
    assert ["answered", "answered", "failed", "cached"] == [one.state for one in translated]
    with clippy_core.Host([]) as host, Site(Kept([*translated]), **{"host" if live else "bare": host}) as one:
        pages = [words(one.get(f"/requests/{call.id}")) for call in translated]
        assert [call.id for call in translated] == [
            line["id"] for line in reversed(one.get("/api/requests?q=api:anthropic.messages").json()["requests"])
        ]
    marks = ('"type": "message"', "message_start", '"type": "rate_limit_error"', '"type": "message"')
    for page, call, mark in zip(pages, translated, marks, strict=True):
        came, rest = page.split("What came in", 1)[1].split("What the caller got", 1)
        got, rest = rest.split("What the plugins changed", 1)
        assert "anthropic.messages, sent on as openai.chat" in page
        assert "As its caller wrote it, in anthropic.messages" in came
        assert '"type": "text"' in came
        assert "Empty." not in came
        assert mark in got
        assert '"choices"' not in got
        assert "what came went out as it was" not in rest
        assert "from anthropic.messages to openai.chat" in rest
        assert "The same bytes as came in" not in rest
        assert call.attempts == () or "completions" in rest


# --- refused ---------------------------------------------------------------------------------------------------------


@define(eq=False)
class Guard:
    """Lets nothing pass."""

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> Request:
        raise Refusal("not that model", code="model_denied")


def test_what_a_plugin_refused_is_withheld_and_the_page_says_why() -> None:
    """The level, which was detailed, and streams have nothing to do with it."""
    recorder = Recorder(enabled=True)
    with clippy_core.Host([recorder, Guard()]) as host, host.wrap(FakeProvider(Reply("never")).client()) as client:
        client.post("http://fake.test/v1/chat/completions", json={"model": "m", "messages": [{"content": "a secret"}]})
        [call] = recorder.latest()
        with Site(Kept([call]), host=host) as one:
            page = words(one.get(f"/requests/{call.id}"))
            again = one.post("/api/replay", json={"id": call.id})
    assert "model_denied: its message is not here: what is said in a request that was refused is withheld" in page
    assert "what they say is not here: what is said in a request that was refused is withheld" in page
    assert "its message was not kept" not in page
    assert "detailed" not in page
    assert "a secret" not in page
    assert (again.status_code, "refused is withheld" in again.json()["error"]) == (409, True)
