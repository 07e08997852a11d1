"""Who is let in: the corpus and its variants, settled by the decision alone and again by the server over HTTP."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from access_cases import ATTACKS, BENIGN, CORPUS, Case, corpus, variants
from clippy_hookspecs import Headers
from clippy_hookspecs.services import RawRequest
from clippy_inspect import paths
from clippy_inspect.access import Session, decide
from clippy_inspect.door import Door, Guesses
from clippy_inspect.keys import LINK_SECONDS, Keys
from clippy_inspect.live import as_json, row
from clippy_inspect.paths import is_page
from clippy_inspect.site import all_pages
from clippy_inspect.view import View
from hypothesis import given
from hypothesis import strategies as st
from inspect_world import Kept, Site, exchange

VALUES = {"PORT": 8765, "OTHER": 8766, "TOKEN": "tok-3f9a", "COOKIE": "coo-77b1", "CSRF": "cs-02dd"}
SESSION = Session("coo-77b1", "cs-02dd")


def allowed(case: Case) -> bool:
    made = case.filled(**VALUES)
    headers = Headers(made.headers)
    decision = decide(
        made.method, made.path, headers, websocket=made.websocket, port=8765, token="tok-3f9a", sessions=[SESSION]
    )
    assert decision.allowed == (decision.reason == "")
    return decision.allowed


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpora are beside a working copy only")
@pytest.mark.parametrize("case", corpus(), ids=lambda case: case.name)
def test_the_corpus_is_settled(case: Case) -> None:
    assert case.allowed == allowed(case)


@pytest.mark.parametrize("case", variants(), ids=lambda case: case.name)
def test_its_variants_are_settled(case: Case) -> None:
    assert case.allowed == allowed(case)


def test_there_are_enough_of_both() -> None:
    assert len(ATTACKS) >= 60
    assert len(BENIGN) >= 40


@given(st.text(max_size=60), st.sampled_from(["GET", "POST", "HEAD"]))
def test_nothing_but_a_page_is_let_through(path: str, method: str) -> None:
    """Whatever the path says: with the token, only what the list of pages has."""
    headers = {"Host": "127.0.0.1:8765", "Authorization": "Bearer tok-3f9a"}
    decision = decide(method, path, headers, port=8765, token="tok-3f9a")
    assert decision.allowed == is_page("GET" if method == "HEAD" else method, path.partition("?")[0])


@given(st.text(max_size=40))
def test_no_other_host_is_let_through(host: str) -> None:
    ours = host.strip(" \t").lower() in {"127.0.0.1:8765", "localhost:8765", "[::1]:8765"}
    assert ours == decide("GET", "/", {"host": host, "authorization": "Bearer t"}, port=8765, token="t").allowed


BAD = "https://evil.example"
OURS = "http://127.0.0.1:8765"


@given(
    host=st.sampled_from(["127.0.0.1:8765", "evil.example:8765", "127.0.0.1:8766", "127.0.0.1:8765.evil.example"]),
    origin=st.sampled_from([None, OURS, BAD, "null", OURS + ".evil.example"]),
    site=st.sampled_from([None, "same-origin", "none", "same-site", "cross-site"]),
    bearer=st.sampled_from([None, "tok-3f9a", "wrong"]),
    cookie=st.sampled_from([None, "coo-77b1", "tok-3f9a"]),
    csrf=st.sampled_from([None, "cs-02dd", "wrong"]),
    page=st.sampled_from([("GET", "/"), ("HEAD", "/api/requests"), ("POST", "/api/replay"), ("POST", "/api/eval")]),
    query=st.sampled_from(["", "?q=token", "?q=xtok-3f9ay", "?a=%74ok-3f9a"]),
    websocket=st.booleans(),
)
def test_every_condition_holds_whatever_the_others_are(
    host: str, origin: str | None, site: str | None, bearer: str | None, cookie: str | None, csrf: str | None,
    page: tuple[str, str], query: str, websocket: bool,
) -> None:  # fmt: skip
    """All of them together, and nothing else: a right one makes up for no wrong one."""
    reads = page[0] != "POST"
    ours = host == "127.0.0.1:8765" and origin in ({OURS} if websocket else {OURS, None})
    near = site in ({None, "same-origin", "none"} if reads else {None, "same-origin"})
    by_page = cookie == "coo-77b1" and not websocket and (reads or (csrf == "cs-02dd" and origin is not None))
    known = bearer == "tok-3f9a" if bearer is not None else by_page
    named = {
        "host": host, "origin": origin, "sec-fetch-site": site, "authorization": bearer and f"Bearer {bearer}",
        "cookie": cookie and f"clippy-inspect-8765={cookie}", "x-clippy-csrf": csrf,
    }  # fmt: skip
    headers = {name: value for name, value in named.items() if value is not None}
    decision = decide(
        page[0], page[1] + query, headers, websocket=websocket, port=8765, token="tok-3f9a", sessions=[SESSION]
    )
    assert decision.allowed == (ours and near and known and query in ("", "?q=token") and page[1] != "/api/eval")


def test_a_name_of_the_gateways_own_can_be_added() -> None:
    def asked(host: str, **more: object) -> bool:
        headers = {"host": host, "authorization": "Bearer t"}
        return decide("GET", "/", headers, port=8765, token="t", **more).allowed  # type: ignore[arg-type]

    assert not asked("models.internal")
    assert asked("models.internal", hosts=["models.internal"])
    assert asked("models.internal:8765", hosts=["models.internal"])
    assert asked("models.internal:444", hosts=["models.internal:444"])
    assert not asked("models.internal:8765", hosts=["models.internal:444"])
    assert not asked("evil.models.internal", hosts=["models.internal"])


def test_a_target_longer_than_any_page_has_is_refused_before_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its places would be compared with the token, for a caller that nobody knows yet."""
    looked: list[str] = []
    monkeypatch.setattr("clippy_inspect.access.unquote", lambda text: looked.append(text) or text)
    for target in ("/" + "a" * 8000, "/?" + "a" * 8000):
        made = decide("GET", target, {"host": "127.0.0.1:80"}, port=80, token="tok-3f9a")
        assert (made.status, looked) == (414, [])
    decide("GET", "/?q=plain", {"host": "127.0.0.1:80"}, port=80, token="tok-3f9a")
    assert looked == ["/?q=plain"] * 2  # and what holds nothing encoded is compared once


