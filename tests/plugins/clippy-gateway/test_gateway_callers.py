"""Who may ask what of the gateway, and what one request may take up."""

from __future__ import annotations

import functools
import gc
import gzip
import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from attrs import define, field
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_gateway import Gateway, Key
from clippy_gateway.bodies import judge_shape
from clippy_gateway.callers import judge_local
from clippy_gateway.calls import allowed, fits
from clippy_gateway.forms import Refused
from clippy_gateway.heads import judge_size
from clippy_gateway.settings import RequestLimits
from clippy_hookspecs import ConfigError, ErrorInfo, ProviderError, Request, RequestContext, Scope, Switch, hookimpl
from gateway_world import CALLERS_KEY, PROVIDERS_KEY, Books, World
from hypothesis import example, given
from hypothesis import strategies as st
from patience import PATIENCE, until
from yarl import URL

from clippy_core import Host
from clippy_core.testing import Fault, Reply

OTHER_KEY = "gw-other-canary-0123456789"
OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"


def keyed(script: Any = None, plugins: Any = None, key: dict[str, Any] | None = None, **settings: Any) -> World:
    keys = {"team": Key(CALLERS_KEY, **(key or {})), "other": Key(OTHER_KEY, tenant="other")}
    return World(script or Reply("x"), plugins or {}, {"keys": keys, **settings})


@pytest.mark.parametrize("given_key", [None, "sk-wrong", CALLERS_KEY + "x", CALLERS_KEY[:-1], PROVIDERS_KEY])
def test_a_wrong_key_is_refused_in_the_callers_form_and_nothing_is_sent(given_key):
    with keyed() as world:
        chat = world.chat(key=given_key)
        message = world.ask("POST", ANTHROPIC, given_key, json={"model": "m", "messages": []})
        assert world.provider.calls == 0
    assert (chat.status_code, message.status_code) == (401, 401)
    assert chat.json()["error"]["code"] in ("missing_api_key", "invalid_api_key")
    assert message.json()["type"] == "error"
    assert chat.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
def test_a_key_may_come_in_any_of_the_usual_headers(header):
    value = f"Bearer {CALLERS_KEY}" if header == "authorization" else CALLERS_KEY
    with keyed() as world:
        answer = world.chat(key=None, headers={header: value})
        head = world.provider.requests[0].head
    assert answer.status_code == 200
    assert CALLERS_KEY.encode() not in head


def test_a_key_that_is_sent_twice_is_taken_for_none():
    with keyed() as world:
        pair = f"authorization: Bearer {CALLERS_KEY}\r\n".encode()
        said = world.raw(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + 2 * pair + b"content-length: 2\r\n\r\n{}"
        )
    assert b" 400 " in said.split(b"\r\n")[0]


def test_a_callers_scope_comes_from_its_key_whatever_its_headers_say():
    books = Books()
    forged = {"x-clippy-tenant": "victim", "x-clippy-user": "root", "X-CLIPPY-SESSION": "s"}
    with keyed(plugins={"books": books}, key={"tenant": "acme", "user": "ann"}) as world:
        world.chat(headers=forged)
        world.chat(key=OTHER_KEY, headers=forged)
        assert until(lambda: len(books.records) == 2)
        assert b"x-clippy" not in world.provider.requests[0].head.lower()
    assert [record.scope for record in books.records] == [Scope("acme", "ann"), Scope("other", "other")]


def test_forged_scope_is_ignored_even_where_the_host_believes_headers():
    books = Books()
    keys = {"team": Key(CALLERS_KEY)}
    with World(Reply("x"), {"books": books}, {"keys": keys}, trust_headers=True, books=books) as world:
        world.chat(headers={"x-clippy-tenant": "victim"})
        assert until(lambda: books.records)
    assert books.records[0].scope == Scope(None, "team")


def test_a_trusted_caller_speaks_for_others():
    books = Books()
    with keyed(plugins={"books": books}, key={"tenant": "acme", "trusted": True}) as world:
        world.chat(headers={"x-clippy-user": "ann", "x-clippy-session": "s1"})
        world.chat(headers={"x-clippy-tenant": "beta"})
        assert until(lambda: len(books.records) == 2)
    assert [record.scope for record in books.records] == [Scope("acme", "ann", "s1"), Scope("beta", "team")]


