"""The access log: a line for each request, whatever became of it, without a secret and without waiting."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import define
from clippy_cache_memory import MemoryCache
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_gateway import Gateway
from clippy_gateway.access import Access, Line
from clippy_gateway.access_lines import as_json, as_text
from clippy_gateway.paths import shape
from clippy_gateway.settings import AccessLog, Key, RequestLimits
from clippy_hookspecs import (
    AuditRecord,
    Chunk,
    ConfigError,
    Headers,
    RawReply,
    RawRequest,
    RequestContext,
    Routes,
    Usage,
    hookimpl,
)
from clippy_inspect import Inspect
from clippy_retry import RetryPolicy
from gateway_world import CALLERS_KEY, PROVIDERS_KEY, Books, World
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE, until

from clippy_core.testing import Fault, Reply

CANARIES = ("canary", "sk-", "secret", "prompt words", "answer words")
TOKEN = "token-of-this-very-test-0123"
WRONG = "sk-wrong-canary-0123456789"


class Logged:
    """A gateway that writes its access log into *file*."""

    def __init__(self, file: Path, script: Any = None, plugins: Mapping[str, object] | None = None, **log: Any) -> None:
        self.file = file
        settings = {
            "keys": {"shop": Key(CALLERS_KEY)},
            "limits": RequestLimits(stall=0.2),
            "access_log": AccessLog(to=str(file), **{"format": "json", **log}),
        }
        self.world = World(script, plugins or {}, settings)

    def __enter__(self) -> Logged:
        self.world.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.world.__exit__()

    @property
    def text(self) -> str:
        """What was written, all of it: the gateway has ended."""
        return self.file.read_text("ascii")

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def test_a_line_says_who_asked_what_and_how_it_went(file):
    with Logged(file, Reply("answer words", usage=Usage(12, 3))) as made:
        answer = made.world.chat("prompt words")
    (line,) = made.lines
    assert re.fullmatch(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert 0 < line.pop("first_byte") <= line.pop("duration")
    assert line == {
        "id": answer.headers["x-clippy-request-id"],
        "key": "shop", "method": "POST", "path": "/v1/chat/completions", "route": "main", "model": "m", "status": 200,
        "attempts": 1, "cache": "off", "input_tokens": 12, "output_tokens": 3,
        "bytes_in": len(answer.request.content), "bytes_out": len(answer.content),
    }  # fmt: skip


def test_text_is_one_line_of_plain_words(file):
    with Logged(file, Reply("answer words", usage=Usage(12, 3)), format="text") as made:
        answer = made.world.chat("prompt words")
        made.world.ask("GET", "/v1/files/file-secret?key=secret", WRONG)
    fine, refused = made.text.splitlines()
    assert re.fullmatch(
        r"\S+Z 200 \d+\.\d{3}s POST /v1/chat/completions key=shop route=main model=m attempts=1 cache=off "
        rf"bytes=\d+\+\d+ tokens=12\+3 id={answer.headers['x-clippy-request-id']}",
        fine,
    )
    assert re.fullmatch(
        r"\S+Z 401 \d+\.\d{3}s GET /v1/files/\* fingerprint=[0-9a-f]{8} bytes=0\+\d+ refused=invalid_api_key id=\w{16}",
        refused,
    )


def test_the_model_that_answered_is_told_beside_the_one_asked_for(file):
    """After a fallback; where the model asked for answered, one name is enough."""
    plugins = {"errors": ErrorClassifier(), "fallback": Fallback(routes=("dear",))}
    logged = Logged(file, [Fault.status(503), Reply("answer words"), Reply("answer words")], plugins, format="text")
    provider = {"api": "openai.chat", "base_url": "{provider}/v1", "key": PROVIDERS_KEY}
    logged.world.routes = {"main": provider, "dear": {**provider, "model": "dear-model"}}
    with logged as made:
        made.world.chat("prompt words")
        made.world.chat("prompt words")
    fallen, plain = made.text.splitlines()
    assert " route=dear model=m answering_model=dear-model attempts=2 " in fallen
    assert " route=main model=m attempts=1 " in plain


def test_attempts_and_hits_are_those_that_the_caller_was_told(file):
    script = [Fault.status(503), Reply("answer words")]
    plugins = {"cache-memory": MemoryCache(), "errors": ErrorClassifier(), "retry": RetryPolicy(base=0.001, cap=0.001)}
    with Logged(file, script, plugins) as made:
        made.world.chat("prompt words")
        made.world.chat("prompt words")
    told = [(line["attempts"], line["cache"].partition(";")[0]) for line in made.lines]
    assert told == [(2, "miss"), (0, "hit")]


def test_a_page_that_keeps_itself_fresh_is_no_line_but_who_opens_it_or_is_turned_away_is(file):
    """An open page asks a few times a second, and would be all that the log holds."""
    inspect = Inspect(enabled=True, gateway=True, token=TOKEN)
    opened, fresh = {"authorization": f"Bearer {TOKEN}"}, {"hx-request": "true"}
    asked: list[tuple[str, str, dict[str, str]]] = [
        ("GET", "/streams", opened),
        ("GET", "/streams", opened | fresh),
        ("GET", "/api/rows?q=x", opened | fresh),
        ("GET", "/api/dashboard", fresh),
        ("POST", "/api/streams/none/pause", opened | fresh),
        ("GET", "/v1/models", {"x-api-key": CALLERS_KEY} | fresh),
    ]
    with Logged(file, plugins={"inspect": inspect}) as made:
        with httpx.Client(base_url=made.world.url, trust_env=False, timeout=PATIENCE) as client:
            for method, path, headers in asked:
                client.request(method, path, headers=headers)
            with client.stream("GET", "/api/events", headers=opened | {"accept": "text/event-stream"}):
                pass  # what an open page listens to
    told = [(line["method"], line["status"]) for line in made.lines]
    assert [("GET", 200), ("GET", 401), ("POST", 404), ("GET", 200)] == told


def test_a_stream_is_counted_to_its_end_and_one_that_its_reader_leaves_says_so(file):
    with Logged(file, [[Fault.stall(PATIENCE, at_delta=2), Reply("one two three")]]) as made:
        url, body = made.world.url + "/v1/chat/completions", {"model": "m", "messages": [], "stream": True}
        headers = {"authorization": f"Bearer {CALLERS_KEY}"}
        with httpx.Client(trust_env=False, timeout=PATIENCE, headers=headers) as client:
            with client.stream("POST", url, json=body) as answer:
                next(answer.iter_raw())
        assert until(lambda: not made.world.app.busy)
    (line,) = made.lines
    assert (line["status"], line["end"], line["model"]) == (200, "left", "m")
    assert 0 < line["bytes_out"]
    assert line["id"]


def test_a_caller_that_stops_reading_is_cut_off_and_told_from_one_that_left(file, caplog):
    """The provider's connection is closed and the request settled, as with a caller that leaves."""
    words, books = ("x" * 65536,) * 200, Books()
    # The system may hold nearly all of it, so that the provider would have done what it has to do.
    answer = [[Fault.stall(PATIENCE, at_delta=190), Reply("".join(words), chunks=words)]]
    with Logged(file, answer, {"books": books}) as made:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", made.world.server.port))
            body = b'{"model": "m", "messages": [], "stream": true}'
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {CALLERS_KEY}\r\n"
            connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            assert until(lambda: books.records)
            assert until(lambda: not made.world.app.busy)
        assert until(lambda: made.world.provider.provider.closed_early == [1])
        (table,) = asyncio.run(made.world.gateway.status_tables())
    (line,) = made.lines
    assert (line["status"], line["end"], books.records[0].outcome) == (200, "stalled", "cancelled")
    assert table.rows == ((None, "stalled", "shop", 1),)
    assert "cut off, because its caller stopped reading: POST /v1/chat/completions of the key shop" in caplog.text