def test_an_empty_secret_lets_nobody_in() -> None:
    assert not decide("GET", "/", {"host": "127.0.0.1:1", "authorization": "Bearer "}, port=1, token="").allowed
    cookies = {"host": "127.0.0.1:1", "cookie": "clippy-inspect-1="}
    assert not decide("GET", "/", cookies, port=1, token="t", sessions=[Session("", "")]).allowed


# --- over HTTP -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(Kept([exchange(1)])) as made:
        yield made


@pytest.fixture(scope="module")
def values(site: Site) -> dict[str, object]:
    entered = httpx.get(site.door.link())
    cookie = entered.headers["set-cookie"].partition("=")[2].partition(";")[0]
    session = site.door.keys.session(cookie)
    assert session is not None
    port = site.server.port
    other = port + 1 if port < 60000 else port - 1
    return {"PORT": port, "OTHER": other, "TOKEN": site.door.token, "COOKIE": cookie, "CSRF": session.csrf}


def _bytes(case: Case) -> bytes:
    lines = [f"{case.method} {case.path} HTTP/1.1", *(f"{name}: {value}" for name, value in case.headers)]
    if not any(name == "Connection" for name, _ in case.headers):
        lines.append("Connection: close")
    if case.method == "POST":
        lines.append("Content-Length: 0")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@pytest.mark.parametrize("case", [*corpus(), *variants()], ids=lambda case: case.name)
def test_the_server_answers_as_was_decided(case: Case, site: Site, values: dict[str, object]) -> None:
    """No answer tells a browser that another origin may read it, and a denied one has nothing in it but a sentence."""
    made = case.filled(**values)
    if made.path == "/api/events":
        pytest.skip("it never ends; the test of events reads it")
    with socket.create_connection(("127.0.0.1", site.server.port), 10) as conn:
        conn.sendall(_bytes(made))
        answer = conn.recv(65536).decode("latin-1")
    status = int(answer.split(" ", 2)[1])
    assert "access-control-" not in answer.lower()
    if case.allowed:
        assert status not in {400, 401, 403, 405, 421}, answer
        assert "content-security-policy: default-src 'none'; script-src 'self'" in answer.lower()
    else:
        assert 400 <= status < 500, answer
        assert "gpt-4o" not in answer
        assert "set-cookie" not in answer.lower()


# --- the one-time link -----------------------------------------------------------------------------------------------


