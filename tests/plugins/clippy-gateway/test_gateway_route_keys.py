"""A provider that refuses the key of a route: whose affair that is, and what a caller is told of it."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from attrs import define
from clippy_errors import ErrorClassifier
from clippy_gateway.settings import Key
from clippy_hookspecs import Refusal, hookimpl
from gateway_world import CALLERS_KEY, World

from clippy_core.testing import Fault, Reply


@define(eq=False)
class Asks:
    """Refuses in the words and with the statuses of a provider that does not know a key."""

    status: int

    @hookimpl
    def pre_request(self, request, ctx):
        raise Refusal("this api key is not yours", self.status, "not_yours")


def _with_key(script, key=CALLERS_KEY, plugins=None):
    return World(script, plugins or {}, {"keys": {"team": Key(CALLERS_KEY)} if key else {}})


@pytest.mark.parametrize("plugins", [{}, {"classes": ErrorClassifier()}], ids=["bare", "classified"])
def test_a_key_of_the_route_that_the_provider_does_not_take_is_the_gateways_affair(plugins, caplog):
    """The caller's own key is right: no SDK may say that it is not, and none need try again."""
    with _with_key(Fault.status(401), plugins=plugins) as made, httpx2.Client(trust_env=False) as http:
        how: Any = {"api_key": CALLERS_KEY, "http_client": http}
        chat, claude = openai.OpenAI(base_url=f"{made.url}/v1", **how), anthropic.Anthropic(base_url=made.url, **how)
        hello: Any = [{"role": "user", "content": "hello"}]
        with pytest.raises(openai.InternalServerError, match="gateway's key for the route main") as plain:
            chat.chat.completions.create(model="m", messages=hello)
        with pytest.raises(openai.InternalServerError, match="gateway's key for the route main"):
            chat.chat.completions.create(model="m", messages=hello, stream=True)
        for route in ("claude", "main"):
            to: Any = {"extra_headers": {"x-clippy-route": route}}
            with pytest.raises(anthropic.InternalServerError, match=f"gateway's key for the route {route}"):
                claude.messages.create(model="m", max_tokens=5, messages=hello, **to)
        with pytest.raises(openai.InternalServerError, match="gateway's key"):
            chat.embeddings.create(model="m", input="x")
        assert made.provider.calls == 5, "no SDK tried again"
    assert (plain.value.status_code, plain.value.code) == (502, "route_key_refused")
    assert plain.value.response.headers["x-clippy-request-id"]
    assert "the route main failed for the key team" in caplog.text
    assert "the provider answered 401 to routes.main.key" in caplog.text


REGION = {"error": {"code": "unsupported_country_region_territory", "message": "Country not supported", "type": "x"}}
FLAGGED = {"error": {"code": 403, "message": "Your input was flagged", "metadata": {"flagged_input": "my api key"}}}
EXPIRED = {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "Your API key was reported as leaked."}}


@pytest.mark.parametrize(
    ("body", "seen"), [(REGION, 403), (FLAGGED, 403), (EXPIRED, 502)], ids=["region", "content", "key"]
)
def test_what_else_a_provider_forbids_is_told_in_its_words(body, seen):
    """A model that is not open to an account, a country, a question: for the caller to know."""
    fault = Fault.status(403, body=json.dumps(body).encode(), headers={"content-type": "application/json"})
    with _with_key(fault) as made:
        answer = made.chat()
    assert answer.status_code == seen
    assert (answer.json() == body) is (seen == 403)


@pytest.mark.parametrize("status", [401, 403])
def test_what_a_plugin_refuses_is_told_in_the_plugins_words(status):
    with _with_key(Reply("x"), plugins={"asks": Asks(status)}) as made:
        answer = made.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, "not_yours")


def test_who_needs_no_key_is_told_the_providers_own_refusal():
    """Without keys of the gateway's own there is no other one that it could be about."""
    with _with_key(Fault.status(401), None) as made:
        answer = made.chat(key=None)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