@define(eq=False)
class Stops:
    """Cancels every answer at its third chunk, as a page, a command or a plugin may."""

    passed: int = 0

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
        self.passed += 1
        if self.passed == 3:
            ctx.flow.cancel("by the test")


def test_a_stream_that_was_cancelled_on_purpose_says_so_and_is_no_trouble(file, caplog):
    words = tuple(f"word{number} " for number in range(5))
    with Logged(file, Reply("".join(words), chunks=words, chunk_delay=0.02), {"stops": Stops()}) as made:
        with pytest.raises(httpx.RemoteProtocolError):
            made.world.chat(body={"stream": True})
        assert until(lambda: not made.world.app.busy)
    (line,) = made.lines
    assert (line["status"], line["end"]) == (200, "cancelled")
    assert "broke off" not in caplog.text


@define(eq=False)
class Ticker:
    """A page that never ends by itself."""

    @hookimpl
    def register_routes(self, app: Routes) -> None:
        app.route("GET", "/ticks", self.ticks)

    async def ticks(self, request: RawRequest) -> RawReply:
        return RawReply(200, Headers(), self, {"endless": True})

    async def next(self) -> bytes:
        await asyncio.sleep(0.02)
        return b"tick"

    async def aclose(self) -> None:
        """Nothing is open."""


