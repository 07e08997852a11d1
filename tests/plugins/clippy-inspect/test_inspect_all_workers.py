"""The pages of a gateway with several workers: one debugger, whichever of them answers."""

from __future__ import annotations

import contextlib
import io
import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr
from typing import Any

import httpx
import pytest
from attrs import define, field
from clippy_gateway import Gateway
from clippy_hookspecs import AuditRecord, RequestContext, StatusTable, hookimpl
from clippy_inspect import Inspect
from clippy_serving.siblings import Siblings
from gateway_world import World
from patience import PATIENCE, until

import clippy_core
from clippy_core.testing import Reply, SeenRequest

WORDS = tuple(f"w{number} " for number in range(1000))
SLOW = Reply("".join(WORDS), chunks=WORDS, chunk_delay=0.05)
ROUTES = {"routes": {"main": {"api": "openai.chat", "base_url": "http://fake.test/v1", "key": "none"}}}


def said_back(call: SeenRequest) -> Reply:
    text = call.fields["messages"][-1]["content"]
    return SLOW if text == "slow" else Reply(f"You said {text}")


@define(eq=False)
class Shows:
    """How it is doing, as any plugin says it."""

    @hookimpl
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        pass

    async def status_tables(self) -> list[StatusTable]:
        return [StatusTable("doing", ("how",), (("well",),))]