def test_a_link_opens_once_and_its_cookie_is_another_value(site: Site) -> None:
    link = site.door.link()
    entered = httpx.get(link)
    cookie = entered.headers["set-cookie"]
    assert entered.status_code == 200
    assert "HttpOnly; SameSite=Strict; Path=/" in cookie
    assert link.rpartition("/")[2] not in cookie
    assert site.door.token not in cookie
    assert httpx.get(site.address + "/", headers={"cookie": cookie.partition(";")[0]}).status_code == 200
    again = httpx.get(link)
    assert (403, None) == (again.status_code, again.headers.get("set-cookie"))
    assert again.headers["content-type"].startswith("text/plain")
    browser = httpx.get(link, headers={"accept": "text/html,*/*"})
    assert (403, True) == (browser.status_code, 'action="/enter"' in browser.text)
    assert "default-src 'none'" in browser.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "headers"),
    [("HEAD", {}), ("POST", {}), ("GET", {"sec-purpose": "prefetch"}), ("GET", {"purpose": "prefetch;prerender"})],
)
def test_what_only_looks_at_a_link_does_not_use_it_up(method: str, headers: dict[str, str], site: Site) -> None:
    link = site.door.link()
    assert httpx.request(method, link, headers=headers).status_code in {403, 405}
    assert httpx.get(link, headers={"sec-fetch-site": "cross-site"}).status_code == 200  # from a terminal in a page


@pytest.mark.parametrize(
    ("host", "origin", "may"),
    [
        ("gw.example", "https://gw.example", True),
        ("gw.example", "https://gw.example:443", True),
        ("GW.example:443", "https://gw.example", True),
        ("dev.example:8443", "https://dev.example:8443", True),
        ("gw.example", "http://gw.example", False),  # whoever listens in may have written that page
        ("gw.example:80", "https://gw.example:80", False),
        ("dev.example", "https://dev.example", False),
        ("gw.example", "https://dev.example:8443", False),
        ("plain.example", "https://plain.example", False),
        ("evil.example", "https://evil.example", False),
        ("127.0.0.1:8787", "https://127.0.0.1:8787", False),
        ("127.0.0.1:8787", "http://127.0.0.1:8787", True),
    ],
)
@pytest.mark.parametrize(
    "told", [{}, {"x-forwarded-proto": "https", "forwarded": "proto=https"}], ids=["", "forwarded"]
)
def test_behind_tls_a_name_of_https_has_pages_of_https_only(host, origin, may, told) -> None:
    """The configuration says so, and no header: whoever reaches the port could send one."""
    names = ("https://gw.example", "https://dev.example:8443", "plain.example")
    cookie = f"clippy-inspect-{host.partition(':')[2] or 80}={SESSION.cookie}"
    headers = {"host": host, "origin": origin, "cookie": cookie, "x-clippy-csrf": SESSION.csrf, **told}
    decision = decide("POST", "/pause", headers, port=None, token="t", sessions=[SESSION], hosts=names, known=_any)
    assert decision.allowed == may


def _any(method: str, path: str) -> bool:
    return True


@pytest.mark.parametrize(("host", "secure"), [("gw.example", True), ("127.0.0.1:80", False)])
async def test_the_cookie_of_a_name_of_https_is_sent_over_tls_only(host: str, secure: bool) -> None:
    door = Door(port=None, hosts=("https://gw.example",))
    reply = await door.open(RawRequest("GET", door.code(), Headers({"host": host}), b""))
    assert ("Secure" in reply.headers["set-cookie"]) == secure


TOKEN = "the-token-of-the-configuration"
HOME = "127.0.0.1:8765"


def form(token: str = TOKEN, **headers: str | None) -> RawRequest:
    sent = {"host": HOME, "origin": f"http://{HOME}", "sec-fetch-site": "same-origin", **headers}
    given = {name.replace("_", "-"): value for name, value in sent.items() if value is not None}
    return RawRequest("POST", "/enter", Headers(given), urlencode({"token": token}).encode())


