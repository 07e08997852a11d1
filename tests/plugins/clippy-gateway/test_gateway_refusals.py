"""What the gateway refuses itself reaches no plugin; it must be seen all the same."""

from __future__ import annotations

import logging
import socket
import time

import pytest
from clippy_breaker import CircuitBreaker
from clippy_gateway import Gateway
from clippy_gateway.callers import Callers
from clippy_gateway.forms import Refused
from clippy_gateway.refusals import Refusals
from clippy_gateway.settings import AccessLog, Key, RequestLimits
from clippy_hookspecs import ErrorInfo
from gateway_world import CALLERS_KEY, World
from patience import PATIENCE

from clippy_core.driven import drive
from clippy_core.testing import Reply

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
WRONG = "sk-wrong-canary-0123456789"


@pytest.fixture(scope="module")
def world():
    with World(Reply("x"), {}, {"keys": {"team": Key(CALLERS_KEY)}}) as made:
        yield made


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
@pytest.mark.parametrize(
    "body", [b"{model", b"", b"[]", b'"text"', b"{} {}", b"\xff\xfe", b'{"model":"m"', '{"model":"m"}'.encode("utf-16")]
)
def test_a_call_that_is_no_json_object_is_refused_and_nobody_asked(world, path, body):
    before = world.provider.calls
    answer = world.ask("POST", path, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, world.provider.calls) == (400, before)
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("body", [b'{"model":"m"}', b'{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}'])
def test_what_is_wrong_with_an_object_is_for_the_provider_to_say(world, body):
    """Half a surrogate pair too, which JavaScript sends when it cuts a text."""
    before = world.provider.calls
    world.ask("POST", CHAT, content=body, headers={"content-type": "application/json"})
    assert world.provider.calls > before


def test_a_refusal_has_a_line_with_the_id_that_its_caller_was_told(world, caplog):
    with caplog.at_level(logging.WARNING, "clippy.gateway"):
        refused = world.ask("POST", f"{CHAT}?key=canary", WRONG, json={"model": "m", "messages": []})
        missing = world.ask("POST", "/nowhere/sk-canary-9", json={})
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(" (request")[0] for line in lines] == [
        f"refused with 401 invalid_api_key: POST {CHAT} of nobody known (key #{fingerprint(WRONG)})",
        "refused with 404 not_found: POST /nowhere/* of the key team",
    ]
    assert refused.headers["x-clippy-request-id"] in lines[0]
    assert missing.headers["x-clippy-request-id"] in lines[1]
    assert "canary" not in "".join(lines)


def _failures(key, plugins=None):
    """What a caller is told, and the log, of a route that nobody answers at, and of its breaker."""
    with World(Reply("x"), plugins or {}, {"keys": {"team": Key(CALLERS_KEY)} if key else {}}) as made:
        made.provider.stop()
        answers = [made.chat(key=key).json()["error"] for _ in range(2)]
        message = made.ask("POST", MESSAGES, key, json={"model": "m", "max_tokens": 5, "messages": []}).json()["error"]
        return [*answers, message], made.provider.origin


@pytest.mark.parametrize("plugins", [{}, {"breaker": CircuitBreaker(state="forced_open")}], ids=["bare", "breaker"])
def test_a_caller_with_a_key_is_told_the_route_and_the_kind_and_the_log_the_rest(plugins, caplog):
    errors, origin = _failures(CALLERS_KEY, plugins)
    assert {error["message"].partition(":")[0] for error in errors} == {
        "the route main gave no answer",
        "the route claude gave no answer",
    }
    said = str(errors)
    assert not any(word in said for word in (origin.removeprefix("http://"), "127.0.0.1", "Error:", "Connect call"))
    assert "the route main failed for the key team" in caplog.text
    assert any(word in caplog.text for word in ("ClientConnectorError", "the breaker of openai.chat at"))


def test_who_needs_no_key_is_told_everything():
    assert "ConnectorError" in _failures(None)[0][0]["message"]


def fingerprint(key: str, *keys: str) -> str:
    """Of a wrong *key*, at a gateway with these keys."""
    callers = Callers({f"team-{number}": Key(one) for number, one in enumerate(keys or (CALLERS_KEY,))})
    with pytest.raises(Refused) as refused:
        callers.find({b"host": b"x", b"authorization": b"Bearer " + key.encode()})
    return refused.value.stranger


def test_one_wrong_key_has_one_fingerprint_that_tells_nothing_of_it():
    other = "another-key-0123456789"
    assert fingerprint(WRONG) == fingerprint(WRONG), "in every worker, and after the next start"
    assert fingerprint(WRONG) != fingerprint(other)
    assert fingerprint(WRONG, CALLERS_KEY, other) == fingerprint(WRONG, other, CALLERS_KEY)
    assert fingerprint(WRONG) != fingerprint(WRONG, other), "who has not the gateway's keys cannot try keys out"
    assert len(fingerprint(WRONG)) == 8


def test_one_wrong_client_looks_otherwise_than_many(caplog):
    now = [0.0]
    one, many = Refusals(lambda: now[0]), Refusals(lambda: now[0])
    with caplog.at_level(logging.WARNING, "clippy.gateway"):
        for refusals, keys in ((one, 1), (many, 300)):
            for number in range(601):
                now[0] += 1.0 if number == 600 else 0.0
                wrong = Refused(401, "invalid_api_key", "", stranger=f"{number % keys:08x}")
                refusals.note(wrong, "", "POST", CHAT, "id")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4
    assert "nobody known (key #00000000)" in lines[0]
    assert lines[1].endswith("; 599 more of this kind since the last line")
    assert lines[3].endswith("; 599 more of this kind since the last line, with 100 or more wrong keys")
    assert one.table().rows == ((401, "invalid_api_key", "#00000000", 601),)
    assert many.table().rows[0] == (401, "invalid_api_key", "#others", 400)
    assert len(many.counts) == 101


