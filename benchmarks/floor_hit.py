"""The least that a stored answer can cost through httpx, in pure Python: a transport that answers from a dict.

python -m benchmarks.ratios --only floor-hit

Each case does one thing more than the one before; the host with its memory cache stands behind them.  No hook is called
and nothing can be configured, so a host that costs less than the last case leaves out what the contract promises.
"""

from __future__ import annotations

import hashlib
import os
from time import monotonic, time
from typing import Any

import httpx
import orjson
from attrs import define, field
from clippy_hookspecs import Headers, Request, RequestContext, Response, Usage

from benchmarks import hosts
from benchmarks.bench import BARE, MEMORY, Bench
from benchmarks.calls import CACHED_BARS, post
from benchmarks.floor_values import AROUND, CHAT, CLOCK, ROUTE, SCOPE, nothing
from clippy_core.flow import FlowHandle
from clippy_core.records import new_entry, new_provenance, new_record
from clippy_core.testing.timing import Group

CANNED, VALUES, KEY, RECORD = range(4)
_STEPS = {
    CANNED: "httpx over a transport that answers at once",
    VALUES: "+ context, request and answer, undecoded",
    KEY: "+ the request's JSON, its key, a look into a dict",
    RECORD: "+ the record of the call: the floor",
}
_SERVICES: Any = None


@define(eq=False)
class FromMemory(httpx.BaseTransport):
    """Answers every request with what ``inner`` answered to the first."""

    inner: httpx.BaseTransport
    last: int
    kept: dict[str, Any] = field(factory=dict)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        last, body, key = self.last, request.read(), ""
        ctx = asked = flow = None
        began, began_at = monotonic(), time()
        if last >= VALUES:
            headers = Headers.undecoded(request.headers.raw)
            identity = os.urandom(8).hex()
            flow = FlowHandle(monotonic)
            ctx = RequestContext(identity, SCOPE, CLOCK, _SERVICES, ROUTE, flow)
            asked = Request.undecoded(
                nothing, body, api="openai.chat", endpoint=CHAT, url=str(request.url), headers=headers
            )
        if last >= KEY:
            said = orjson.loads(body)
            said.pop("stream", None)
            canonical = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
            key = hashlib.sha256(b"".join((b"[", AROUND, b",", canonical, b"]"))).hexdigest()
        entry = self.kept.get(key) or self._fetch(request, key, began_at)
        answer = httpx.Response(200, headers=entry.response.headers.pairs, stream=httpx.ByteStream(entry.response.raw))
        if ctx is not None and asked is not None and flow is not None:
            answer.extensions["clippy"] = ctx
            if last >= RECORD:
                new_record(
                    ctx.id, "cached", began_at, monotonic() - began, "openai.chat", "POST", asked.url, said["model"],
                    False, SCOPE, "main", None, 200, (), Usage(1, 1), "stop", None,
                    new_provenance("cache", "memory", "main"), None, (),
                )  # fmt: skip
            flow.enter("completed")
        return answer

    def _fetch(self, request: httpx.Request, key: str, now: float) -> Any:
        answer = self.inner.handle_request(request)
        data = b"".join(answer.stream)  # type: ignore[arg-type]
        answer.stream.close()  # type: ignore[union-attr]
        response = Response.undecoded(nothing, data, api="openai.chat", headers=Headers.undecoded(answer.headers.raw))
        self.kept[key] = new_entry(response, (), now, None, (), "first")
        return self.kept[key]

    def close(self) -> None:
        self.inner.close()


def floor_hit(bench: Bench) -> Group:
    """A call that is made, one that a dict answers, step by step, and the host's; compared in wall time."""
    cases = {BARE: bench.block(post(bench, httpx, None, False, same=True), False)}
    for last, name in _STEPS.items():
        inner = httpx.HTTPTransport(verify=hosts.tls(httpx), trust_env=False)
        client = bench.stack.enter_context(hosts.sync_client(httpx, None, FromMemory(inner, last)))
        cases[name] = bench.block(_asking(client, bench.server.chat_url), False)
    variants = bench.variants("one call answered by a cache, sync, httpx")
    cases[MEMORY] = bench.block(post(bench, httpx, variants[MEMORY], False, same=True), False)
    bars = dict.fromkeys((_STEPS[RECORD], MEMORY), CACHED_BARS[MEMORY])
    return Group("the floor of an answer from memory", cases, bars, by="wall")


def _asking(client: httpx.Client, url: str) -> Any:
    def call() -> None:
        assert client.post(url, json=hosts.body(True)).json()["choices"]

    return call
