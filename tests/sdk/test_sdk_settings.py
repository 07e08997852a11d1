"""What the caller set up stays: proxies, certificates, timeouts, headers, an inner transport, another address."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest
import sdk_anthropic_calls as claude
import sdk_openai_calls as gpt
from sdk_certificates import NAME, Authority, make_authority
from sdk_lab import ROOFS, SDK_GENERATORS, Got, Lab, private_folders, ssl_context
from sdk_tunnel import Tunnel

from clippy_core.testing import FakeServer, Fault, Reply

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
COLOURS = ("sync", "asyncio")
MAKERS: dict[str, Any] = {"openai": gpt.make_client, "anthropic": claude.make_client}
CALLS: dict[str, Any] = {"openai": gpt.chat_stream, "anthropic": claude.message_stream}


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private_folders(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One authority for all tests."""
    return make_authority(tmp_path_factory.mktemp("authority"))


def alike(got: dict[str, Got]) -> Got:
    """The bare run, after it was compared with the others."""
    assert got["bare"].requests
    assert got["no plugin"] == got["bare"]
    assert got["all plugins"].result == got["bare"].result
    return got["bare"]


# --- proxies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [httpx2, httpx], ids=lambda module: module.__name__)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_proxy_gets_the_request_as_from_the_bare_sdk(colour: str, module: ModuleType) -> None:
    """The proxy is asked for the absolute address of a name that does not exist."""
    lab = Lab(colour, module, gpt.make_client, lambda server: {"proxy": server.origin}, "http://api.example.invalid")
    bare = alike(lab.three(gpt.chat_stream, Reply("Eins zwei"), wire=True))
    assert bare.raised is None
    assert bare.requests[0].startswith(b"POST http://api.example.invalid/v1/chat/completions HTTP/1.1\r\n")


@pytest.mark.parametrize("sdk", MAKERS)
def test_a_proxy_with_a_password_gets_it(sdk: str) -> None:
    """The proxy's own credentials go to the proxy."""

    def http(server: FakeServer) -> dict[str, Any]:
        return {"proxy": server.origin.replace("http://", "http://user:secret@")}

    lab = Lab("sync", httpx2, MAKERS[sdk], http, "http://api.example.invalid")
    bare = alike(lab.three(CALLS[sdk], Reply("Eins zwei"), wire=True))
    assert b"\r\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n" in bare.requests[0]


