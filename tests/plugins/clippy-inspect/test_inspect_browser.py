"""The pages in a real Chromium: live data, keys, both schemes, both widths, and what axe finds wrong.

The browser is the system's own (``chromium`` of Debian).  Without one these tests are skipped, unless the environment
says TESTS_NEED_CHROMIUM=1, as CI does.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import clippy_inspect
import httpx
import pytest
from attrs import evolve
from clippy_hookspecs import StatusTable
from clippy_inspect import Inspect
from hostile_texts import Hosting, known, saying
from inspect_world import Kept, Site, cached, exchange, failed, retried, streamed
from patience import until

import clippy_core
from clippy_core.testing import FakeServer, Reply

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = Path(__file__).with_name("vendored") / "axe.min.js"
AXE_OPTIONS = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'], resultTypes: ['violations']}"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
PAGES = (
    "/", "/requests/req-0003", "/requests/req-0008", "/streams", "/dashboard", "/profile",
    "/profile?q=status:200&against=-status:200", "/conversations", "/conversations/req-0001",
)  # fmt: skip

if CHROMIUM is None and os.environ.get("TESTS_NEED_CHROMIUM") != "1":
    pytest.skip("no chromium on this machine (apt-get install chromium)", allow_module_level=True)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    assert CHROMIUM is not None, "TESTS_NEED_CHROMIUM=1, and there is no chromium"
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Held:
    """The flow of a stream that only a test moves."""

    def __init__(self) -> None:
        self.state = "streaming"
        self.done: list[str] = []

    def pause(self) -> None:
        self.state = "paused"
        self.done.append("pause")

    def resume(self) -> None:
        self.state = "streaming"
        self.done.append("resume")

    def cancel(self, reason: str = "", by: str = "") -> None:
        self.state = "cancelled"
        self.done.append("cancel")


class Wide:
    """Shows a table with more columns than a narrow window has room for."""

    async def status_tables(self) -> list[StatusTable]:
        columns = ("status", "code", "key", "route", "path", "requests")
        return [
            StatusTable("refusals", columns, ((401, "invalid_api_key", "#3f", "*", "/v1/chat/completions", 12345),))
        ]


LIVE = {"state": "running", "duration": None, "usage": None, "cost": None, "finish_reason": None}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    calls = [exchange(1), streamed(2), retried(3), failed(4), cached(5), streamed(8, **LIVE)]
    host: Any = SimpleNamespace(plugins={"gateway": Wide()})
    with Site(Kept(calls, {"req-0008": Held()}), host=host) as made:
        yield made


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Any]]:
    """A browser that opened a one-time link; whatever it complains about afterwards fails the test."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def enter(link: str, width: int = 1280, scheme: str = "light", **more: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("response", lambda got: got.status >= 400 and complaints.append(f"{got.status} {got.url}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation',"
            " event => console.error('CSP ' + event.violatedDirective + ' ' + event.blockedURI))"
        )
        page.goto(link)
        page.wait_for_url(re.compile(r"/$"))
        return page

    yield enter
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_read_by_everybody(width: int, scheme: str, site: Site, visit: Callable[..., Any]) -> None:
    """No page is wider than its window, and axe finds nothing serious in any, in each scheme at one of the widths."""
    page = visit(site.door.link(), width, scheme)
    axe = AXE.read_text(encoding="utf-8")
    for path in PAGES:
        page.goto(site.address + path)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{path} is {over} pixels too wide at {width}"
        wide = page.evaluate("[...document.querySelectorAll('.scroll')].map(each => each.ariaLabel + ' ' + "
                             "(each.scrollWidth - each.clientWidth)).filter(each => !each.endsWith(' 0'))")  # fmt: skip
        assert wide == [], f"{path} has tables that have to be moved sideways at {width}"
        if (width, scheme) in {(1280, "light"), (390, "dark")}:
            continue
        page.evaluate(axe)  # as the debugger does it: no page of ours would let a script in
        found = page.evaluate(f"axe.run({AXE_OPTIONS})")
        faults = [
            f"{path}: {fault['id']} ({fault['impact']}): {[node['html'][:120] for node in fault['nodes'][:3]]}"
            for fault in found["violations"]
            if fault["impact"] in {"serious", "critical"}
        ]
        assert faults == []


