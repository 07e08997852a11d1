"""Requests as a recorder keeps them, made by hand, and a server of pages over them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
from attrs import define, evolve, field
from clippy_hookspecs import Scope, Usage
from clippy_inspect.door import Door
from clippy_inspect.site import application
from clippy_inspect.view import View
from clippy_recorder import Attempt, Exchange, Message, Piece, Step
from clippy_serving import Server

BEGAN = 1_790_000_000.0


def question(text: str = "How is the weather?", model: str = "gpt-4o") -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}, ensure_ascii=False).encode()


def answer(text: str = "It rains.") -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}, ensure_ascii=False).encode()


def exchange(number: int = 1, text: str = "How is the weather?", said: str = "It rains.", **changes: Any) -> Exchange:
    """A plain answered request; *changes* are fields of Exchange."""
    made = Exchange(
        id=f"req-{number:04}",
        began=BEGAN + number,
        api="openai.chat",
        url="https://api.example/v1/chat/completions",
        model="gpt-4o",
        scope=Scope(tenant="acme", user="ada"),
        state="answered",
        status=200,
        duration=812_345,
        usage=Usage(input=1200, output=34),
        cost=0.0041,
        finish_reason="stop",
        came=Message(headers=(("content-type", "application/json"),), body=question(text), size=len(question(text))),
        answered=Message(headers=(("content-type", "application/json"),), body=answer(said), size=88, status=200),
        attempts=(
            Attempt(
                1,
                "primary",
                1500,
                url="https://api.example/v1/chat/completions",
                sent=Message((("content-type", "application/json"),), question(text), 70),
                head_at=400_000,
                answer=Message((("content-type", "application/json"),), answer(said), 88, 200),
                ended_at=810_000,
                state="ok",
            ),
        ),
        steps=(
            Step(100, "prompt-cache", "pre_request", "passed", 21_000),
            Step(300, "context-window", "compress_context", "passed", 90_000),
        ),
    )
    return evolve(made, **changes)


def streamed(number: int = 2, deltas: tuple[str, ...] = ("It ", "rains ", "today."), **changes: Any) -> Exchange:
    pieces: list[Piece] = []
    for index, delta in enumerate(deltas):
        at = 300_000 + index * 60_000
        line = b"data: " + json.dumps({"choices": [{"delta": {"content": delta}}]}).encode() + b"\n\n"
        pieces.append(Piece(at, "bytes", line, size=len(line)))
        pieces.append(Piece(at + 200, "chunk_in", chunk={"kind": "text", "block": 0, "delta": delta}))
        pieces.append(Piece(at + 400, "chunk_out", chunk={"kind": "text", "block": 0, "delta": delta}))
    base: dict[str, Any] = {"stream": True, "first_token": 300_400, "pieces": tuple(pieces), "answered": None}
    return exchange(number, **{**base, **changes})


def retried(number: int = 3, **changes: Any) -> Exchange:
    """The first attempt was turned away; the second, elsewhere, answered."""
    whole = exchange(number)
    refused = evolve(
        whole.attempts[0],
        state="error",
        answer=Message((("retry-after", "1"),), b'{"error": {"message": "slow down"}}', 35, 429),
        error={"category": "rate_limit", "kind": "rate_limited", "message": "slow down", "retry_after": 1.0},
        head_at=88_000,
        ended_at=90_000,
    )
    later = {"at": 1_095_000, "waited": 1_000_000, "head_at": 1_300_000, "ended_at": 1_690_000}
    again = evolve(whole.attempts[0], number=2, route="spare", **later)
    before, after = question(), question("How is the weather? Answer in one line.")
    steps = (
        Step(100, "guard", "pre_request", "changed", 410_000, 1, before.decode(), after.decode()),
        Step(95_000, "retry", "on_error", "answered", 33_000),
    )
    return evolve(whole, **{"attempts": (refused, again), "steps": steps, "duration": 1_700_000, **changes})


def failed(number: int = 4, **changes: Any) -> Exchange:
    error = {"category": "overloaded", "kind": "http_529", "message": "the provider is overloaded"}
    base = {"state": "failed", "status": 529, "error": error, "usage": None, "cost": None, "finish_reason": None}
    return exchange(number, **{**base, "answered": None, **changes})


def cached(number: int = 5, **changes: Any) -> Exchange:
    kept = {"source": "cache", "by": "cache-memory", "route": "primary", "age": 12.5, "stale": False}
    base = {"state": "cached", "provenance": kept, "attempts": (), "duration": 900, "cost": 0.0}
    return exchange(number, **{**base, **changes})


@define(eq=False)
class Kept:
    """A source that holds what the test put into it."""

    exchanges: list[Exchange] = field(factory=list)
    flows: dict[str, Any] = field(factory=dict)
    listeners: list[Callable[[str], None]] = field(factory=list)

    def latest(self, limit: int = 200, before: str | None = None) -> tuple[Exchange, ...]:
        return tuple(self.exchanges[-limit:])

    def find(self, wanted: str) -> Exchange | None:
        return next((one for one in self.exchanges if one.id == wanted), None)

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        self.listeners.append(callback)
        return lambda: self.listeners.remove(callback)

    def flow(self, wanted: str) -> Any:
        return self.flows.get(wanted)

    def put(self, made: Exchange) -> None:
        """Keep *made* in the place of what has its id, and tell who listens."""
        self.exchanges = [*(one for one in self.exchanges if one.id != made.id), made]
        for listener in list(self.listeners):
            threading.Thread(target=listener, args=(made.id,)).start()  # a recorder calls from any thread


@define(eq=False, slots=False)
class Site:
    """The pages over a source, on loopback, for as long as the ``with`` lasts."""

    source: Kept = field(factory=Kept)
    door: Door = field(factory=Door)
    host: Any = None
    bare: Any = None

    def __enter__(self) -> Site:
        view = View(self.source, self.door.csrf, lambda: self.host, bare=self.bare, apart=True)
        self.server = Server(application(view, self.door), drain=2)
        self.server.start()
        self.door.port = self.server.port
        self.address = f"http://127.0.0.1:{self.server.port}"
        self.client = httpx.Client(base_url=self.address, headers={"authorization": f"Bearer {self.door.token}"})
        return self

    def __exit__(self, *about: object) -> None:
        self.client.close()
        self.server.stop()

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.client.post(path, **more)
