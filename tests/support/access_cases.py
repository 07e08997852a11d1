"""Requests to the pages, attacks and their benign look-alikes: the corpus, and what it can be varied into.

A case is what ``../shared/data/dashboard-dev.jsonl`` has in a line.  ``{PORT}``, ``{OTHER}``, ``{TOKEN}``, ``{COOKIE}``
and ``{CSRF}`` stand for what the server of a test has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "dashboard-dev.jsonl"
HOST = ("Host", "127.0.0.1:{PORT}")
BEARER = ("Authorization", "Bearer {TOKEN}")
ORIGIN = ("Origin", "http://127.0.0.1:{PORT}")
COOKIE = ("Cookie", "clippy-inspect-{PORT}={COOKIE}")
CSRF = ("X-Clippy-Csrf", "{CSRF}")


@frozen
class Case:
    name: str
    allowed: bool
    method: str = "GET"
    path: str = "/api/requests"
    headers: tuple[tuple[str, str], ...] = (HOST, BEARER)
    websocket: bool = False

    def filled(self, **values: object) -> Case:
        def fill(text: str) -> str:
            for name, value in values.items():
                text = text.replace("{" + name + "}", str(value))
            return text

        return evolve(self, path=fill(self.path), headers=tuple((name, fill(value)) for name, value in self.headers))


def corpus() -> list[Case]:
    return list(_corpus())


def variants() -> list[Case]:
    return list(_variants())


def _corpus() -> Iterator[Case]:
    for line in CORPUS.read_text(encoding="utf-8").splitlines() if CORPUS.exists() else ():
        row: dict[str, Any] = json.loads(line)
        headers = tuple(row["headers"].items())
        yield Case(row["id"], row["expect"] == "allow", row["method"], row["path"], headers, row["websocket"])


def _variants() -> Iterator[Case]:
    yield from _hosts()
    yield from _origins()
    yield from _credentials()
    yield from _cookies()
    yield from _websockets()
    yield from _paths()


def _hosts() -> Iterator[Case]:
    good = ["127.0.0.1:{PORT}", "localhost:{PORT}", "[::1]:{PORT}", "LOCALHOST:{PORT}", "LocalHost:{PORT}"]
    bad = [
        "evil.example", "evil.example:{PORT}", "127.0.0.1", "localhost", "127.0.0.1:{OTHER}", "localhost:{OTHER}",
        "127.0.0.1:{PORT}@evil.example", "evil.example@127.0.0.1:{PORT}", "user:pw@127.0.0.1:{PORT}",
        "127.0.0.1:{PORT}.evil.example", "127.0.0.1.evil.example:{PORT}", "localhost.evil.example:{PORT}",
        "evil-localhost:{PORT}", "localhost.:{PORT}", "127.0.0.1.:{PORT}", "0.0.0.0:{PORT}", "127.1:{PORT}",
        "2130706433:{PORT}", "0x7f.1:{PORT}", "017700000001:{PORT}", "127.0.0.2:{PORT}", "::1:{PORT}",
        "[::ffff:127.0.0.1]:{PORT}", "[0:0:0:0:0:0:0:1]:{PORT}", "[::1%25lo]:{PORT}", "[::]:{PORT}",
        "127.0.0.1:0{PORT}", "127.0.0.1:{PORT}/", "127.0.0.1:{PORT} evil.example", "127.0.0.1:{PORT},evil.example",
        "http://127.0.0.1:{PORT}", "127.0.0.1:", "127.0.0.1:+{PORT}", "localhost:{PORT}#", "localhost:{PORT}?a", "",
        "[::1].evil.example:{PORT}", "[::1]:{PORT}.evil", "127.000.000.001:{PORT}",
        "foo.localhost:{PORT}", "localtest.me:{PORT}", "127.0.0.1:{PORT}:{PORT}", "localhost:{PORT}\\evil",
    ]  # fmt: skip
    for value in good:
        yield Case(f"host {value}", True, headers=(("Host", value), BEARER))
        yield Case(f"host {value} and its origin", True, "POST", "/api/replay", (
            ("Host", value), ("Origin", f"http://{value}"), BEARER,
        ))  # fmt: skip
    for value in bad:
        yield Case(f"host {value!r}", False, headers=(("Host", value), BEARER))
    yield Case("no host", False, headers=(BEARER,))
    yield Case("two hosts", False, headers=(HOST, ("Host", "evil.example"), BEARER))
    yield Case("the same host twice", False, headers=(HOST, HOST, BEARER))
    yield Case("a proxy's word for a host", False, headers=(
        ("Host", "evil.example"), ("X-Forwarded-Host", "127.0.0.1:{PORT}"), BEARER,
    ))  # fmt: skip
    yield Case("a proxy's word beside a good host", True, headers=(HOST, ("X-Forwarded-Host", "evil.example"), BEARER))


def _origins() -> Iterator[Case]:
    bad = [
        "https://evil.example", "null", "", "http://127.0.0.1:{OTHER}", "https://127.0.0.1:{PORT}",
        "http://127.0.0.1", "http://localhost:{OTHER}", "http://localhost:{PORT}", "http://127.0.0.1:{PORT}/",
        "http://127.0.0.1:{PORT}/page", "http://127.0.0.1:{PORT}.evil.example", "http://127.0.0.1:{PORT}@evil.example",
        "http://evil.example#http://127.0.0.1:{PORT}", "http://evil.example/http://127.0.0.1:{PORT}", "file://",
        "chrome-extension://127.0.0.1:{PORT}", "127.0.0.1:{PORT}", "//127.0.0.1:{PORT}", "ws://127.0.0.1:{PORT}",
        "http://127.0.0.1:{PORT} https://evil.example", "http://127.0.0.1:{PORT}, https://evil.example",
        "http://127.0.0.1:{PORT}\\@evil.example", "http://[::1]:{PORT}", "HTTP//127.0.0.1:{PORT}",
    ]  # fmt: skip
    for value in bad:
        for method, path in (("POST", "/api/replay"), ("GET", "/api/requests")):
            yield Case(f"{method} from {value!r}", False, method, path, (HOST, ("Origin", value), BEARER))
    for value in ("http://127.0.0.1:{PORT}", "HTTP://127.0.0.1:{PORT}"):
        yield Case(f"POST from {value}", True, "POST", "/api/replay", (HOST, ("Origin", value), BEARER))
        yield Case(f"GET from {value}", True, headers=(HOST, ("Origin", value), BEARER))
    yield Case("two origins", False, "POST", "/api/replay", (HOST, ORIGIN, ("Origin", "https://evil.example"), BEARER))
    for site, reads, acts in [
        ("same-origin", True, True), ("none", True, False), ("same-site", False, False), ("cross-site", False, False),
        ("Cross-Site", False, False), ("", False, False), ("same-origin, cross-site", False, False),
    ]:  # fmt: skip
        fetch = ("Sec-Fetch-Site", site)
        yield Case(f"GET {site!r}", reads, headers=(HOST, fetch, BEARER))
        yield Case(f"GET {site!r} with a cookie", reads, headers=(HOST, fetch, COOKIE))
        yield Case(f"POST {site!r}", acts, "POST", "/api/replay", (HOST, fetch, BEARER))
        yield Case(f"POST {site!r} of a page", acts, "POST", "/api/replay", (HOST, ORIGIN, fetch, COOKIE, CSRF))
    yield Case("a preflight", False, "OPTIONS", "/api/replay", (
        HOST, ("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST"),
    ))  # fmt: skip
    yield Case("a preflight of nobody's", False, "OPTIONS", "/api/replay", (HOST, BEARER))


def _credentials() -> Iterator[Case]:
    good = ["Bearer {TOKEN}", "bearer {TOKEN}", "BEARER {TOKEN}"]
    bad = [
        "{TOKEN}", "Bearer", "Bearer ", "Basic {TOKEN}", "Bearer {TOKEN}x", "Bearer x{TOKEN}", "Bearer wrong",
        "Bearer {TOKEN},Bearer wrong", "Bearer {TOKEN} wrong", "Bearer \u00e9", "Bearer {COOKIE}", "Bearer {CSRF}",
        "Bearer null", "Token {TOKEN}", "Bearer: {TOKEN}", 'Bearer "{TOKEN}"', "Digest {TOKEN}",
    ]  # fmt: skip
    for value in good:
        yield Case(f"authorization {value}", True, headers=(HOST, ("Authorization", value)))
        yield Case(f"authorization {value} acts", True, "POST", "/api/replay", (HOST, ("Authorization", value)))
    for value in bad:
        yield Case(f"authorization {value}", False, headers=(HOST, ("Authorization", value)))
        yield Case(f"authorization {value} and a cookie", False, headers=(HOST, ("Authorization", value), COOKIE))
    yield Case("two authorizations", False, headers=(HOST, BEARER, ("Authorization", "Bearer wrong")))
    for path in ("/", "/streams", "/requests/req-0001", "/static/app.css", "/api/events", "/api/requests/req-0001"):
        yield Case(f"nobody at {path}", False, path=path, headers=(HOST,))
        yield Case(f"the token at {path}", True, path=path)
    for name in ("X-Token", "X-Api-Key", "X-Clippy-Token", "Proxy-Authorization"):
        yield Case(f"the token in {name}", False, headers=(HOST, (name, "Bearer {TOKEN}")))
    for query in (
        "token={TOKEN}",
        "a=1&token={TOKEN}",
        "q={TOKEN}",
        "access_token={TOKEN}",
        "{TOKEN}",
        "TOKEN={TOKEN}",
        "key=Bearer%20{TOKEN}",
        "key=Bearer+{TOKEN}",
        "q=a%2526token%253D{TOKEN}",
        "token[]={TOKEN}",
        "q=%22{TOKEN}%22",
        "next=/x?token%3D{TOKEN}",
        "q=x{TOKEN}y",
        "q=0{TOKEN}",
        "q=%78%257B{TOKEN}",
    ):
        yield Case(f"the token in the query {query}", False, path=f"/api/requests?{query}", headers=(HOST,))
        yield Case(f"also with a cookie {query}", False, path=f"/api/requests?{query}", headers=(HOST, COOKIE))
        yield Case(f"also with the header {query}", False, path=f"/api/requests?{query}")
    yield Case("the token as an id", False, path="/api/requests/{TOKEN}")
    yield Case("the token within an id", False, path="/requests/x{TOKEN}y")
    for query in (
        "q=token",
        "q=status:%3E%3D400",
        "q=model%3Agpt-4o",
        "token=",
        "q=%2e%2e%2f",
        "q=//evil.example",
        "q=Bearer",
        "token_count=5",
        "q=%3Cscript%3E",
        "q=a%26token%3D",
    ):
        yield Case(f"a filter {query}", True, path=f"/api/requests?{query}")


def _cookies() -> Iterator[Case]:
    name = "clippy-inspect-{PORT}"
    reading = [
        ("alone", f"{name}={{COOKIE}}", True), ("the last of several", f"a=1; b=2; {name}={{COOKIE}}", True),
        ("the first of several", f"{name}={{COOKIE}}; theme=dark", True),
        ("without spaces", f"a=1;{name}={{COOKIE}}", True),
        ("another server's beside it", f"clippy-inspect-{{OTHER}}=x; {name}={{COOKIE}}", True),
        ("the token as a session", "session={TOKEN}", False), ("the token in ours", f"{name}={{TOKEN}}", False),
        ("the csrf value in ours", f"{name}={{CSRF}}", False), ("cut", f"{name}=", False), ("no value", name, False),
        ("under another server's name", "clippy-inspect-{OTHER}={COOKIE}", False),
        ("under another name", "session={COOKIE}", False), ("upper case", "CLIPPY-INSPECT-{PORT}={COOKIE}", False),
        ("twice, one of them wrong", f"{name}={{COOKIE}}; {name}=wrong", False),
        ("twice, the first wrong", f"{name}=wrong; {name}={{COOKIE}}", False), ("longer", f"{name}={{COOKIE}}x", False),
        ("inside another", f"a={name}={{COOKIE}}", False), ("quoted", f'{name}="{{COOKIE}}"', False),
    ]  # fmt: skip
    for label, value, allowed in reading:
        yield Case(f"cookie {label}", allowed, headers=(HOST, ("Cookie", value)))
    post = "/api/replay"
    yield Case("a page acts", True, "POST", post, (HOST, ORIGIN, COOKIE, CSRF))
    yield Case("a page acts, form", True, "POST", post, (
        HOST, ORIGIN, COOKIE, CSRF, ("Content-Type", "application/x-www-form-urlencoded"),
    ))  # fmt: skip
    yield Case("a cookie alone never acts", False, "POST", post, (HOST, ORIGIN, COOKIE))
    yield Case("nor without an origin", False, "POST", post, (HOST, COOKIE, CSRF))
    yield Case("nor with another's value", False, "POST", post, (HOST, ORIGIN, COOKIE, (CSRF[0], "wrong")))
    yield Case("nor with an empty value", False, "POST", post, (HOST, ORIGIN, COOKIE, (CSRF[0], "")))
    yield Case("nor with the cookie's value", False, "POST", post, (HOST, ORIGIN, COOKIE, (CSRF[0], "{COOKIE}")))
    yield Case("nor with two values", False, "POST", post, (HOST, ORIGIN, COOKIE, CSRF, (CSRF[0], "wrong")))
    yield Case("the value without the cookie", False, "POST", post, (HOST, ORIGIN, CSRF))
    yield Case("the value in the query", False, "POST", post + "?x-clippy-csrf={CSRF}", (HOST, ORIGIN, COOKIE))
    for method in ("PUT", "DELETE", "PATCH", "TRACE"):
        yield Case(f"{method} is nothing here", False, method, post, (HOST, ORIGIN, BEARER))
    override = ("X-HTTP-Method-Override", "POST")
    yield Case("a GET that would be a POST", False, "GET", post, (HOST, COOKIE, override))
    yield Case("a stream cannot be cancelled by a link", False, "GET", "/api/streams/req-0001/cancel", (HOST, BEARER))


def _websockets() -> Iterator[Case]:
    upgrade = (("Connection", "Upgrade"), ("Upgrade", "websocket"))

    def ws(name: str, allowed: bool, *headers: tuple[str, str]) -> Case:
        return Case(f"websocket {name}", allowed, path="/ws", headers=(*headers, *upgrade), websocket=True)

    yield ws("with origin and token", True, HOST, ORIGIN, BEARER)
    yield ws("with localhost", True, ("Host", "localhost:{PORT}"), ("Origin", "http://localhost:{PORT}"), BEARER)
    yield ws("with a cookie", False, HOST, ORIGIN, COOKIE)
    yield ws("with a cookie and its value", False, HOST, ORIGIN, COOKIE, CSRF)
    yield ws("without an origin", False, HOST, BEARER)
    yield ws("without anything", False, HOST)
    yield ws("from elsewhere", False, HOST, ("Origin", "https://evil.example"), BEARER)
    yield ws("from nowhere", False, HOST, ("Origin", "null"), BEARER)
    yield ws("after a rebinding", False, ("Host", "evil.example"), ("Origin", "http://evil.example"), BEARER)
    yield ws("to another port", False, HOST, ("Origin", "http://127.0.0.1:{OTHER}"), BEARER)
    yield ws("with the token in a protocol", False, HOST, ORIGIN, ("Sec-WebSocket-Protocol", "{TOKEN}"))
    odd = (HOST, COOKIE, ("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket"))
    yield Case("a websocket that was not told to be one", False, path="/ws", headers=odd)


def _paths() -> Iterator[Case]:
    bad = [
        "/static/../../etc/passwd", "/static/..", "/static/.", "/./", "/../", "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2fetc/passwd", "/static/%252e%252e%252fetc", "/static/..\\..\\etc", "/static/..%5c..%5cetc",
        "/static/....//....//etc/passwd", "/static//etc/passwd", "//etc/passwd", "//evil.example/",
        "/static/%00app.css", "/static/nothing.js", "/static/.env", "/static/VENDOR.toml", "/static/htmx.LICENSE",
        "/static/app.css%00.js", "/static/app.css/", "/static/", "/static", "/static/app.css/../door.py",
        "/%73tatic/app.css", "/static/%c0%ae%c0%ae/", "/static/..;/", "/requests/", "/requests/../api/requests",
        "/requests/a/b", "/requests/" + "a" * 129, "/requests/%3Cscript%3E", "/requests/a;b", "/api", "/api/",
        "/api/eval", "/api/exec", "/api/requests/", "/API/requests", "/Api/Requests", "/debug", "/console",
        "/openapi.json",
        "/.env", "/.git/config", "/admin", "/api/requests/a/sent/x", "/api/requests/a/har/../../b", "/open", "/open/",
        "/open/wrong", "/api/streams/a/eval", "/ws/",
        "/..;/api/requests", "/static/app.css::$DATA", "/api/requests;jsessionid=1", "/api/requests%00",
        "http://evil.example/", "/\\evil.example", "/api/requests.json", "/server-status", "/__pycache__/x",
    ]  # fmt: skip
    for path in bad:
        yield Case(f"path {path}", False, path=path)
    for path in ("/api/eval", "/api/exec", "/api/run", "/eval", "/api/streams/a/eval", "/api/validate/code"):
        yield Case(f"nothing is evaluated at {path}", False, "POST", path, (HOST, ORIGIN, BEARER))
        yield Case(f"nor for a page at {path}", False, "POST", path, (HOST, ORIGIN, COOKIE, CSRF))
    good = [
        "/",
        "/requests/a-b_C9",
        "/api/requests/req-0001/har",
        "/api/requests/req-0001/sent/1",
        "/static/app.js",
        "/ws",
    ]
    for path in good:
        yield Case(f"path {path}", True, path=path)
        yield Case(f"HEAD {path}", True, "HEAD", path)
    yield Case("a page that cannot be posted to", False, "POST", "/", (HOST, ORIGIN, BEARER))


ATTACKS = [case for case in variants() if not case.allowed]
BENIGN = [case for case in variants() if case.allowed]