def test_the_live_list_shows_what_comes_without_being_loaded_again(site: Site, visit: Callable[..., Any]) -> None:
    page = visit(site.door.link())
    page.get_by_text("live", exact=True).wait_for()
    page.fill("#filter", "model:new-model")
    page.get_by_text("No request fits the filter.").wait_for()
    site.source.put(exchange(20, model="new-model"))
    page.locator("#go-req-0020").wait_for()
    assert page.locator("#told").inner_text().startswith("1 of ")
    assert "q=model%3Anew-model" in page.url
    page.fill("#filter", "status:soon")
    page.locator("#fault", has_text="soon").wait_for()
    site.source.exchanges = [one for one in site.source.exchanges if one.id != "req-0020"]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_list_is_sorted_by_keys_and_goes_on_so(width: int, site: Site, visit: Callable[..., Any]) -> None:
    """By the head of a column, in a narrow window too; what comes takes its place, and a filter keeps the order."""
    page = visit(site.door.link(), width)
    page.focus("#by-duration")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?sort=-duration")
    page.get_by_text("live", exact=True).wait_for()
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert page.locator("#by-duration").is_visible()
    took = page.locator("#rows td.took")
    first = took.nth(0).inner_text()
    site.source.put(exchange(40, duration=100_000_000_000, model="slow-model"))
    page.locator("#rows tr:first-child #go-req-0040").wait_for()
    assert took.nth(1).inner_text() == first
    site.source.put(exchange(41, duration=1, model="slow-model"))
    page.focus("#by-duration")
    page.locator("#rows #go-req-0041").wait_for()
    assert page.locator("#rows tr:first-child #go-req-0040").count() == 1
    assert page.evaluate("document.activeElement.id") == "by-duration", "what is drawn again takes nobody's place away"
    page.fill("#filter", "model:slow-model")
    page.wait_for_url("**/?q=model%3Aslow-model&sort=-duration")
    page.locator("#by-duration[href*='slow-model']").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=model%3Aslow-model&sort=duration")
    page.locator("#rows tr:first-child #go-req-0041").wait_for()
    site.source.exchanges = [one for one in site.source.exchanges if one.id not in {"req-0040", "req-0041"}]


def test_keys_are_enough(site: Site, visit: Callable[..., Any]) -> None:
    """A slash goes to the filter, tab to the requests, enter opens one; the skip link comes first."""
    page = visit(site.door.link())
    page.keyboard.press("Tab")
    assert "Skip to the content" == page.evaluate("document.activeElement.textContent")
    page.keyboard.press("/")
    assert "filter" == page.evaluate("document.activeElement.id")
    page.keyboard.type("cached/")
    assert "cached/" == page.input_value("#filter")
    page.get_by_text("No request fits the filter.").wait_for()  # else its one row is taken for the one that is wanted
    page.fill("#filter", "cached")
    page.locator("#go-req-0005").wait_for()
    for _ in range(40):  # of what stands between the filter and the list there is less
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "go-req-0005":
            break
    assert "go-req-0005" == page.evaluate("document.activeElement.id")
    assert "none" != page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Enter")
    page.wait_for_url("**/requests/req-0005")


def test_the_time_line_and_its_table_say_the_same(site: Site, visit: Callable[..., Any]) -> None:
    page = visit(site.door.link())
    page.goto(site.address + "/requests/req-0002")
    ticks = page.locator(".lane .tick")
    assert len(site.source.exchanges[1].pieces) == ticks.count()
    page.locator("#times summary").click() if page.locator("#times").get_attribute("open") is None else None
    rows = page.locator("#times tbody tr")
    assert rows.count() == 9 + 3 + 2  # pieces, an attempt's three times, two hooks
    boxes = [ticks.nth(index).bounding_box()["x"] for index in range(3)]
    assert boxes == sorted(boxes)
    assert boxes[0] < boxes[1]


def test_a_theme_is_kept(site: Site, visit: Callable[..., Any]) -> None:
    page = visit(site.door.link(), scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("#theme")
    assert "Theme: light" == page.inner_text("#theme")
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    assert light == page.evaluate(ground)
    page.click("#theme")
    assert dark == page.evaluate(ground)


def test_a_request_that_runs_is_drawn_again_and_keeps_what_was_opened(site: Site, visit: Callable[..., Any]) -> None:
    flow = site.source.flows["req-0008"]
    page = visit(site.door.link())
    page.goto(site.address + "/requests/req-0008")
    page.get_by_text("live", exact=True).wait_for()
    page.locator("#came-headers summary").click()
    page.click("#pause-req-0008")
    page.locator("#resume-req-0008").wait_for()
    assert page.locator(".state", has_text="paused").count() == 1
    assert page.locator("#came-headers").get_attribute("open") is not None
    page.click("#resume-req-0008")
    page.locator("#pause-req-0008").wait_for()
    page.click("#cancel-req-0008")
    site.source.put(evolve(site.source.find("req-0008"), state="cancelled", duration=5))  # type: ignore[type-var]
    page.locator(".state", has_text="cancelled").wait_for()
    assert flow.done == ["pause", "resume", "cancel"]
    site.source.put(streamed(8, **LIVE))
    flow.state = "streaming"


def test_a_real_stream_is_paused_and_cancelled(visit: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    """In a program of its own: what is pressed in the browser holds and ends what its reader reads."""
    words = tuple(f"w{number} " for number in range(2000))  # longer than a busy machine needs to press three buttons
    ended: list[str] = []
    ask = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "count"}]}
    reply = Reply(text="".join(words), chunks=words, chunk_delay=0.05)
    with FakeServer(reply) as provider, clippy_core.Host({"inspect": Inspect(enabled=True)}) as host:
        link = _printed(capsys)

        def read() -> None:
            with host.wrap(httpx.Client(base_url=provider.base_url, timeout=300)) as client:
                try:
                    with client.stream("POST", "/chat/completions", json=ask) as answer:
                        answer.read()
                    ended.append("whole")
                except httpx.ReadError as error:
                    ended.append(str(error))

        page = visit(link)
        reader = threading.Thread(target=read)
        reader.start()
        page.click("text=Streams")
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("No stream is running").wait_for()
        reader.join(20)
        page.goto("about:blank")  # before its server goes
    assert ended == ["cancelled in the debugger"]


