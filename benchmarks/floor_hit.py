"""The least that a stored answer can cost in pure Python: through httpx, through our own client, from a SQLite file.

python -m benchmarks.ratios --only floor-hit,floor-own,floor-sqlite

Each case does one thing more than the one before; the host with its cache stands behind them.  No hook is called
and nothing can be configured, so a host that costs less than the last case leaves out what the contract promises.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextvars import ContextVar
from functools import partial
from threading import Lock
from time import monotonic, time
from typing import Any
from zlib import crc32

import httpx
import orjson
from attrs import define, field
from clippy_cache_memory import MemoryCache
from clippy_hookspecs import Headers, Request, RequestContext, Response, Scope, Usage
from clippy_hookspecs.headers import beginning, having
from clippy_hookspecs.stored import undecoded_entry

import clippy_core
from benchmarks import hosts
from benchmarks.bench import BARE, MEMORY, OWN, Bench
from benchmarks.calls import CACHED_BARS, post
from benchmarks.floor_values import AROUND, CHAT, CLOCK, ROUTE, SCOPE, nothing
from benchmarks.parts import sqlite_cache
from clippy_core import jsonio
from clippy_core.driven import drive
from clippy_core.flow import FlowHandle
from clippy_core.records import new_call, new_entry, new_provenance, new_record
from clippy_core.testing.timing import Group, repeated
from clippy_core.untouched import owned
from clippy_core.wire.shapes import plain_messages
from clippy_core.wire.values import message_of, text_of

CANNED, VALUES, KEY, RECORD = range(4)
OWN_VALUES, OWN_KEY, OWN_ANSWER, OWN_PROMISED = range(4)
_STEPS = {
    CANNED: "httpx over a transport that answers at once",
    VALUES: "+ context, request and answer, undecoded",
    KEY: "+ the request's JSON, its key, a look into a dict",
    RECORD: "+ the record of the call: the floor",
}
_OWN_STEPS = {
    OWN_VALUES: "the question as JSON, context, request",
    OWN_KEY: "+ its key, a look into a dict, an entry of it",
    OWN_ANSWER: "+ the answer's JSON, its text",
    OWN_PROMISED: "+ exact numbers, whose it is, a hook, its trace: the floor",
}
_OWN_HEADERS = (("content-type", "application/json"), ("authorization", "Bearer sk-bench"))
_OWN = Headers(_OWN_HEADERS)
_SERVICES: Any = None
_SAID: ContextVar[Scope | None] = ContextVar("floor-scope", default=None)


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


@define(eq=False)
class OwnFloor:
    """Answers a conversation with what is kept, as our own client must: a step more for each higher ``last``."""

    last: int
    kept: dict[str, Any]
    lock: Any = field(factory=Lock)
    under_way: set[str] = field(factory=set)

    def text(self, messages: list[dict[str, str]]) -> str:
        if self.last == OWN_PROMISED:
            return drive(self._promised(messages))
        body = orjson.dumps({"model": hosts.MODEL, "messages": messages})
        headers, flow = Headers(_OWN_HEADERS), FlowHandle(monotonic)
        RequestContext(os.urandom(8).hex(), SCOPE, CLOCK, _SERVICES, ROUTE, flow)
        Request.undecoded(nothing, body, api="openai.chat", endpoint=CHAT, url=ROUTE.base_url, headers=headers)
        entry, said = None, ""
        if self.last >= OWN_KEY:
            asked = orjson.loads(body)
            canonical = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
            key = hashlib.sha256(b"".join((b"[", AROUND, b",", canonical, b"]"))).hexdigest()
            kept = self.kept.get(key) or self.kept.setdefault(key, self.kept[""])
            entry = undecoded_entry(kept.response.raw, "openai.chat", 200, headers, (), time(), None, (), "first")
            new_provenance("cache", "memory", "main", 1.0)
        if self.last >= OWN_ANSWER and entry is not None:
            words = orjson.loads(entry.response.raw)["choices"][0]["message"]
            said = message_of(words["role"], (text_of(words["content"], {}),), {}, words).text
        flow.enter("completed")
        return said

    async def _promised(self, messages: list[dict[str, str]]) -> str:
        """The same with what a caller and a plugin are promised: no digit lost, a scope, a hook and its line.

        A plugin may ask a model (``asker``), learn of what a key was made (``key_parts``), be replaced meanwhile
        (``under_way``); and the answer says who gave it and has its context.
        """
        body, flow, headers = jsonio.dumps({"model": hosts.MODEL, "messages": messages}), FlowHandle(monotonic), _OWN
        said: dict[str, str] = {} if not beginning(headers, "x-clippy-") else dict(headers)
        ctx = RequestContext(
            os.urandom(8).hex(), _SAID.get() or SCOPE, CLOCK, _SERVICES, ROUTE, flow, None, False, None, directives=said
        )
        ctx.asker = partial(self._ask, ctx.id)
        self.under_way.add(ctx.id)
        request = Request.undecoded(
            nothing, body, api="openai.chat", endpoint=CHAT, url=ROUTE.base_url, headers=headers
        )
        asked: Any = jsonio.loads(body)
        assert plain_messages(asked)
        assert not having(headers, ("openai-beta",))
        canonical = jsonio.canonical(asked)
        ctx.key = hashlib.sha256(b"".join((b"[", AROUND, b",", canonical, b"]"))).hexdigest()
        ctx.key_parts = partial(dict, request=request)
        entry = await self._first(ctx.key, request, ctx)
        age = max(0.0, time() - entry.stored_at)
        ctx.provenance = new_provenance("cache", "memory", "main", age)
        answer = owned(entry.response, ctx.provenance, {"clippy": ctx})
        flow.enter("completed")
        self.under_way.discard(ctx.id)
        words: Any = jsonio.loads(answer.raw or b"")
        return words["choices"][0]["message"]["content"]  # type: ignore[no-any-return]  # a text

    async def _first(self, key: str, request: Request, ctx: RequestContext) -> Any:
        """What the one plugin says that is asked, with its line in the trace."""
        found = self._lookup(key, request, ctx)
        ctx.trace.append(new_call("memory", "cache_lookup", "hit", 0))
        return found

    def _lookup(self, key: str, request: Request, ctx: RequestContext) -> Any:
        with self.lock:
            kept = self.kept.get(key) or self.kept.setdefault(key, self.kept[""])
        if ctx.clock.time() < kept.stored_at:
            return None
        return undecoded_entry(kept.response.raw, "openai.chat", 200, _OWN, (), time(), None, (), "first")

    def _ask(self, parent: str, request: Request) -> Any:
        raise AssertionError("nobody asks")


def floor_own(bench: Bench) -> Group:
    """A call that is made, one of our own client that a dict answers, step by step, and the host's."""
    messages = hosts.messages(same=True)
    cases = {BARE: bench.block(post(bench, httpx, None, False, same=True), False)}
    with hosts.sync_client(httpx, None) as client:
        answer = client.post(bench.server.chat_url, json=hosts.body(True)).content
    kept = new_entry(Response.undecoded(nothing, answer, api="openai.chat"), (), 0.0, None, (), "first")
    for last, name in _OWN_STEPS.items():
        floor = OwnFloor(last, {"": kept})
        cases[name] = bench.block(partial(floor.text, messages), False)
    host = bench.host({"cache-memory": MemoryCache()})
    own = bench.stack.enter_context(clippy_core.Client(host))
    cases[OWN] = bench.block(lambda: own.chat(messages).text, False)
    bars = dict.fromkeys((_OWN_STEPS[OWN_PROMISED], OWN), CACHED_BARS[OWN])
    return Group("the floor of an answer from memory, own client", cases, bars, by="wall")