async def test_a_browser_that_is_not_let_in_is_told_all_ways_in_and_a_script_one_line() -> None:
    """The page takes the token, which then is in no address; and it goes on from there."""
    door = Door(8765, token=TOKEN)
    page = door.guard(RawRequest("GET", "/dashboard", Headers({"host": HOME, "accept": "text/html,*/*"}), b""), False)
    line = door.guard(RawRequest("GET", "/dashboard", Headers({"host": HOME, "accept": "*/*"}), b""), False)
    assert (page.status, line.status) == (401, 401)
    assert all(way in page.body for way in (b"link that the program printed", b"inspect --link", b"Bearer", b"<form"))
    assert page.headers["referrer-policy"] == "same-origin"
    assert line.body.count(b"\n") == 1
    assert door.guard(form(), False) is None
    let_in = await door.enter(form())
    cookie = let_in.headers["set-cookie"]
    assert "HttpOnly; SameSite=Strict" in cookie
    seen = Headers({"host": HOME, "cookie": cookie.partition(";")[0]})
    assert door.guard(RawRequest("GET", "/dashboard", seen, b""), False) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": None}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"host": "evil.example"}, 403),
        ({"upgrade": "websocket"}, 405),
    ],
)
def test_the_form_is_taken_from_our_own_page_alone(headers: dict[str, str | None], status: int) -> None:
    refused = Door(8765, token=TOKEN).guard(form(**headers), False)
    assert refused is not None
    assert refused.status == status


async def test_whoever_guesses_at_the_token_keeps_nobody_out_and_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """A program of the machine could shut the form for the owner; bearers were never counted."""
    now = [0.0]
    door = Door(8765, token=TOKEN, guesses=Guesses(now=lambda: now[0]))
    bodies = [form(f"guess {number}") for number in range(100)]
    assert {(await door.enter(one)).status for one in bodies} == {401}
    assert (await door.enter(form())).status == 200
    now[0] = 61.0
    bearer = RawRequest("GET", "/", Headers({"host": "127.0.0.1:8765", "authorization": "Bearer guess"}), b"")
    refused = door.guard(bearer, False)
    assert refused is not None
    assert refused.status == 401
    told = "wrong tokens were sent to the pages of the debugger: "
    assert caplog.messages == [told + "1", told + "100"]
    odd = RawRequest("POST", "/enter", form().headers, b"&".join([b"token=a"] * 9))
    assert (await door.enter(odd)).status == 401
    assert "set-cookie" not in (await door.enter(form(""))).headers


def test_a_link_does_not_live_long() -> None:
    now = [0.0]
    door = Door(port=8765, keys=Keys(now=lambda: now[0]))
    link = RawRequest("GET", door.code(), Headers({"host": "127.0.0.1:8765"}), b"")

    def good() -> bool:
        return door.decide(link).allowed

    assert good()
    now[0] = LINK_SECONDS + 1
    assert not good()


def test_a_door_without_a_port_lets_nobody_in() -> None:
    headers = {"host": "127.0.0.1:0", "authorization": f"Bearer {Door(token='t').token}"}
    assert not decide("GET", "/", headers, port=0, token="t").allowed


def test_the_guide_has_every_path_that_answers_a_script_and_every_field_of_a_line() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "debugging.md").read_text("utf-8").partition("## From a script")[2]
    told = {tuple(said.split()) for said in re.findall(r"`((?:GET|POST) /api/[^`]+)`", guide)}
    there = set()
    for method, patterns in paths._PAGES.items():
        for pattern in patterns:
            path = pattern.replace(paths.ID, "ID").replace("[0-9]{1,4}", "N")
            before, _, last = path.partition("(")
            ends = last.rstrip(")").split("|")
            there |= {(method, before + end) for end in ends if path.startswith("/api/")}
    assert told == there
    fields = guide.partition("A line of `/api/requests`:")[2].partition("\n\nWith")[0]
    first = re.findall(r"^\| (`.*?`) \|", fields, re.MULTILINE)
    assert {name for cell in first for name in re.findall(r"`(\w+)`", cell)} == set(as_json(row(exchange(1))))


def test_every_route_is_on_the_list_of_pages_and_every_page_has_a_route() -> None:
    """What is denied as unknown, and what answers, cannot part."""
    routes = [(m, p) for m, p, _ in all_pages(View(Kept()), Door()) if p != "/open/*"]
    samples = {r"[A-Za-z0-9_-]{1,128}": "a1", r"[a-zA-Z0-9.-]{1,64}": "app.css", r"[0-9]{1,4}": "1"}
    for method, patterns in paths._PAGES.items():
        for pattern in patterns:
            path = pattern
            for expression, sample in samples.items():
                path = path.replace(expression, sample)
            path = path.replace("(", "").partition("|")[0].rstrip(")")
            known = [p for m, p in routes if m == method]
            assert any(p == path or (p.endswith("*") and path.startswith(p[:-1])) for p in known), (method, path)
    for method, path in routes:
        assert any(p.startswith(path.rstrip("*").rstrip("/")) or p == path for p in paths._PAGES[method]), path