def test_times_are_of_the_zone_of_who_looks_and_say_what_they_are_in_utc(site: Site, visit: Callable[..., Any]) -> None:
    """Also those that come later; without the pages' script they are in UTC and say so."""
    page = visit(site.door.link(), timezone_id="Asia/Kathmandu")  # a quarter of an hour beside everybody's
    for path in ("/", "/requests/req-0001", "/dashboard", "/conversations"):
        page.goto(site.address + path)
        shown = page.locator("time[title]").first
        written, utc = shown.inner_text(), shown.get_attribute("title")
        hour, minute = map(int, written.split()[-1].split(":")[:2])
        there, here = map(int, utc.split()[-2].split(":")[:2])
        assert (60 * hour + minute - 60 * there - here) % 1440 == 345, (path, written, utc)
        assert utc.endswith(" UTC")
    page.goto(site.address + "/")
    site.source.put(exchange(31))
    page.locator("#go-req-0031 time[title]").wait_for()


def test_the_legend_of_a_chart_says_the_newest_values_before_anybody_points_at_it(
    site: Site, visit: Callable[..., Any]
) -> None:
    page = visit(site.door.link())
    page.goto(f"{site.address}/dashboard")
    for chart in ("#rate-chart", "#latency-chart"):
        page.locator(f"{chart} .u-legend").wait_for()
        values = page.locator(f"{chart} .u-legend .u-value").all_inner_texts()
        assert re.match(r"\d\d:|\D+\d", values[0]), values
        assert re.match(r"\d", values[1]), values
        page.hover(f"{chart} .u-over", position={"x": 5, "y": 5})
        page.mouse.move(0, 0)
        legend = page.locator(f"{chart} .u-legend .u-value")
        assert until(lambda: values == legend.all_inner_texts())  # noqa: B023 - asked at once


