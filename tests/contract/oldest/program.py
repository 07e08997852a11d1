"""What the plugin for the oldest contract must still do; run it where it is, or with ``oldest`` installed."""

import httpx
from clippy_hookspecs import POLICIES

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply

WAY_IN = ["pre_request", "cache_lookup", "compress_context", "pre_attempt 1"]
RETRIED = ["classify_error", "post_attempt error", "on_error", "pre_attempt 2"]
OUT = ["on_response", "post_attempt ok", "cache_store", "audit answered"]
HIT = ["pre_request", "cache_lookup", "on_chunk", "on_chunk stop", "on_chunk end", "on_response", "audit cached"]
BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
URL = "http://fake.test/v1/chat/completions"


def run(host: clippy_core.Host) -> None:
    """A call that fails once, the same from the cache and streamed, and a stream of its own."""
    oldest = host.plugins["oldest"]
    called = oldest.calls  # type: ignore[attr-defined]
    provider = FakeProvider([Fault.status(503), Reply("Hi"), Reply("Hi")])
    with host, host.wrap(httpx.Client(transport=provider.transport())) as client:
        assert client.post(URL, json=BODY).json()["choices"][0]["message"]["content"] == "Hi"
        assert said(called) == ["register_services", "lifespan", *WAY_IN, *RETRIED, *OUT]
        assert client.post(URL, json={**BODY, "stream": True}).text.endswith("data: [DONE]\n\n")
        assert said(called) == HIT
        host.invalidate()
        assert client.post(URL, json={**BODY, "stream": True}).text.endswith("data: [DONE]\n\n")
        assert said(called) == ["cache_invalidate", *WAY_IN, "on_chunk stop", "on_chunk end", *OUT]
        assert [request.headers["x-attempt"] for request in provider.requests] == ["1", "2", "1"]
        assert provider.requests[0].json["seed"] == 7
    assert said(called) == ["closed"]
    assert all(cost is None or cost > 0 for cost in oldest.costs)  # type: ignore[attr-defined]
    implemented = {name.partition(" ")[0] for name in called}
    assert set(POLICIES) - implemented == {"register_commands", "register_routes"}


def said(called: list[str], mark: list[int] = [0]) -> list[str]:  # noqa: B006 - how far it was read
    """What was called since it was last asked; observe is noted once, wherever it comes first."""
    new = [name for name in called[mark[0] :] if name != "observe"]
    mark[0] = len(called)
    return new


if __name__ == "__main__":
    host = clippy_core.Host.from_config()
    (oldest,) = [one for one in host.discovered.plugins if one.name == "oldest"]
    assert oldest.status == "loaded", oldest.reason
    run(host)
    print(*oldest.deprecated, sep="\n")