def test_two_callers_do_not_share_answers():
    from clippy_cache_memory import MemoryCache

    with keyed(plugins={"cache-memory": MemoryCache()}) as world:
        first, again, other = world.chat(), world.chat(), world.chat(key=OTHER_KEY)
        assert world.provider.calls == 2
    assert [one.headers["x-clippy-cache"].split(";")[0] for one in (first, again, other)] == ["miss", "hit", "miss"]


@pytest.mark.parametrize(
    "call",
    [
        "GET /v1/files", "DELETE /v1/files/1", "POST /v1/fine_tuning/jobs", "DELETE /v1/responses/r", "GET /files",
        "GET /v1/chat/completions", "GET /v1/models/..%2ffiles", "GET /v1/models/%2e%2e", "DELETE /v1/models/m",
    ],
)  # fmt: skip
def test_a_key_for_calls_to_models_reaches_nothing_else(models_only, call):
    method, _, path = call.partition(" ")
    refused = models_only.ask(method, path, json={} if method == "POST" else None)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "call_not_allowed")
    assert models_only.provider.calls == 0


@pytest.fixture(scope="module")
def models_only():
    with keyed(key={"calls": ("models",)}) as world:
        yield world


def test_a_key_makes_the_calls_that_it_has():
    for asked in ("POST /v1/chat/completions", "POST /chat/completions/", "GET /v1/models/meta/llama"):
        assert allowed(("models",), *asked.split(" ")), asked
    assert allowed(("models", "POST /v1/audio/*"), "POST", "/v1/audio/speech")
    assert allowed(("* /v1/files*",), "DELETE", "/v1/files/1")
    assert not allowed(("POST /v1/audio/*",), "GET", "/v1/audio/speech")
    assert not allowed(("POST /v1/audio/*",), "POST", "/v1/audio/../files")
    with keyed(key={"calls": ("models",)}) as world:
        assert world.chat().status_code == 200
        assert world.ask("GET", "/v1/files", OTHER_KEY).status_code != 403, "who has no such list makes every call"


@pytest.mark.parametrize("call", ["model", "post /v1/audio/*", "POST audio", "POST /v1/[a]", "POST", ""])
def test_what_is_no_call_is_an_error_of_the_configuration(call):
    with pytest.raises(ValueError, match="is no call"):
        Key(CALLERS_KEY, calls=(call,))


def test_where_models_are_patterns_only_the_provider_lists_them():
    with keyed(models={"m*": "main", "claude-*": "claude"}) as world:
        world.ask("GET", "/v1/models")
        assert [seen.path for seen in world.provider.requests] == ["/v1/models"]