def test_a_flood_is_counted_and_fills_no_log(caplog):
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    with caplog.at_level(logging.WARNING, "clippy.gateway"):
        for number in range(1000):
            now[0] = number / 500
            refusals.note(Refused(401, "invalid_api_key", ""), "", "POST", "/v1/\x1b[2J" + "x" * 9000, "id")
        refusals.note(Refused(429, "too_many_requests", ""), "team", "POST", CHAT, "id")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert "499 more of this kind" in lines[1]
    assert all(line.isprintable() and len(line) < 400 for line in lines)
    rows = refusals.table().rows
    assert rows == ((401, "invalid_api_key", "", 1000), (429, "too_many_requests", "team", 1))


def test_a_failure_that_quotes_what_a_provider_sent_cannot_speak_to_whoever_reads_the_log(caplog):
    said = "bad line \x1b]52;c;eA==\x07 \x9b31m \u202e \x7f \r\nforged: refused, says \u0645\u06cc\u200c\u062e"
    Refusals().note_failed("team", "main", 502, ErrorInfo(kind="odd\x1b[2J", message=said), "id")
    [line] = [record.getMessage() for record in caplog.records]
    assert line.replace("\u200c", "").isprintable()
    assert line.endswith("forged: refused, says \u0645\u06cc\u200c\u062e")


def test_the_counts_are_the_plugins_status(world):
    world.ask("POST", CHAT, WRONG, json={"model": "m", "messages": []})
    (table,) = drive(world.gateway.status_tables())
    assert (401, "invalid_api_key", f"#{fingerprint(WRONG)}") in {row[:3] for row in table.rows}


def test_the_status_is_that_of_the_gateway_which_serves():
    """The command's options make another one of the configured gateway, which is the one that plugins find."""
    configured = Gateway(port=1)
    with World(Reply("x"), {"gateway": configured}, {"keys": {"team": Key(CALLERS_KEY)}}) as made:
        made.chat(key=WRONG)
        shown = made.app.host.plugins["gateway"]
        (table,) = drive(shown.status_tables())
    assert [row[:2] for row in table.rows] == [(401, "invalid_api_key")]


DEEP = b" " * 64 + b'{"a":' + b"[" * 500 + b"]" * 500 + b"}"


def test_a_deep_body_is_refused_however_its_type_is_written(world):
    answer = world.ask("POST", CHAT, content=DEEP, headers={"content-type": "Application/JSON"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "body_too_deep")


@pytest.mark.parametrize("text", ["hello", "\\ud83d"])
def test_neither_half_a_character_nor_another_encoding_is_a_way_to_a_model_that_a_key_may_not_use(text):
    """What our own reader does not take, a provider may."""
    settings = {"keys": {"team": Key(CALLERS_KEY, routes=("main",))}, "models": {"dear*": "answers", "*": "main"}}
    body = f'{{"model":"dear-1","messages":[{{"role":"user","content":"{text}"}}]}}'.encode()
    with World(Reply("x"), {}, settings) as made:
        for path, sent in ((CHAT, body), ("/v1/moderations", body.decode().encode("utf-16"))):
            answer = made.ask("POST", path, content=sent, headers={"content-type": "application/json"})
            assert (answer.status_code, made.provider.calls) == (403, 0)


def test_what_never_became_a_request_is_counted_logged_and_in_the_access_log(tmp_path, caplog):
    file = tmp_path / "access.log"
    settings = {"keys": {"team": Key(CALLERS_KEY)}, "access_log": AccessLog(to=str(file))}
    settings["limits"] = RequestLimits(head=1000, target=1000)
    with World(Reply("x"), {}, settings, head_seconds=1.0) as world:
        assert world.raw(b"")[:1] == b""  # opened and not used: nothing was refused
        with socket.create_connection(("127.0.0.1", world.server.port), timeout=PATIENCE) as connection:
            for piece in (b"GET / HTTP/1.1\r\nx: ", b"y" * 5000):
                connection.sendall(piece)
                time.sleep(0.05)  # so that it comes as a piece of its own
            assert connection.recv(4096).startswith(b"HTTP/1.1 431 ")
        assert world.raw(b"sk-canary\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        assert world.raw(b"GET /sk-canary HTTP/1.1\r\nHo").startswith(b"HTTP/1.1 408 ")
        rows = sorted(world.gateway._refusals.table().rows)
    wanted = [(400, "no_http"), (408, "head_too_slow"), (431, "head_too_long")]
    assert rows == [(status, code, "", 1) for status, code in wanted]
    told = sorted(record.getMessage().partition(": ")[0] for record in caplog.records if record.levelno >= 30)
    assert told == [f"refused with {status} {code}" for status, code in wanted]
    lines = file.read_text().splitlines()
    wanted_lines = [[str(status), "*", "*", "bytes=0+0", f"refused={code}"] for status, code in wanted]
    assert sorted(line.split()[1:2] + line.split()[3:] for line in lines) == wanted_lines
    assert "canary" not in caplog.text + "".join(lines)