def test_who_leaves_a_page_that_never_ends_has_left(file):
    with Logged(file, plugins={"ticker": Ticker()}) as made:
        with httpx.stream("GET", made.world.url + "/ticks", trust_env=False) as answer:
            next(answer.iter_raw())
        assert until(lambda: made.file.exists() and made.lines)
    (line,) = made.lines
    assert (line["path"], line["status"], line["end"]) == ("/ticks", 200, "left")


def test_nothing_secret_is_in_it_whatever_is_asked_and_answered(file):
    with Logged(file, [Reply("answer words"), Fault.status(400, body=b'{"error":{"message":"secret"}}')]) as made:
        made.world.chat("prompt words", headers={"x-secret": "canary", "x-clippy-route": "main"})
        made.world.chat("prompt words", body={"model": "sk-canary-that-is-no-model"})
        made.world.chat("prompt words", WRONG)
        made.world.ask("POST", f"/v1/{WRONG}/secret-0?api_key=canary", json={"model": "m"})
        made.world.ask("POST", "/v1/chat/completions", headers={"x-clippy-route": "secret-canary"}, json={"model": "m"})
        made.world.chat(body={"model": "line\n\x1b[2J\x7f\u202e"})
        made.world.chat(body={"model": "mod\u00e8le"})
    assert len(made.lines) == 7
    assert [line.get("model") for line in made.lines][-2:] == [None, "mod\u00e8le"]
    assert made.text.replace("\n", "").isprintable()
    assert not [word for word in (*CANARIES, CALLERS_KEY, PROVIDERS_KEY) if word in made.text]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/responses/resp_67cb32528d", "/v1/responses/*"),
        ("/v1beta/models/gemini-pro:generateContent", "/v1beta/models/*"),
        ("/v1/messages/batches/msgbatch_01/results", "/v1/messages/batches/*/results"),
        ("/v1/vector_stores/vs_1/files", "/v1/vector_stores/*/files"),
        ("/\x1b[2J/\n/ü", "/*/*/*"),
        ("/" + "x/" * 50, "/x" * 11 + "/*"),
        ("/" + "x/" * 5000, "/*"),
        ("/v1/sk-canary/" + "a" * 25, "/v1/*/*"),
    ],
)
def test_a_path_shows_the_words_of_an_api_and_a_star_for_the_rest(path, shown):
    assert shape(path) == shown


@given(st.text() | st.text('\x7f\x1b\x9b\r\n\u202e\ud800"\\ ='))
def test_no_name_is_too_odd_for_a_line_and_none_ends_or_obeys_it(text):
    """Of a model, a plugin that cached, whatever a provider put into a header: a lone surrogate, DEL, a line end."""
    line = Line(None, "POST", "/v1/chat/completions", None, None)
    line.caller, line.used = text, (text, text, 1, 2)
    told = as_json(line)
    for written in (told, as_text(line)):
        assert written[:-1].decode("ascii").isprintable()
    assert {json.loads(told).get(name, "") for name in ("model", "answering_model", "key")} == {text}


def test_without_usage_no_request_is_looked_into(file):
    with Logged(file, Reply("answer words"), usage=False) as made:
        made.world.chat("prompt words")
        assert "access-log" not in made.world.app.host.plugins
    (line,) = made.lines
    assert (line["status"], line["route"], line.get("model"), line.get("input_tokens")) == (200, "main", None, None)


@define(eq=False)
class Sink:
    """Where lines go instead: to whatever *append* does."""

    append: Callable[[bytes], object]

    def close(self) -> None:
        """Nothing is open."""


def test_a_log_that_cannot_be_written_loses_lines_and_no_request(file, caplog):
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with Logged(file, Reply("answer words")) as made:
        made.world.app.access._sink = Sink(full)
        assert [made.world.chat().status_code for _ in range(3)] == [200] * 3
    told = [record.getMessage() for record in caplog.records if "the access log lost" in record.getMessage()]
    assert "cannot write" in told[0]
    assert sum(int(line.split()[4]) for line in told) == 3
    assert not file.read_bytes()


def test_lines_that_a_full_disk_cost_are_told_with_that_reason_once_it_has_room_again(file, caplog):
    rooms = iter([False, False, True])

    def append(_: bytes) -> None:
        if not next(rooms):
            raise OSError(28, "No space left on device")

    access = Access(AccessLog(to=str(file)))
    access._sink = Sink(append)
    for _ in range(3):
        line = access.begin({"method": "GET", "path": "/"}, None, None)
        line.ended = line.began
        access._write([line])
    access._warn(at_once=True)
    told = [record.getMessage() for record in caplog.records if "the access log lost" in record.getMessage()]
    assert [line.partition(": ")[2] for line in told] == [f"cannot write {file}: No space left on device"] * 2


