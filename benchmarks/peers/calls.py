"""The ways into clippy that are measured: a wrapped client, a transport, a client of our own, an SDK."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import httpx

import clippy_core
from benchmarks import hosts

from .reach import Reach, counted

HEADERS = {"authorization": "Bearer sk-fake", "content-type": "application/json"}
"""What the harness's own rows send."""

Body = Mapping[str, Any]
Ask = Callable[[Body], Any]
"""Asks one question, or gives what is awaited for it; the answer's text, or of a stream the pieces of text in it."""
Once = Callable[[], Any]


def sdk_version() -> int:
    """The major version of the openai SDK that is here; those before 1 have no client to be under, 0 is none."""
    try:
        return int(version("openai").split(".")[0])
    except PackageNotFoundError:
        return 0


def http_module(way: str) -> ModuleType:
    """What a way sends with."""
    return hosts.openai_http() if way == "openai" else httpx


def client(way: str, host: clippy_core.Host, reach: Reach, base_url: str, *, waits: bool, **options: Any) -> Any:
    """What a program would call; :func:`http_of` it is what must be closed."""
    module = http_module(way)
    inner = counted(module, reach, waits=waits, **options)
    if way == "transport":
        under = clippy_core.async_transport if waits else clippy_core.transport
        inner = under(host, module, inner)
    http = (hosts.async_client if waits else hosts.sync_client)(module, None, inner)
    http._transport = inner  # khazad, which is measured beside us, puts a cache of its own into each client of httpx
    if way == "transport":
        return http
    if way == "wrap":
        return host.wrap(http)
    if way == "own":
        return clippy_core.AsyncClient(host, http) if waits else clippy_core.Client(host, http)
    import openai

    kind = openai.AsyncOpenAI if waits else openai.OpenAI
    return host.wrap(kind(api_key="sk-fake", base_url=base_url, max_retries=2, http_client=http))


def http_of(made: Any) -> Any:
    """The HTTP client in what :func:`client` made."""
    if isinstance(made, (clippy_core.Client, clippy_core.AsyncClient)):
        return made._http
    return getattr(made, "_client", made) if type(made).__module__.startswith("openai") else made


def asks(way: str, made: Any, url: str, *, waits: bool) -> Ask:
    """One whole answer's text."""
    if way == "own":
        return (
            _awaited(lambda body: made.chat(**_own(body)), _text)
            if waits
            else lambda body: _text(made.chat(**_own(body)))
        )
    if way == "openai":
        create = made.chat.completions.create
        return _awaited(lambda body: create(**body), _said) if waits else lambda body: _said(create(**body))
    post = made.post
    if waits:
        return _awaited(lambda body: post(url, json=body, headers=HEADERS), _content)
    return lambda body: _content(post(url, json=body, headers=HEADERS))


def _awaited(begin: Callable[[Body], Awaitable[Any]], read: Callable[[Any], Any]) -> Ask:
    async def ask(body: Body) -> Any:
        return read(await begin(body))

    return ask


def _own(body: Body) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "stream"}


def _text(response: Any) -> Any:
    return response.text


def _said(completion: Any) -> Any:
    return completion.choices[0].message.content


def _content(response: Any) -> Any:
    response.raise_for_status()
    return response.json()["choices"][0]["message"]["content"]


def reads(way: str, made: Any, url: str, *, waits: bool) -> Ask:
    """How many pieces of text a stream has, all of it read."""
    return _areads(way, made, url) if waits else _reads(way, made, url)


def _reads(way: str, made: Any, url: str) -> Ask:
    def own(body: Body) -> int:
        with made.stream(**_own(body)) as chunks:
            return sum(1 for _ in chunks.text())

    def openai(body: Body) -> int:
        return sum(map(_has_text, made.chat.completions.create(**body)))

    def lines(body: Body) -> int:
        with made.stream("POST", url, json=body, headers=HEADERS) as response:
            return hosts.read_lines(response)

    return {"own": own, "openai": openai}.get(way, lines)


def _areads(way: str, made: Any, url: str) -> Ask:
    async def own(body: Body) -> int:
        pieces = 0
        async with await made.stream(**_own(body)) as chunks:
            async for _ in chunks.text():
                pieces += 1
        return pieces

    async def openai(body: Body) -> int:
        pieces = 0
        async for chunk in await made.chat.completions.create(**body):
            pieces += _has_text(chunk)
        return pieces

    async def lines(body: Body) -> int:
        async with made.stream("POST", url, json=body, headers=HEADERS) as response:
            return await hosts.aread_lines(response)

    return {"own": own, "openai": openai}.get(way, lines)


def _has_text(chunk: Any) -> bool:
    return bool(chunk.choices and chunk.choices[0].delta.content)


def questions(body: Body, *, new: bool) -> Callable[[], Body]:
    """The harness's question, always the same one, or each time one that was not asked before."""
    if not new:
        return lambda: body
    numbers = itertools.count()
    *before, last = body["messages"]

    def another() -> Body:
        asked = {**last, "content": f"{last['content']} ({next(numbers)})"}
        return {**body, "messages": [*before, asked]}

    return another


def checked(ask: Ask, question: Callable[[], Body], reach: Reach, want: Any, *, hit: bool, waits: bool) -> Once:
    """One call that fails unless the answer is *want* (True: any) and the server was reached, or for a *hit* was not.

    The first call of a hit fills the cache.
    """
    is_filled = not hit

    def judge(answer: Any, before: int) -> None:
        nonlocal is_filled
        assert answer if want is True else answer == want, f"the answer is {answer!r}, expected {want!r}"
        sent = reach.count - before
        assert not is_filled or sent == (not hit), f"the server was asked {sent} times"
        is_filled = True

    def once() -> None:
        before = reach.count
        judge(ask(question()), before)

    async def aonce() -> None:
        before = reach.count
        judge(await ask(question()), before)

    return aonce if waits else once
