"""What the gateway refuses itself reaches no plugin; it must be seen all the same."""

from __future__ import annotations

import logging

import pytest
from clippy_gateway.refusals import Refusals
from clippy_gateway.settings import Key
from gateway_world import CALLERS_KEY, World

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
        missing = world.ask("POST", "/v1nowhere", json={})
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(" (request")[0] for line in lines] == [
        f"refused with 401 invalid_api_key: POST {CHAT} of nobody known",
        "refused with 404 not_found: POST /v1nowhere of the key team",
    ]
    assert refused.headers["x-clippy-request-id"] in lines[0]
    assert missing.headers["x-clippy-request-id"] in lines[1]
    assert "canary" not in "".join(lines)


def test_a_flood_is_counted_and_fills_no_log(caplog):
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    with caplog.at_level(logging.WARNING, "clippy.gateway"):
        for number in range(1000):
            now[0] = number / 500
            refusals.note(401, "invalid_api_key", "", "POST", "/v1/\x1b[2J" + "x" * 9000, "id")
        refusals.note(429, "too_many_requests", "team", "POST", CHAT, "id")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert "499 more of this kind" in lines[1]
    assert all(line.isprintable() and len(line) < 400 for line in lines)
    rows = refusals.table().rows
    assert rows == ((401, "invalid_api_key", "", 1000), (429, "too_many_requests", "team", 1))


def test_the_counts_are_the_plugins_status(world):
    world.ask("POST", CHAT, WRONG, json={"model": "m", "messages": []})
    (table,) = drive(world.gateway.status_tables())
    assert (401, "invalid_api_key", "") in {row[:3] for row in table.rows}


DEEP = b" " * 64 + b'{"a":' + b"[" * 500 + b"]" * 500 + b"}"


def test_a_deep_body_is_refused_however_its_type_is_written(world):
    answer = world.ask("POST", CHAT, content=DEEP, headers={"content-type": "Application/JSON"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "body_too_deep")


@pytest.mark.parametrize("text", ["hello", "\\ud83d"])
def test_half_a_character_is_no_way_to_a_model_that_a_key_may_not_use(text):
    """What our own reader does not take, a provider may."""
    settings = {"keys": {"team": Key(CALLERS_KEY, routes=("main",))}, "models": {"dear*": "answers", "*": "main"}}
    body = f'{{"model":"dear-1","messages":[{{"role":"user","content":"{text}"}}]}}'.encode()
    with World(Reply("x"), {}, settings) as made:
        answer = made.ask("POST", CHAT, content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, made.provider.calls) == (403, 0)