def test_a_request_is_sent_again_from_its_page(visit: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Each time for good, with the difference as text below the button; afterwards no connection is open."""
    hostile = "<img src=x onerror=alert(1)>"
    replies = [Reply("It rains.\nStill."), Reply(f"It rains.\n{hostile}"), Reply("It rains.\nStill.")]
    with FakeServer(replies) as provider:
        config = {"routes": {"main": {"base_url": provider.base_url, "key": "sk-of-the-route", "model": "m"}}}
        host = clippy_inspect.attach(clippy_core.Host({}, config=config))
        with host, clippy_core.Client(host) as client:
            client.chat("How is the weather?")
            page = visit(_printed(capsys))
            page.locator("#rows a").click()
            button, told = page.get_by_role("button", name="Send again"), page.locator("[id^='again-']")
            button.click()
            told.get_by_text(hostile, exact=True).wait_for()
            assert ["Still."] == told.locator(".removed code").all_inner_texts()
            assert [hostile] == told.locator(".added code").all_inner_texts()
            assert told.get_by_role("link", name="the new request").get_attribute("href").startswith("/requests/")
            button.click()
            told.get_by_text("the same answer, status 200").wait_for()
            keys = {sent.headers["authorization"] for sent in provider.requests}
            assert (3, {"Bearer sk-of-the-route"}) == (len(provider.requests), keys)
            page.click("text=Requests")
            page.locator("#rows tr").nth(2).wait_for()
            assert 3 == page.locator("#rows tr").count()
            page.goto("about:blank")  # before its server goes
    gc.collect()  # what was left open complains now


def test_a_request_is_copied_as_a_command(site: Site, visit: Callable[..., Any]) -> None:
    """To be pasted into a shell; not with what a terminal might act upon."""
    hostile = evolve(exchange(30).came, body=b"\x1b[201~\nid\n")
    site.source.put(exchange(30, came=hostile))
    page = visit(site.door.link())
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for wanted, said in (("req-0001", "Copied"), ("req-0030", "take the file")):
        page.goto(f"{site.address}/requests/{wanted}")
        page.get_by_role("button", name="Copy as curl").click()
        page.locator("#copy-curl", has_text=said).wait_for()
        assert page.evaluate("navigator.clipboard.readText()").startswith("curl --globoff --url https://api.example/")
    assert "201~" not in page.evaluate("navigator.clipboard.readText()")
    site.source.exchanges = [one for one in site.source.exchanges if one.id != "req-0030"]


def test_two_sets_are_compared_by_keys_alone(site: Site, visit: Callable[..., Any]) -> None:
    """The form takes what the live list takes; a filter that cannot be read is said, and the fields stay."""
    page = visit(site.door.link())
    page.click("text=Profiler")
    page.fill("#q", "retried")
    page.focus("#against")
    page.keyboard.type("-retried")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Time of one request").wait_for()
    row = page.get_by_role("region", name="Time of one request in both sets").get_by_role("row", name="guard")
    assert "pre_request" in row.inner_text()
    page.fill("#q", "status:soon")
    page.keyboard.press("Enter")
    page.locator("#fault", has_text="soon").wait_for()
    assert (page.input_value("#q"), page.input_value("#against")) == ("status:soon", "-retried")


def test_the_chart_of_the_dashboard_is_drawn_and_its_numbers_are_a_table(site: Site, visit: Callable[..., Any]) -> None:
    page = visit(site.door.link())
    page.click("text=Dashboard")
    page.locator("#rate-chart canvas").wait_for()
    counts = page.locator("#rate-table tbody td:nth-child(2)").all_text_contents()
    told = sum(map(int, counts))
    assert told == len(site.source.latest(1000))


HOSTILE = (
    "/", "/requests/whole", "/requests/req-0001", "/requests/live-0003", "/streams", "/dashboard", "/profile",
    "/profile?q=failed&against=-failed", "/conversations", "/conversations/turn-0001",
)  # fmt: skip


def test_what_others_wrote_does_nothing_in_a_browser(visit: Callable[..., Any]) -> None:
    """Not in a page, and not where htmx or a chart puts a part of it: nothing runs, and nothing is fetched."""
    texts = known()[::3]
    strange: list[str] = []
    with Site(saying(texts), host=Hosting(tuple(texts))) as site:
        page = visit(site.door.link())
        page.on("dialog", lambda dialog: strange.append(dialog.message))
        page.on("request", lambda sent: strange.append(sent.url) if not sent.url.startswith(site.address) else None)
        for path in HOSTILE:
            page.goto(site.address + path)
            _swap(page)
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            assert 0 == page.locator("main :is(script, img, iframe, object, embed, base, style, link)").count(), path
            led = page.locator("main a:not([href^='/'], [href^='#h-']), main [style]:not(.chart *), main [srcdoc]")
            assert 0 == led.count(), path
            assert 1 == page.locator("header nav").count(), path
        page.goto(site.address + "/dashboard")
        page.locator("#rate-chart canvas").wait_for()
        page.goto(site.address + "/")
        wanted = next(text for text in texts if '"' not in text)  # one of them alone is no filter
        page.fill("#filter", wanted)
        page.get_by_text(f" of {len(site.source.exchanges)} requests").wait_for()
        assert wanted in page.inner_text("#rows")
        page.goto("about:blank")  # before its server goes
    assert strange == []


def _printed(capsys: pytest.CaptureFixture[str]) -> str:
    """The link that a program prints when its pages are open."""
    told: list[str] = []

    def whole() -> bool:
        told.append(capsys.readouterr().err)
        return "".join(told).endswith("\n")

    assert until(whole), told
    return "".join(told).split()[-1]


def _swap(page: Any) -> None:
    """Whatever of a page is drawn anew when something happens, drawn anew."""
    live = page.locator("[hx-trigger*='exchange']")
    if live.count():
        page.evaluate(
            "() => new Promise(done => { document.addEventListener('htmx:afterSettle', done, {once: true});"
            " for (const name of ['exchange', 'exchange-slow', 'this-exchange'])"
            " document.body.dispatchEvent(new CustomEvent(name)); })"
        )


def test_a_browser_without_a_link_goes_in_with_the_token(chromium: Any, site: Site) -> None:
    """The page says how, and a browser sends its form with an Origin."""
    context = chromium.new_context()
    try:
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(f"{site.address}/dashboard")
        page.get_by_label("Token").fill(site.door.token)
        page.get_by_role("button", name="Go in").click()
        page.wait_for_url(f"{site.address}/")
        page.locator("h1", has_text="Requests").wait_for()
        assert site.door.token not in page.url
    finally:
        context.close()
