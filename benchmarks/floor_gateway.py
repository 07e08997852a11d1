"""The least that a request through a gateway can cost in pure Python: an ASGI application over aiohttp, by hand.

python -m benchmarks.instructions --only floor-gateway          what it executes, without a server
python -m benchmarks.peers.gateway --only hand --only raw       what it costs under uvicorn and wrk

Each step names the sentence that asks for it.  RAW passes on what comes, as the peers' program does; GATEWAY does what
the README of clippy-gateway and DESIGN.md ask of a gateway without plugins; DEFAULT also what :mod:`benchmarks.floor`
does for the default stack.  Only a plain chat call that goes well is served: what fails is an assertion, streams are
left out, and so is a function between any two parts.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from functools import partial
from pathlib import Path
from time import monotonic, time
from typing import Any

import aiohttp
import orjson
from clippy_hookspecs import Headers, Request, RequestContext, Response, Scope, Usage
from multidict import CIMultiDict
from yarl import URL

from benchmarks import hosts
from benchmarks.floor import CALLED_STACK, Floor, keepable
from benchmarks.floor_plugins import Plugins
from benchmarks.floor_steps import FIELDS
from benchmarks.floor_values import CHAT, CLOCK, ROUTE, nothing
from clippy_core.flow import FlowHandle
from clippy_core.records import new_attempt, new_entry, new_outcome, new_provenance, new_record

RAW, GATEWAY, DEFAULT = range(3)
ROWS = {RAW: "raw ASGI + aiohttp", GATEWAY: "a gateway by hand", DEFAULT: "the default stack by hand"}

KEY = "sk-provider-of-the-bench"
_HOP = frozenset({b"host", b"content-length", b"connection", b"accept-encoding"})
_MAY_CROSS = frozenset({b"accept", b"accept-encoding", b"accept-language", b"content-type", b"user-agent"})
_WANTED = frozenset({b"host", b"origin", b"content-length", b"content-type", b"content-encoding", b"authorization"})
_KEPT_BACK = frozenset({b"connection", b"keep-alive", b"content-length", b"set-cookie", b"server", b"date"})
_PRINTED = bytes(range(0x21, 0x7F))
_PLAIN = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
_SALTED = hashlib.blake2b(key=os.urandom(32), digest_size=32)


class ByHand:
    """The application: everything up to and with *kind*, the default stack's files in *folder*."""

    def __init__(self, upstream: str, kind: int, folder: Path, rows: int = 10, calls: int = 100) -> None:
        self.kind, self.upstream = kind, upstream
        self.session: Any = None
        self.looking: Any = None
        self.busy = 0
        self.under_way: dict[Any, float] = {}
        self.hosts = {b"127.0.0.1"}
        self.urls: dict[tuple[bytes, bytes], URL] = {}
        self.around: dict[bytes, tuple[Scope, Any]] = {}
        self.plugins: Any = Plugins(folder, FIELDS, rows, calls) if kind == DEFAULT else None
        quiet = hosts.EveryHook()
        called = {
            hook: tuple((f"plugin-{number}", hook, getattr(quiet, hook)) for number in range(count))
            for hook, count in CALLED_STACK.items()
        }
        self.hooks = called
        self.floor = Floor(inner=None, last=FIELDS, hooks=called, observers=())  # type: ignore[arg-type]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                said = await receive()
                await send({"type": f"{said['type']}.complete"})
                if said["type"] == "lifespan.shutdown":
                    await self.aclose()
                    return
        if scope["method"] == "GET":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        if self.session is None:
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
            self.looking = asyncio.create_task(self._look())
        await (self._raw if self.kind == RAW else self._judged)(scope, receive, send)

    async def aclose(self) -> None:
        if self.session is not None:
            self.looking.cancel()
            await self.session.close()
            self.session = None

    async def _look(self) -> None:
        """Once in a while at all that is under way: whose body is late, whose caller may have left."""
        while True:
            await asyncio.sleep(0.25)
            now = monotonic()
            assert all(now - began < 60 for began in self.under_way.values())

    async def _raw(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            said = await receive()
            body += said.get("body", b"")
            more = said.get("more_body", False)
        fields = {name.decode(): value.decode() for name, value in scope["headers"] if name not in _HOP}
        async with self.session.post(self.upstream + scope["path"], data=body, headers=fields) as answer:
            kind = answer.headers.get("content-type", "application/json").encode()
            data = await answer.read()
            head = [(b"content-type", kind), (b"content-length", str(len(data)).encode())]
            await send({"type": "http.response.start", "status": answer.status, "headers": head})
            await send({"type": "http.response.body", "body": data})

    async def _judged(self, scope: Any, receive: Any, send: Any) -> None:
        """What a gateway asks of a request before it goes anywhere, and of an answer.

        README of clippy-gateway: "2000 requests at the same time"; "60 seconds for a body", and who leaves is no longer
        answered (issue 6): one look at all that is under way, once in a while, needs no more than to know it.
        """
        assert self.busy < 2000
        self.busy += 1
        task = asyncio.current_task()
        self.under_way[task] = monotonic()
        try:
            fields, path = scope["headers"], scope["raw_path"]
            # "64 MiB, 128 levels, 100 headers of 32 KiB together, an address of 8 KiB"; no header that speaks for
            # another comes twice, and none of X-Clippy-* is believed (DESIGN.md, 6).
            assert len(fields) <= 100
            head: dict[bytes, bytes] = {}
            size, kept = 0, []
            for pair in fields:
                name, value = pair
                size += len(name) + len(value)
                if name in _WANTED or name.startswith(b"x-clippy-"):
                    assert name not in head
                    head[name] = value
                if (
                    name in _MAY_CROSS
                ):  # "no caller's header reaches another origin except an allow list" (DESIGN.md, 5)
                    kept.append(pair)
            assert size <= 32768
            assert not b"".join([value for _, value in fields]).translate(None, _PLAIN)
            assert len(path) <= 8192
            assert not path.translate(None, _PRINTED)
            assert b"%" not in path
            assert b"." not in path
            # "Without keys of its own it listens at loopback only and answers no web page"
            assert head[b"host"].partition(b":")[0] in self.hosts
            assert b"origin" not in head
            assert int(head[b"content-length"]) <= 64 * 1024 * 1024
            assert b"content-encoding" not in head
            assert path.endswith(b"/chat/completions")
            assert b"json" in head[b"content-type"]
            said = await receive()
            assert not said.get("more_body", False)
            body = said["body"]
            assert len(body) <= 64 * 1024 * 1024
            assert body.count(b"[") + body.count(b"{") <= 128
            told = orjson.loads(body)
            assert isinstance(told, dict)
            # "A Route replaces base URL, API, model and all credentials" (DESIGN.md, 5)
            place = (path, scope["query_string"])
            url = self.urls.get(place)
            if url is None:
                url = self.urls[place] = URL(self.upstream + path.decode(), encoded=True)
            sent = CIMultiDict([(name.decode("latin-1"), value.decode("latin-1")) for name, value in kept])
            sent["authorization"] = "Bearer " + KEY
            asked = partial(self.session.request, "POST", url, data=body, headers=sent, allow_redirects=False)
            if self.kind == GATEWAY:
                status, own, data = await self._sent(asked)
                told_of = [(b"x-clippy-request-id", os.urandom(8).hex().encode()), (b"x-clippy-cache", b"off")]
            else:
                status, own, data, name = await self._planned(asked, fields, kept, head, str(url), body, told, task)
                told_of = [(b"x-clippy-request-id", name.encode()), (b"x-clippy-cache", b"miss")]
            # "An answer says what became of it"; what belongs to one connection stays behind.
            told_of += ((b"x-clippy-route", b"main"), (b"x-clippy-attempts", b"1"))
            assert not b"".join([value for _, value in own]).translate(None, _PLAIN)
            for name, value in own:
                name = name.lower()
                if name not in _KEPT_BACK:
                    told_of.append((name, value))
            told_of.append((b"content-length", b"%d" % len(data)))
            await send({"type": "http.response.start", "status": status, "headers": told_of})
            await send({"type": "http.response.body", "body": data})
        finally:
            self.busy -= 1
            del self.under_way[task]

    async def _sent(self, asked: Any) -> tuple[int, Any, bytes]:
        """ "The providers' keys stay in the gateway": a provider that repeats what it was sent does not tell them."""
        answer = await asked()
        data = await answer.read()
        assert KEY.encode() not in data
        own = answer.raw_headers
        assert KEY.encode() not in b"\n".join([value for _, value in own])
        return answer.status, own, data

    async def _planned(
        self, asked: Any, fields: Any, kept: Any, head: Any, url: str, body: bytes, said: Any, task: Any
    ) -> tuple[int, Any, bytes, str]:
        """The default stack, as :class:`benchmarks.floor.Floor` does it, step FIELDS; its comments say what asks."""
        plugins, hooks, run = self.plugins, self.hooks, self.floor._run
        began, began_at = monotonic(), time()
        flow = FlowHandle(monotonic)
        # "else an HMAC of the credential with a salt" (DESIGN.md, 6) says who calls.
        digest = _SALTED.copy()
        digest.update(head[b"authorization"])
        who = digest.digest()
        known = self.around.get(who)
        if known is None:
            scope = Scope(user=f"key-{who.hex()[:16]}")
            begun = hashlib.sha256(b'[{"api":"openai.chat","route":"main","scope":"%s"},' % who.hex().encode())
            known = self.around[who] = scope, begun
        scope, begun = known
        identity = os.urandom(8).hex()
        ctx = RequestContext(identity, scope, CLOCK, None, ROUTE, flow)  # type: ignore[arg-type]
        request = Request.undecoded(
            nothing, body, api="openai.chat", endpoint=CHAT, url=url, headers=Headers.undecoded(kept)
        )
        trace = ctx.trace
        run(hooks["pre_request"], ctx, trace, request)
        plugins.begin(fields, url, body)
        said.pop("stream", None)
        canonical = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
        digest = begun.copy()
        digest.update(canonical + b"]")
        key = ctx.key = digest.hexdigest()
        run(hooks["cache_lookup"], ctx, trace, key, request)
        plugins.look_up(key, said, canonical)
        run(hooks["compress_context"], ctx, trace, request, None)
        run(hooks["pre_attempt"], ctx, trace, request)
        # Cancelled by whatever thread (DESIGN.md, 3)
        flow.interrupt = partial(task.get_loop().call_soon_threadsafe, task.cancel)
        status, own, data = await self._sent(asked)
        flow.interrupt = None
        assert flow.cancel_reason is None
        first_token = monotonic() - began
        response = Response.undecoded(nothing, data, api="openai.chat", headers=Headers.undecoded(own))
        run(hooks["on_response"], ctx, trace, response)
        duration = monotonic() - began
        told = orjson.loads(data)
        counts, choices = told["usage"], told["choices"]
        usage = Usage(counts["prompt_tokens"], counts["completion_tokens"])
        end = choices[0]["finish_reason"]
        outcome = new_outcome("ok", None, status, usage, duration, first_token)
        run(hooks["post_attempt"], ctx, trace, outcome)
        assert end == "stop"
        assert not choices[0]["message"].get("refusal")
        clean = Response.undecoded(nothing, data, api="openai.chat", headers=Headers.undecoded(keepable(own)))
        entry = new_entry(clean, (), began_at, None, (), identity)
        run(hooks["cache_store"], ctx, trace, key, entry, request)
        plugins.store(key, entry, said, told, data, began_at, duration, usage)
        record = new_record(
            identity, "answered", began_at, monotonic() - began, "openai.chat", "POST",
            url, said["model"], False, scope, "main", None, status,
            (new_attempt(1, "main", status, None, 0.0, duration),), usage, end, first_token,
            new_provenance("provider", None, "main"), None, tuple(trace),
        )  # fmt: skip
        run(hooks["audit"], ctx, trace, record)
        plugins.audit(record)
        flow.enter("completed")
        return status, own, data, identity


def served() -> ByHand:
    """The application for a server: of the kind ``KIND`` over ``UPSTREAM``, as under load, with batches of a second."""
    kind = int(os.environ.get("KIND", DEFAULT))
    folder = Path(tempfile.mkdtemp(prefix="floor-gateway-"))
    return ByHand(os.environ["UPSTREAM"], kind, folder, rows=128, calls=1000)