@define(eq=False)
class Workers:
    """Two workers in this process, each at a port of its own: who asks chooses which of them answers.

    To both it is said that they are reached at the first one's port, as where they share it.
    """

    link: str
    each: list[World]
    browsers: list[httpx.Client]
    headers: dict[str, str] = field(init=False)
    entered: httpx.Response = field(init=False)

    def __attrs_post_init__(self) -> None:
        host = self.each[0].url.removeprefix("http://")
        self.headers = {"host": host}
        self.entered = self.ask(1, "GET", self.link)
        name, _, value = self.entered.headers["set-cookie"].partition(";")[0].partition("=")
        self.headers |= {"cookie": f"{name}={value}", "origin": f"http://{host}"}
        found = re.search(r'x-clippy-csrf": "([^"]+)"', self.ask(0, "GET", "/").text.replace("&#34;", '"'))
        assert found is not None
        self.headers["x-clippy-csrf"] = found[1]

    def ask(self, number: int, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return self.browsers[number].request(method, path, headers=headers, **more)

    def tell(self, number: int, path: str) -> Any:
        answer = self.ask(number, "GET", path)
        assert 200 == answer.status_code, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    said = io.StringIO()
    with ExitStack() as stack:
        patient = stack.enter_context(pytest.MonkeyPatch.context())
        patient.setattr("clippy_inspect.together.WITHIN", 20.0)  # a busy machine is no worker that does not answer
        patient.setattr("clippy_inspect.pace.Pace.age", 900.0)  # rates are over what there is
        founder = stack.enter_context(Siblings.founded(2))
        stack.enter_context(redirect_stderr(said))
        Gateway().app(clippy_core.Host({"inspect": Inspect(enabled=True, gateway=True)}, config=ROUTES), founder)
        each = [
            World(
                said_back,
                {"inspect": Inspect(enabled=True, gateway=True), "shows": Shows()},
                siblings=Siblings.joined(founder.folder, 2, number),
            )
            for number in range(2)
        ]
        for one in each:
            stack.enter_context(one)
        [link] = re.findall(r"/open/\S+", said.getvalue())  # the supervisor says it for all
        browsers = [httpx.Client(base_url=one.url, trust_env=False, timeout=PATIENCE) for one in each]
        for browser in browsers:
            stack.enter_context(browser)
        yield Workers(link, each, browsers)


def test_who_was_let_in_by_one_worker_is_known_to_all_and_a_link_is_used_once_among_them(workers: Workers) -> None:
    """Reading and acting; what was let in by another gateway is a stranger."""
    for number in range(2):
        assert 200 == workers.ask(number, "GET", "/").status_code
        assert 404 == workers.ask(number, "POST", "/api/streams/none/pause").status_code
        assert 403 == workers.ask(number, "GET", workers.link).status_code
        assert 403 == workers.ask(number, "POST", "/api/streams/none/pause", headers={"x-clippy-csrf": "x"}).status_code
        assert 401 == workers.ask(number, "GET", "/", headers={"cookie": "clippy-inspect-1=x"}).status_code


def test_pages_with_a_port_of_their_own_have_one_for_all_workers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker opens it, and the others only tell it what they have; when it has gone another one has the port at
    once, to which its browsers come as before."""
    monkeypatch.setattr("clippy_inspect.inspect.SOON", 0)
    with ExitStack() as stack:
        founder = stack.enter_context(Siblings.founded(2))
        inspects, ends = [Inspect(enabled=True) for _ in range(2)], [stack.enter_context(ExitStack()) for _ in range(2)]
        for number, (inspect, end) in enumerate(zip(inspects, ends, strict=True)):
            joined = Siblings.joined(founder.folder, 2, number)
            end.enter_context(World(said_back, {"inspect": inspect}, siblings=joined)).chat("hello")
        said: list[str] = []
        assert until(lambda: said.append(capsys.readouterr().err) or "/open/" in "".join(said))
        [link] = re.findall(r"http://\S+/open/\S+", "".join(said))
        with httpx.Client(trust_env=False, timeout=PATIENCE) as browser:
            assert 200 == browser.get(link).status_code
            address = link.partition("/open/")[0]
            assert until(lambda: 2 == browser.get(f"{address}/api/requests").json()["all"])
            opened = [inspect.address for inspect in inspects]
            assert {None, address} == {*opened}
            ends[opened.index(address)].close()
            assert until(lambda: address in [inspect.address for inspect in inspects])
            assert until(lambda: 1 == browser.get(f"{address}/api/requests").json()["all"])
    assert "/open/" not in capsys.readouterr().err


def test_whichever_is_asked_shows_the_requests_of_all(workers: Workers) -> None:
    """In the list, through a filter, on a page of their own with its exports, and in the dashboard's numbers."""
    before = workers.tell(0, "/api/requests")["all"]
    for number, word in enumerate(("apple", "pear")):
        assert 200 == workers.each[number].chat(word).status_code
    for number in range(2):
        listed = workers.tell(number, "/api/requests")
        assert (before + 2, []) == (listed["all"], listed["missing"])
        newest = listed["requests"][:2]
        assert newest[0]["began"] > newest[1]["began"]
        [pear], [apple] = [workers.tell(number, f"/api/requests?q={word}")["requests"] for word in ("pear", "apple")]
        assert [pear["id"], apple["id"]] == [one["id"] for one in newest]
        for one, word in ((pear, "pear"), (apple, "apple")):
            assert f"You said {word}" in workers.ask(number, "GET", f"/requests/{one['id']}").text
            assert word in workers.ask(number, "GET", f"/api/requests/{one['id']}/curl").text
        assert newest[0]["id"] in workers.ask(number, "GET", "/").text
        board = workers.tell(number, "/api/dashboard")
        assert (before + 2, []) == (board["total"]["requests"], board["missing"])
        assert board["rates"]["15 min"] == pytest.approx((before + 2) / 900)
        tables = {table["plugin"] for table in board["plugins"]}
        assert {"shows, worker 1", "shows, worker 2"} == tables
    assert 404 == workers.ask(0, "GET", "/requests/none").status_code


def test_a_live_stream_is_held_and_ended_from_any_worker(workers: Workers) -> None:
    """What another one holds is passed on to it."""
    got: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(httpx.HTTPError):
            body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "slow"}]}
            with httpx.stream(
                "POST", workers.each[1].url + "/v1/chat/completions", json=body, timeout=PATIENCE
            ) as answer:
                got.extend(answer.iter_raw())

    reader = threading.Thread(target=read)
    reader.start()

    def seen(number: int) -> dict[str, Any]:
        return next((one for one in workers.tell(number, "/api/streams")["streams"] if one["chunks"] > 3), {})

    assert until(lambda: seen(0))
    stream = seen(0)
    assert stream["id"] == seen(1)["id"]
    act = f"/api/streams/{stream['id']}"
    assert 403 == workers.ask(0, "POST", f"{act}/cancel", headers={"x-clippy-csrf": "wrong"}).status_code
    assert "paused" == workers.ask(0, "POST", f"{act}/pause").json()["state"]
    assert {"paused"} == {seen(number)["state"] for number in range(2)}
    assert "paused" in workers.ask(0, "GET", f"/requests/{stream['id']}").text
    assert "streaming" == workers.ask(0, "POST", f"{act}/resume").json()["state"]
    assert workers.ask(0, "POST", f"{act}/cancel").json()["state"] in {"cancelling", "cancelled"}
    reader.join(PATIENCE)
    assert not reader.is_alive()
    assert b"w999" not in b"".join(got)
    assert until(lambda: stream["id"] in workers.ask(0, "GET", "/api/requests?q=cancelled").text)
    assert 404 == workers.ask(0, "POST", f"{act}/pause").status_code


def test_what_changes_in_another_worker_is_told_to_a_page_that_is_open(workers: Workers) -> None:
    headers = workers.headers
    with httpx.stream("GET", workers.each[0].url + "/api/events", headers=headers, timeout=PATIENCE) as events:
        lines = events.iter_lines()
        next(lines)
        told = threading.Event()

        def ask() -> None:
            while not told.wait(0.1):
                workers.each[1].chat("news")

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            data = next(line for line in lines if line.startswith("data:"))
        finally:
            told.set()  # else who asks would go on for good where nothing is told
            asking.join(PATIENCE)
    assert set(json.loads(data.removeprefix("data:"))) <= {
        one["id"] for one in workers.tell(1, "/api/requests?q=news")["requests"]
    }


def test_a_request_of_another_worker_is_sent_again(workers: Workers) -> None:
    workers.each[1].chat("once more")
    [one] = workers.tell(0, "/api/requests?q=%22once%20more%22")["requests"]
    again = workers.ask(0, "POST", "/api/replay", json={"id": one["id"]})
    assert (200, True) == (again.status_code, again.json()["same"]), again.text