def test_a_key_uses_its_own_routes_only():
    settings = {"models": {"deep": "claude"}}
    with keyed(key={"routes": ("main",)}, **settings) as world:
        fine = world.chat()
        named = world.chat(headers={"x-clippy-route": "claude"})
        by_model = world.chat(body={"model": "deep"})
        message = world.ask(
            "POST", ANTHROPIC, json={"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
        )
        listed = world.ask("GET", "/v1/models")
        paths = [seen.path for seen in world.provider.requests]
        unknown = world.chat(headers={"x-clippy-route": "nowhere"})
    assert named.json()["error"]["code"] == "route_not_allowed"
    assert named.json()["error"]["message"] == "not the route 'claude': this key may use main"
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (403, "unknown_route")
    assert unknown.json()["error"]["message"].endswith("; this key may use main"), "not which others there are"
    assert "may use main" in by_model.json()["error"]["message"]
    assert (fine.status_code, named.status_code, by_model.status_code, message.status_code) == (200, 403, 403, 200)
    assert paths == ["/v1/chat/completions", "/v1/chat/completions"]
    assert listed.json()["data"] == []


def test_a_listed_model_is_as_old_as_the_gateways_list():
    """When a model was made nobody here knows; Anthropic's API has a word for that, and OpenAI's has none."""
    before = int(time.time())
    with keyed(key={}, models={"deep": "claude", "wide": "main"}) as world:
        listed = world.ask("GET", "/v1/models").json()["data"]
        one = world.ask("GET", "/v1/models/deep").json()
        theirs = world.ask("GET", "/v1/models", headers={"anthropic-version": "2023-06-01"}).json()["data"]
    assert {(before <= model["created"] <= time.time()) for model in (*listed, one)} == {True}
    assert listed[0] == one
    assert {model["created_at"] for model in theirs} == {"1970-01-01T00:00:00Z"}


@define(eq=False)
class Anywhere:
    """Switches to claude, whoever asks, and then to what is left."""

    told: list[str] = field(factory=list)

    @hookimpl
    def on_error(self, error: ErrorInfo) -> Switch | None:
        self.told.append(error.kind)
        return {1: Switch("claude"), 2: Switch("answers")}.get(len(self.told))


@pytest.mark.parametrize(
    ("routes", "answered_by"), [(("main",), None), (("main", "answers"), "/v1/responses"), ((), "/v1/messages")]
)
def test_who_switches_goes_on_to_the_routes_of_the_callers_key_only(routes, answered_by):
    anywhere = Anywhere()
    with keyed([Fault.status(503), Reply("x")], plugins={"anywhere": anywhere}, key={"routes": routes}) as world:
        answer = world.chat()
        paths = [seen.path for seen in world.provider.requests]
    assert paths == [path for path in ("/v1/chat/completions", answered_by) if path]
    assert answer.status_code == (200 if answered_by else 503), "the failure that its caller gets is main's own"
    assert anywhere.told[1:] == ["route_unfit"] * (len(anywhere.told) - 1)
    assert "claude" not in answer.text


def test_a_fallback_passes_over_a_route_that_the_callers_key_may_not_use():
    plugins = {"errors": ErrorClassifier(), "fallback": Fallback(routes=("claude",))}
    with keyed(Fault.status(503), plugins=plugins, key={"routes": ("main",)}) as world:
        assert world.chat().status_code == 503
        assert [seen.path for seen in world.provider.requests] == ["/v1/chat/completions"]


@define(eq=False)
class Asks:
    """Asks what it is asked, before anybody else does."""

    @hookimpl
    async def pre_request(self, request: Request, ctx: RequestContext) -> None:
        try:
            await ctx.ask(request)
        except ProviderError:
            return


def test_what_a_plugin_asks_within_a_request_stays_on_its_callers_routes():
    anywhere = Anywhere()
    plugins = {"anywhere": anywhere, "asks": Asks()}
    with keyed([Fault.status(503), Reply("x")], plugins=plugins, key={"routes": ("main",)}) as world:
        assert world.chat().status_code == 200
        assert [seen.path for seen in world.provider.requests] == ["/v1/chat/completions"] * 2
    assert anywhere.told[1:2] == ["route_unfit"]


def test_an_address_that_the_caller_names_is_denied():
    with keyed() as world:
        answer = world.chat(headers={"x-clippy-base-url": world.provider.base_url})
        assert world.provider.calls == 0
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "base", ["http://127.0.0.1:1/v1", "https://evil.example/v1", "https://api.example.com@127.0.0.1/"]
)
def test_a_key_with_a_list_of_hosts_may_name_these_only(base):
    with keyed(key={"base_urls": ("api.example.com",)}) as world:
        answer = world.chat(headers={"x-clippy-base-url": base})
    assert answer.status_code == 403