def test_a_file_that_cannot_be_opened_is_a_fault_that_names_its_setting_and_a_trial_leaves_nothing(tmp_path):
    fine, taken = tmp_path / "new" / "deep" / "access.log", tmp_path / "taken"
    assert Gateway(access_log=AccessLog(to=str(fine))).unopened() == []
    assert [*tmp_path.iterdir()] == []
    taken.write_text("no folder")
    gateway = Gateway(access_log=AccessLog(to=str(taken / "access.log")))
    [fault] = gateway.unopened()
    assert "plugins.gateway.access_log.to is" in fault
    with pytest.raises(ConfigError, match=r"plugins\.gateway\.access_log\.to"):
        gateway._written().open()
    assert taken.read_text() == "no folder"


@pytest.mark.parametrize(
    "held",
    [
        b"SQLite format 3\0" + b"\0" * 100,
        b"[plugins.gateway]\nport = 1\n",
        b"x",
        b"2026-11-29T08:22:58.101Z INFO started\n",
        b'{"time":"2026-11-29T08:22:58.101Z","level":"INFO"}\n',
        b'127.0.0.1 - - [29/Nov/2026:08:22:58 +0000] "GET / HTTP/1.1" 200 5\n',
    ],
    ids=["database", "settings", "letter", "log of a program", "log in JSON", "log of a server"],
)
def test_a_file_of_somebody_elses_is_a_fault_and_left_as_it_is(file, held):
    """At a wrong path, most of all another log."""
    file.write_bytes(held)
    file.chmod(0o644)
    access = Access(AccessLog(to=str(file)))
    with pytest.raises(ConfigError, match=r"access_log\.to is .* choose another file"):
        access.open()
    assert [fault.partition(":")[0] for fault in access.faults()] == [
        f"plugins.gateway.access_log.to is '{file}', and is no access log"
    ]
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (held, 0o644)


@pytest.mark.parametrize("ended", ["whole", "torn"])
@pytest.mark.parametrize("form", [as_text, as_json])
def test_a_log_of_ours_is_gone_on_with_in_either_form(file, form, ended):
    """After the form was changed, and after a line that a full disk cut off."""
    nothing: Any = None
    for status, caller, answered in ((0, "", []), (200, "shop", []), (401, "", [(b"x-clippy-request-id", b"ab")])):
        line = Line(nothing, "GET", "/v1/models", nothing, nothing)
        line.status, line.caller, line.headers, line.ended = status, caller, answered, line.began
        held = form(line)
        file.write_bytes(held if ended == "whole" else held[: len(held) // 3])
        access = Access(AccessLog(to=str(file)))
        assert access.faults() == []
        access.open()
        access._sink.append(held)
        access.close()
        assert file.read_bytes().splitlines()[1] == held.strip()


def test_a_log_that_hangs_keeps_no_request_waiting(file):
    gate = threading.Event()
    with Logged(file, Reply("answer words")) as made:
        made.world.app.access._sink = Sink(lambda _: gate.wait(60))
        assert [made.world.chat(str(number)).status_code for number in range(3)] == [200] * 3
        gate.set()


def test_standard_error_gets_whole_lines(capfd):
    world = World(Reply("x"), {}, {"keys": {"shop": Key(CALLERS_KEY)}, "access_log": AccessLog(to="stderr")})
    with world as made:
        made.chat()
        assert made.ask("GET", "/health").status_code == 200
    lines = capfd.readouterr().err.splitlines()
    assert len([line for line in lines if "POST /v1/chat/completions key=shop" in line]) == 1
    assert "/health" not in "".join(lines), "probes are no requests"


def test_an_answer_that_outlasts_the_drain_has_its_line(file):
    words = ("one ", "two ", "three ")
    ends: list[str | None] = []

    @define(eq=False)
    class Kept:
        @hookimpl
        def audit(self, record: AuditRecord) -> None:
            ends.append(record.ended_by)

    logged = Logged(file, Reply("".join(words), chunks=words, chunk_delay=5.0), {"kept": Kept()})
    logged.world.drain = 1
    with logged, httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}
        headers = {"authorization": f"Bearer {CALLERS_KEY}"}
        with client.stream("POST", f"{logged.world.url}/v1/chat/completions", json=body, headers=headers) as answer:
            pieces = answer.iter_raw()  # one that is dropped closes the answer
            next(pieces)
            logged.world.server.stop()
    (line,) = logged.lines
    assert (line["status"], line["end"], line["key"]) == (200, "broken", "shop")
    assert ends == ["shutdown"], "its record tells it from a caller that left"