@pytest.mark.parametrize("sdk", MAKERS)
def test_a_proxy_from_the_environment_is_used_by_the_sdks_own_http_client(
    sdk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No http_client at all: HTTP_PROXY counts, NO_PROXY as well."""
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def make_client(colour: str, *, base_url: str, http_client: Any, **settings: Any) -> Any:
        http_client.close()
        return MAKERS[sdk](colour, base_url="http://api.example.invalid", http_client=None)

    def http(server: FakeServer) -> dict[str, Any]:
        monkeypatch.setenv("HTTP_PROXY", server.origin)
        return {}

    got = Lab("sync", httpx2, make_client, http).three(CALLS[sdk], Reply("Eins zwei"), wire=True)
    assert alike(got).requests[0].startswith(b"POST http://api.example.invalid/v1/")


def test_a_transport_mounted_for_one_address_keeps_its_place() -> None:
    """The caller's mounts go on sorting requests: one address through a transport that fails, all others past it."""
    asked: list[str] = []

    def refuse(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(403, json={"error": {"message": "blocked here"}})

    mounts = {"all://*blocked.invalid": httpx2.MockTransport(refuse), "all://nothing.invalid": None}
    lab = Lab("sync", httpx2, gpt.make_client, {"mounts": mounts}, "http://blocked.invalid")
    got = {roof: lab.run(gpt.chat, roof=roof, wire=True) for roof in ROOFS}
    assert [each.raised and each.raised.kind for each in got.values()] == ["openai.PermissionDeniedError"] * 3
    assert got["all plugins"].result == got["no plugin"].result == got["bare"].result
    assert asked == ["http://blocked.invalid/v1/chat/completions"] * 3
    assert not any(each.requests for each in got.values())


# --- certificates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [httpx2, httpx], ids=lambda module: module.__name__)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_certificate_of_the_callers_own_authority_is_accepted(
    colour: str, module: ModuleType, authority: Authority
) -> None:
    """verify= with an authority of one's own, and a server that only it vouches for."""
    lab = Lab(colour, module, gpt.make_client, {"verify": authority.trusting()}, tls=authority.server)
    assert alike(lab.three(gpt.chat_stream, Reply("Eins zwei"), wire=True)).raised is None


@pytest.mark.parametrize("sdk", MAKERS)
def test_a_certificate_that_nobody_vouches_for_is_refused(sdk: str, authority: Authority) -> None:
    """The same exception, and no request at the server."""
    lab = Lab("sync", httpx2, MAKERS[sdk], {"verify": ssl_context()}, tls=authority.server)
    got = lab.three(CALLS[sdk], wire=True)
    assert got["bare"].raised is not None
    assert got["bare"].raised.cause == "httpx2.ConnectError"
    assert got["all plugins"].result == got["no plugin"].result == got["bare"].result
    assert not any(each.requests for each in got.values())


# --- HTTPS through a proxy ------------------------------------------------------------------------------------------

THROUGH: dict[str, tuple[str, Any]] = {
    "openai plain": ("openai", gpt.chat),
    "openai streamed": ("openai", gpt.chat_stream),
    "openai responses": ("openai", gpt.responses_stream),
    "openai early close": ("openai", gpt.early_close),
    "anthropic plain": ("anthropic", claude.message),
    "anthropic streamed": ("anthropic", claude.message_stream),
    "anthropic helper": ("anthropic", claude.stream_helper),
}


def tunnelled(colour: str, module: ModuleType, sdk: str, tunnel: Tunnel, authority: Authority, **http: Any) -> Lab:
    """HTTPS to a name that only *tunnel* can reach, with a certificate that only *authority* vouches for."""

    def settings(server: FakeServer) -> dict[str, Any]:
        tunnel.target = server.port
        return {"verify": authority.trusting(), "proxy": tunnel.url, **http}

    return Lab(colour, module, MAKERS[sdk], settings, f"https://{NAME}", authority.server)


@pytest.mark.parametrize(
    ("colour", "module", "name"),
    [
        *((colour, httpx2, name) for colour in ("sync", "asyncio", "trio") for name in THROUGH),
        *((colour, httpx, name) for colour in COLOURS for name in THROUGH if name.startswith("openai")),
    ],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_https_goes_through_a_proxys_tunnel(colour: str, module: ModuleType, name: str, authority: Authority) -> None:
    """One CONNECT for each connection; behind it the same bytes, and nothing that the proxy could read."""
    sdk, call = THROUGH[name]
    connects = []
    with Tunnel() as tunnel:
        lab = tunnelled(colour, module, sdk, tunnel, authority)
        got = {}
        for roof in ROOFS:
            got[roof] = lab.run(call, Reply("Eins zwei drei"), roof=roof, wire=True)
            connects.append(list(tunnel.heads))
            tunnel.heads.clear()
        carried = bytes(tunnel.carried)
    bare = got["bare"]
    assert bare.raised is None
    assert bare.requests
    assert bare.said
    assert got["no plugin"].said == bare.said
    assert (got["no plugin"].requests, got["no plugin"].connections) == (bare.requests, bare.connections)
    assert got["all plugins"].result == bare.result
    assert got["all plugins"].bodies == bare.bodies
    assert connects == [connects[0]] * 3
    assert len(connects[0]) == len(set(bare.connections))
    assert connects[0][0].startswith(f"CONNECT {NAME}:443 HTTP/1.1\r\n".encode())
    assert b"authorization" not in carried.lower()


@pytest.mark.parametrize("status", [403, 407, 502])
@pytest.mark.parametrize("sdk", MAKERS)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_proxy_that_refuses_a_tunnel_is_told_of_in_the_same_way(
    colour: str, sdk: str, status: int, authority: Authority
) -> None:
    """The SDK's connection error, from the HTTP module's ProxyError; no request has left."""
    with Tunnel(refusing=status) as tunnel:
        lab = tunnelled(colour, httpx2, sdk, tunnel, authority)
        got = {roof: lab.run(CALLS[sdk], roof=roof, wire=True) for roof in ROOFS}
    assert got["bare"].raised is not None
    assert got["bare"].raised.cause == "httpx2.ProxyError"
    assert got["all plugins"].result == got["no plugin"].result == got["bare"].result
    assert not any(each.requests for each in got.values())


# --- timeouts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sdk", MAKERS)
@pytest.mark.parametrize(
    "settings",
    [{}, {"timeout": 7.5}, {"timeout": httpx2.Timeout(9.0, connect=1.5)}, {"timeout": None}],
    ids=["default", "seconds", "parts", "none"],
)
def test_the_callers_timeouts_reach_the_inner_transport(sdk: str, settings: dict[str, Any]) -> None:
    """What the SDK tells its transport, and what it tells the server in a header."""
    told: list[Any] = []

    class Listening(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            told.append((request.extensions["timeout"], dict(request.headers)))
            return httpx2.Response(418)

    def make_client(colour: str, *, base_url: str, http_client: Any, **_: Any) -> Any:
        http_client.close()
        return MAKERS[sdk](colour, base_url=base_url, http_client=httpx2.Client(transport=Listening()), **settings)

    lab = Lab("sync", httpx2, make_client)
    for roof in ROOFS:
        lab.run(CALLS[sdk], roof=roof)
    (timeouts, headers), *others = told
    assert len(others) == 2
    assert all(timeout == timeouts for timeout, _ in others)
    assert [dict(other, **{"accept-encoding": ""}) for _, other in others] == [{**headers, "accept-encoding": ""}] * 2


@pytest.mark.parametrize("colour", COLOURS)
def test_a_read_timeout_of_the_callers_ends_a_real_wait(colour: str) -> None:
    """Over a socket: the server says nothing, and the SDK's own timeout error comes from the caller's 50 ms."""
    got = Lab(colour, httpx2, gpt.make_client).three(gpt.chat, Fault.read_timeout(), wire=True, timeout=0.05)
    assert alike(got).raised is not None
    assert got["bare"].raised.kind == "openai.APITimeoutError"  # type: ignore[union-attr]


# --- headers, queries, hooks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sdk", MAKERS)
def test_default_headers_and_queries_are_sent_as_they_are(sdk: str) -> None:
    """In their order and spelling, an overridden one included."""
    settings = {"default_headers": {"X-Own": "1", "User-Agent": "mine"}, "default_query": {"tenant": "a b"}}
    bare = alike(Lab("sync", httpx2, MAKERS[sdk]).three(CALLS[sdk], Reply("Eins"), wire=True, **settings))
    assert b"\r\nx-own: 1\r\n" in bare.requests[0].lower()
    assert b"\r\nuser-agent: mine\r\n" in bare.requests[0].lower()


def test_organization_project_and_cookies_are_sent_as_they_are() -> None:
    """OpenAI's own identity headers, and the cookies of the caller's HTTP client."""
    lab = Lab("sync", httpx2, gpt.make_client, {"cookies": {"session": "abc"}, "headers": {"X-Http": "2"}})
    settings = {"organization": "org-1", "project": "proj-1"}
    bare = alike(lab.three(gpt.chat, Reply("Eins"), wire=True, **settings))
    assert b"\r\nopenai-project: proj-1\r\n" in bare.requests[0].lower()
    assert b"\r\ncookie: session=abc\r\n" in bare.requests[0].lower()


def test_event_hooks_and_authentication_of_the_http_client_go_on_working() -> None:
    """httpx runs them above its transport, so they see each call once under every roof."""
    seen: list[str] = []
    hooks: dict[str, list[Callable[..., Any]]] = {
        "request": [lambda request: seen.append(request.method)],
        "response": [lambda response: seen.append(str(response.status_code))],
    }
    lab = Lab("sync", httpx2, gpt.make_client, {"event_hooks": hooks, "auth": ("user", "secret")})
    alike(lab.three(gpt.chat, Reply("Eins"), wire=True))
    assert seen == ["POST", "200"] * 3


# --- an inner transport of the caller's -----------------------------------------------------------------------------


@pytest.mark.parametrize("roof", ROOFS)
def test_what_an_inner_transport_raises_is_raised(roof: str) -> None:
    """An exception that is not the HTTP module's goes through the SDK as it is, under a host as well."""

    class Unplugged(Exception):
        """Nothing of httpx's."""

    class Broken(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            raise Unplugged("no cable")

    def make_client(colour: str, *, base_url: str, http_client: Any, **_: Any) -> Any:
        http_client.close()
        return gpt.make_client(colour, base_url=base_url, http_client=httpx2.Client(transport=Broken()))

    raised = Lab("sync", httpx2, make_client).run(gpt.chat, roof=roof).raised
    assert raised is not None
    assert raised.kind.endswith("Unplugged")
    assert raised.text == "no cable"


def test_an_inner_transport_is_entered_and_closed_with_its_client() -> None:
    """As httpx does it with the transport it was given."""
    life: list[str] = []

    class Noting(httpx2.MockTransport):
        def __enter__(self) -> Noting:
            life.append("enter")
            return self

        def close(self) -> None:
            life.append("close")

        def __exit__(self, *exc: Any) -> None:
            life.append("exit")

    import clippy_core

    with httpx2.Client(transport=clippy_core.transport(clippy_core.Host(), httpx2, Noting(lambda _: None))):
        assert life == ["enter"]
    assert life[-1] in ("exit", "close")
    assert life.count("enter") == 1