def test_a_request_to_an_address_of_the_callers_has_no_key_in_it():
    from clippy_gateway.callers import Caller
    from clippy_gateway.elsewhere import request_elsewhere

    caller = Caller("team", Key(CALLERS_KEY, base_urls=("api.example.com",)))
    fields = [(b"authorization", b"Bearer " + CALLERS_KEY.encode()), (b"x-api-key", b"k"), (b"cookie", b"c"),
              (b"host", b"gw"),
              (b"content-type", b"application/json"), (b"x-clippy-cache", b"no-store")]  # fmt: skip
    made = request_elsewhere("https://api.example.com/v1", caller, None, "POST", "/v1/chat/completions", fields, b"{}")
    assert (made.url, made.route) == ("https://api.example.com/v1/chat/completions", "")
    assert sorted(made.headers) == ["content-type", "x-clippy-cache"]
    for path in ("/v1/%2e%2e/admin", "/v1/%252e%252e/admin", "/v1/..;/admin"):
        with pytest.raises(Refused):
            request_elsewhere("https://api.example.com/v1", caller, None, "POST", path, fields, b"{}")


def test_no_path_makes_another_host_of_the_one_that_it_is_put_behind():
    """``https://api.example.com`` and ``%2f@127.0.0.1`` would be the address of 127.0.0.1."""
    from clippy_gateway.callers import Caller
    from clippy_gateway.elsewhere import request_elsewhere

    caller = Caller("team", Key(CALLERS_KEY, base_urls=("api.example.com",)))
    for path in ("/v1%2f@127.0.0.1/files", "/v1%2F@127.0.0.1:8443/files", "/v1%2f.evil.example/files"):
        made = request_elsewhere("https://api.example.com", caller, None, "GET", path, [], b"")
        assert URL(made.url, encoded=True).host == "api.example.com", path


def test_no_path_takes_the_key_of_a_route_to_another_host():
    """The same behind a route whose address has no path of its own, as Azure's and many a local one's."""
    with World(Reply("x")) as elsewhere:
        routes = {"main": {"api": "openai.chat", "base_url": "{provider}", "headers": {"api-key": PROVIDERS_KEY}}}
        with World(Reply("x"), routes=routes) as world:
            to = elsewhere.provider.origin.partition("://")[2]
            head = f"GET /v1%2f@{to}/files HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
            assert world.raw(head.encode()).startswith(b"HTTP/1.1 ")
            assert (elsewhere.provider.calls, world.provider.calls) == (0, 1)


# --- without keys -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "gateway.example"])
def test_without_keys_it_listens_at_loopback_only(host):
    described = Host({}, config={"routes": {"main": {"base_url": "http://127.0.0.1:1/v1"}}})
    with pytest.raises(ConfigError, match=r"give each caller a key, or listen at 127\.0\.0\.1"):
        Gateway(host=host).app(described)
    assert Gateway(host=host, keys={"team": Key(CALLERS_KEY)}).app(described)


@pytest.mark.parametrize(
    "host", ["localhost.evil.example", "[::1].evil.example", "localhost:80@evil.example", "[::1", ""]
)
def test_without_keys_only_names_of_this_machine_are_a_host(host):
    with pytest.raises(Refused):
        judge_local({b"host": host.encode()})
    for own in (b"localhost", b"LocalHost:8787", b"127.0.0.1:8787", b"[::1]:8787"):
        judge_local({b"host": own})


def test_without_keys_it_answers_no_web_page():
    with World(Reply("x")) as world:
        plain = world.chat(key="anything")
        page = world.chat(headers={"origin": "http://evil.example"})
        rebound = world.chat(headers={"host": "evil.example"})
        assert world.provider.calls == 1
        assert b"anything" not in world.provider.requests[0].head
    assert (plain.status_code, page.status_code, rebound.status_code) == (200, 403, 403)


@pytest.mark.parametrize("trusted", [True, False])
def test_without_keys_the_host_says_whether_headers_about_the_scope_are_believed(trusted):
    books = Books()
    with World(Reply("x"), {"books": books}, trust_headers=trusted) as world:
        world.chat(headers={"x-clippy-tenant": "acme"})
        assert until(lambda: books.records)
        assert b"x-clippy" not in world.provider.requests[0].head.lower()
    assert books.records[0].scope.tenant == ("acme" if trusted else None)


