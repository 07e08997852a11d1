"""A request through gateways, counted without a server: by hand, and through clippy's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from clippy_gateway.plugin import Gateway
from clippy_gateway.serving import favour_requests
from clippy_recorder import Recorder

import clippy_core
from benchmarks import hosts
from benchmarks.bench import Bench
from benchmarks.floor_gateway import DEFAULT, KEY, ROWS, ByHand
from benchmarks.pace import Pace, Whole
from clippy_core.testing.timing import Block, Group, awaited

BARE, STACK, HIT = "clippy, bare", "clippy, default stack", "clippy, default stack, a hit"
OFF, MEMORY = f"{STACK} + recorder, off", f"{STACK} + recorder, in memory"


def floor_gateway(bench: Bench) -> Group:
    """From an application that only passes on to the default stack by hand; then clippy's gateway, bare and with it."""
    base = f"http://127.0.0.1:{bench.server.port}"
    cases: dict[str, Block] = {
        name: _lazily(bench, partial(_by_hand, bench, base, kind)) for kind, name in ROWS.items()
    }
    cases[ROWS[DEFAULT]] = Whole(cases[ROWS[DEFAULT]])
    cases[BARE] = _lazily(bench, partial(gateway_call, bench, {}))
    (place := bench.folder / "gateway-host").mkdir(exist_ok=True)
    cases[STACK] = Whole(_lazily(bench, lambda: gateway_call(bench, hosts.default_stack(place))))
    for name, enabled in ((OFF, False), (MEMORY, True)):
        (own := bench.folder / f"gateway-recorder-{enabled}").mkdir(exist_ok=True)
        cases[name] = Whole(_lazily(bench, partial(_recorded, bench, own, enabled)))
    (hits := bench.folder / "gateway-hits").mkdir(exist_ok=True)
    cases[HIT] = Whole(_lazily(bench, lambda: gateway_call(bench, hosts.default_stack(hits), same=True)))
    return Group("a request through a gateway, without a server", cases, per_block=20)


def _by_hand(bench: Bench, base: str, kind: int) -> Callable[[], Any]:
    (place := bench.folder / f"gateway-{kind}").mkdir(exist_ok=True)
    app = ByHand(base, kind, place)
    bench.stack.callback(lambda: bench.runner.run(app.aclose()))
    return partial(exchange, app)


def _recorded(bench: Bench, place: Path, enabled: bool) -> Callable[[], Any]:
    return gateway_call(bench, {**hosts.default_stack(place), "recorder": Recorder(enabled=enabled, keep=10)})


def gateway_call(bench: Bench, plugins: dict[str, object], *, same: bool = False) -> Callable[[], Any]:
    """What asks clippy's gateway with these plugins once."""
    route = {"base_url": bench.server.base_url, "key": KEY, "api": "openai.chat"}
    gateway = Gateway()
    host = clippy_core.Host({"gateway": gateway, **plugins}, config={"routes": {"main": route}})
    app = gateway.app(gateway.over_aiohttp(host))
    bench.runner.run(app.open())
    bench.stack.callback(lambda: bench.runner.run(app.close()))
    call = partial(exchange, app, same=same)
    return Pace(app.host).of_async(call) if bench.paced and plugins else call  # type: ignore[arg-type]


def _lazily(bench: Bench, made: Callable[[], Callable[[], Any]]) -> Block:
    """A block that is made when it is first wanted: each is counted in a process of its own, which needs no other."""
    known: list[Block] = []

    def block(times: int) -> None:
        if not known:
            known.append(awaited(bench.runner, made()))
            favour_requests()  # as a worker does when it has begun
        known[0](times)

    return block


async def exchange(app: Any, *, same: bool = False) -> tuple[dict[bytes, bytes], bytes]:
    """One question, new or always the *same*, as a server would hand it to *app*; the answer's headers and body."""
    body = orjson.dumps({"model": hosts.MODEL, "messages": hosts.messages(same)[1:]})
    came, went = [{"type": "http.request", "body": body, "more_body": False}], []
    path = "/v1/chat/completions"
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": b"",
        "headers": [
            (b"host", b"127.0.0.1:8787"), (b"content-type", b"application/json"), (b"authorization", b"Bearer sk-fake"),
            (b"content-length", b"%d" % len(body)),
        ],
    }  # fmt: skip

    async def receive() -> Any:
        if came:
            return came.pop()
        return await asyncio.get_running_loop().create_future()  # a caller who stays

    async def send(said: Any) -> None:
        went.append(said)

    await app(scope, receive, send)
    assert went[0]["status"] == 200, went
    return dict(went[0]["headers"]), went[1]["body"]