def floor_sqlite(bench: Bench) -> Group:
    """A row that is selected, checked, made an entry, by hand, and the cache's lookup."""
    group = sqlite_cache(bench)
    key, lines, ttl = f"{0:064}", dict[bytes, Any](), 3600.0
    database = sqlite3.connect(bench.folder / "select" / "only.db", isolation_level=None)
    bench.stack.callback(database.close)
    cursor, select = database.cursor(), "SELECT value, checksum FROM entries WHERE key = ? AND expires > ?"

    def row() -> Any:
        return cursor.execute(select, (key, 2.0)).fetchone()

    def checked() -> bytes:
        value, checksum = row()
        assert crc32(value, crc32(key.encode())) == checksum
        return value  # type: ignore[no-any-return]  # a blob

    def entry() -> Any:
        line, _, rest = checked().partition(b"\n")
        api, status, headers, stored_at, expires, tags, origin = lines.get(line) or lines.setdefault(line, _line(line))
        assert stored_at + ttl > 2.0
        return undecoded_entry(rest, api, status, headers, (), stored_at, expires, tags, origin)

    cases = {"bare select": group.cases["bare select"], "+ of the checksum, too": repeated(row)}
    cases |= {"+ the checksum compared": repeated(checked), "+ an entry of it: the floor": repeated(entry)}
    cases["lookup"] = group.cases["lookup"]
    return Group("the floor of a lookup in SQLite", cases, group.bars, group.per_block)


def _line(line: bytes) -> tuple[Any, ...]:
    _, api, status, headers, stored_at, expires, tags, origin, _ = orjson.loads(line)
    return api, status, Headers([(name, value) for name, value in headers]), stored_at, expires, tuple(tags), origin


def _asking(client: httpx.Client, url: str) -> Any:
    def call() -> None:
        assert client.post(url, json=hosts.body(True)).json()["choices"]

    return call