@pytest.mark.parametrize(
    ("routes", "settings", "said"),
    [
        ({}, {}, "no route says where requests go"),
        ({"main": {"base_url": "http://169.254.169.254/v1"}}, {}, "routes.main.base_url"),
        ({"main": {}}, {"models": {"m": "nowhere"}}, "plugins.gateway.models.'m' names the route 'nowhere'"),
        ({"main": {}}, {"keys": {"a": Key(CALLERS_KEY, routes=("x",))}}, "plugins.gateway.keys.a.routes names"),
        ({"main": {}}, {"keys": {"a": Key(CALLERS_KEY), "b": Key(CALLERS_KEY)}}, "have the same key"),
    ],
)
def test_settings_that_cannot_be_meant_are_told_before_anything_is_served(routes, settings, said):
    with pytest.raises(ConfigError) as faults:
        Gateway(**settings).app(Host({}, config={"routes": routes}))
    assert said in str(faults.value)
    assert CALLERS_KEY not in str(faults.value)


def _remembered(cached: Any) -> Iterator[object]:
    """What a function's cache holds, keys and results."""
    waiting, seen = [cached], set()
    while waiting:
        one = waiting.pop()
        yield one
        if id(one) not in seen and isinstance(one, (dict, tuple, list, functools._lru_cache_wrapper)):
            seen.add(id(one))
            waiting += gc.get_referents(one)


def test_no_key_is_remembered_beside_what_was_made_of_it():
    """Callers come and go; whoever reads this process's memory shall not find them all."""
    with World(Reply("x"), {"books": Books()}) as world:
        assert world.chat("x", "caller-that-came-once-0123456789").status_code == 200
        ours = [vars(module) for name, module in sys.modules.items() if name.startswith("clippy_")]
        caches = [one for names in ours for one in names.values() if isinstance(one, functools._lru_cache_wrapper)]
        kept = {repr(one) for cached in caches for one in _remembered(cached) if isinstance(one, (str, bytes))}
    assert kept
    assert [one for one in kept if "came-once" in one or PROVIDERS_KEY in one] == []


# --- limits -----------------------------------------------------------------------------------------------------------

SMALL = RequestLimits(body=2000, depth=10, values=500, headers=30, head=3000, target=300, seconds=0.5, concurrency=2)


@pytest.fixture(scope="module")
def small():
    with keyed(limits=SMALL) as world:
        yield world


def test_bodies_are_bounded(small):
    assert small.chat("x" * 3000).status_code == 413
    assert (413, "body_too_large", "team") in small.gateway._refusals.counts, "its head has said who asks"
    chunked = small.ask(
        "POST", OPENAI, content=iter([b"x" * 1500, b"x" * 1500]), headers={"content-type": "application/json"}
    )
    assert chunked.status_code == 413


def test_a_packed_body_is_not_unpacked(small):
    head = {"content-encoding": "gzip", "content-type": "application/json"}
    assert small.ask("POST", OPENAI, content=gzip.compress(b"{}"), headers=head).status_code == 415


def test_deep_json_is_refused_before_it_is_parsed(small):
    head = {"content-type": "application/json"}
    assert small.ask("POST", OPENAI, content=b"[" * 300 + b"]" * 300, headers=head).status_code == 400
    assert (
        small.ask("POST", "/v1/moderations", content=b" " + b"[" * 300, headers={"content-type": "x/y"}).status_code
        == 400
    )
    assert small.chat("[[[[[[[[[[[[[[" * 20).status_code == 200


@pytest.mark.parametrize(
    "many", ["0," * 600, '{"a":0},' * 245 + "0," * 15, '"",' * 600], ids=["numbers", "objects", "texts"]
)
def test_what_takes_long_to_read_is_refused_before_it_is_read(small, many):
    told = small.ask("POST", OPENAI, content=f"[{many}0]".encode(), headers={"content-type": "application/json"})
    assert (told.status_code, told.json()["error"]["code"]) == (413, "body_too_complex")
    assert small.chat(",[{" * 600).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/json"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"])
def test_no_type_no_space_and_no_encoding_is_a_way_around_the_limits(small, content_type, encoding):
    """The host reads the body of a call that it knows as Python's reader does, whatever its head says."""
    many = (" " * 65 + '["\\"",' + "0," * 180 + "[" * 25 + "]" * 25 + "]").encode(encoding)
    told = small.ask("POST", "/v1/moderations", content=many, headers={"content-type": content_type})
    assert (told.status_code, told.json()["error"]["code"]) == (400, "body_too_deep")


def test_heads_are_bounded(small):
    assert small.chat(headers={f"x-{n}": "1" for n in range(40)}).status_code == 431
    assert small.chat(headers={"x-long": "1" * 4000}).status_code == 431
    assert small.ask("GET", "/v1/files?" + "a" * 400).status_code == 414


@pytest.mark.parametrize("begun", [b"", b"{"], ids=["nothing", "its first byte"])
def test_a_body_that_does_not_come_is_not_waited_for(small, begun):
    head = f"POST {OPENAI} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CALLERS_KEY}\r\ncontent-length: 50\r\n\r\n"
    assert b" 408 " in small.raw(head.encode() + begun)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404), ("POST", "/admin", 404), ("POST", "/v2/chat", 404), ("GET", ANTHROPIC, 405),
        ("DELETE", "/v1/embeddings", 405), ("TRACE", "/v1/models", 405), ("OPTIONS", OPENAI, 405),
        ("POST", "/v1/chat/%63ompletions", 400), ("POST", "/v1/chat%2Fcompletions/", 400),
        ("POST", "/v1/%63hat/completions", 400), ("POST", "/v1/Chat/Completions", 400),
        ("POST", "/v1/messages//count_tokens", 400), ("POST", "/v1/chat/completions;v=1", 400),
        ("GET", "/v1/messages/", 405),
        ("POST", "/v1/../admin", 400), ("POST", "/v1/%2e%2e/admin", 400), ("POST", "/v1/a%5c..%5cb", 400),
        ("POST", "/v1/%252e%252e/admin", 400), ("POST", "/v1/..;x/admin", 400), ("POST", "/v1/chat/completions/", 400),
    ],
)  # fmt: skip
def test_what_no_provider_has_is_not_passed_on(small, method, path, status):
    before = small.provider.calls
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CALLERS_KEY}\r\nconnection: close\r\n\r\n"
    said = small.raw(head.encode())
    assert said.split(b" ")[1] == str(status).encode(), said[:300]
    assert small.provider.calls == before


def test_what_plugins_do_not_look_into_may_be_spelt_with_percent_signs(small):
    before = small.provider.calls
    small.ask("GET", "/v1/models/meta%2FLlama-3%20Chat")
    small.ask("POST", "/v1/deployments/My%20Model/chat/completions", json={})
    assert small.provider.calls == before + 2


def test_a_form_of_a_web_page_is_no_chat(small):
    assert small.ask("POST", OPENAI, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415


@pytest.mark.parametrize(
    "head",
    [
        "content-length: 2\r\ntransfer-encoding: chunked",
        "content-length: 2\r\ncontent-length: 3",
        "content-length: -1",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0",
    ],
)
def test_a_length_that_is_told_twice_or_in_another_way_is_refused(small, head):
    before = small.provider.calls
    said = small.raw(
        f"POST {OPENAI} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CALLERS_KEY}\r\n{head}\r\n\r\n{{}}".encode()
    )
    assert b" 400 " in said.split(b"\r\n")[0]
    assert small.provider.calls == before


def test_spaces_behind_a_length_are_none_of_it(small):
    head = f"host: x\r\nauthorization: Bearer {CALLERS_KEY}\r\nconnection: close\r\ncontent-length: 2 \t"
    said = small.raw(f"POST /v1/embeddings HTTP/1.1\r\n{head}\r\n\r\n{{}}".encode())
    assert b"the length of the body" not in said


@pytest.mark.parametrize("path", [b"", b"*", b"files", b"http://x/v1/files"])
def test_what_is_no_path_is_refused_whatever_server_lets_it_through(path):
    """Granian hands CONNECT on, with no path at all."""
    scope = {"headers": [(b"host", b"x")], "raw_path": path, "query_string": b""}
    with pytest.raises(Refused) as refused:
        judge_size(scope, {}, RequestLimits())
    assert (refused.value.status, refused.value.code) == (400, "bad_address")


@pytest.mark.parametrize("name", ["x-clippy-tenant", "x-clippy-route"])
def test_whom_a_call_is_for_and_where_it_goes_is_said_once(small, name):
    """A proxy that adds its word behind a caller's own must learn that there were two."""
    before = small.provider.calls
    lines = f"authorization: Bearer {CALLERS_KEY}\r\n{name}: one\r\n{name}: two\r\ncontent-length: 2"
    said = small.raw(f"POST {OPENAI} HTTP/1.1\r\nhost: x\r\n{lines}\r\n\r\n{{}}".encode())
    assert b" 400 " in said.split(b"\r\n")[0]
    assert b"comes twice" in said
    assert small.provider.calls == before


def test_too_many_at_the_same_time_are_told_to_wait():
    going = threading.Event()

    def slow(seen):
        going.wait(PATIENCE)
        return Reply("x")

    with keyed(slow, key={"concurrency": 1}) as world:
        one = threading.Thread(target=world.chat)
        one.start()
        assert until(lambda: world.app.busy == 1)
        chat = world.chat()
        message = world.ask("POST", ANTHROPIC, json={"model": "m", "messages": []})
        going.set()
        one.join()
        assert until(lambda: world.app.busy == 0)
        after = world.chat()
    assert (chat.status_code, message.status_code, after.status_code) == (429, 429, 200)
    assert (chat.headers["retry-after"], chat.headers["x-should-retry"]) == ("1", "true")
    assert message.json()["error"]["type"] == "rate_limit_error"


# --- pure parts -------------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.text(alphabet='ab"\\[]{}', max_size=8) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='"\\[{', max_size=4), inner, max_size=3)
    ),
    max_leaves=30,
)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@given(json_values, st.integers(1, 6), st.booleans())
def test_depth_is_counted_as_a_parser_nests(value, allowed, spaced):
    body = json.dumps(value, indent=1 if spaced else None).encode()
    try:
        judge_shape(body, RequestLimits(depth=allowed))
        refused = False
    except Refused:
        refused = True
    assert refused == (_depth(value) > allowed)


@given(st.text(alphabet="ab", max_size=8), st.text(alphabet="ab*", max_size=6))
def test_a_star_stands_for_any_text(text, pattern):
    import fnmatch

    assert fits(text, pattern.split("*")) == fnmatch.fnmatchcase(text, pattern)


def test_the_settings_are_read_from_a_file_and_a_key_from_the_environment(monkeypatch, tmp_path):
    from clippy_core.config import load_config

    monkeypatch.setenv("TEAM_KEY", CALLERS_KEY)
    file = tmp_path / "clippy.toml"
    file.write_text(
        '[plugins.gateway.keys.team]\nkey = {env = "TEAM_KEY"}\ntenant = "acme"\nroutes = ["main"]\n'
        "[plugins.gateway.limits]\nbody = 5\n"
    )
    gateway = load_config(file).structure(Gateway, "gateway")
    assert gateway.keys["team"].key == CALLERS_KEY
    assert gateway.limits.body == 5
    assert CALLERS_KEY not in repr(gateway)


def test_a_gone_connection_of_httpx_is_no_concern(small):
    with httpx.Client(trust_env=False) as client:
        assert client.get(small.url + "/health").text == "ok\n"
        assert client.get(small.url + "/ready").status_code == 200


def _values(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_values, inner))


@given(json_values, st.integers(1, 12), st.booleans())
@example(["", "", "\\"], 4, False)
@example({"\\": '"'}, 1, True)
@example([{}, [], [""]], 4, True)
def test_no_more_values_are_read_than_are_allowed(value, allowed, spaced):
    body = json.dumps(value, indent=1 if spaced else None).encode()
    try:
        judge_shape(body, RequestLimits(values=allowed))
        refused = False
    except Refused:
        refused = True
    values = _values(value) - 1  # nothing stands before the first one
    assert refused == (values > allowed)
