"""The hosts that are measured, and the plugins in them."""

from __future__ import annotations

import functools
import importlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs import define
from clippy_audit import AuditLog
from clippy_breaker import CircuitBreaker
from clippy_cache import CachePolicy
from clippy_cache_failures import CacheFailures
from clippy_cache_memory import MemoryCache
from clippy_cache_sqlite import SqliteCache
from clippy_context_window import ContextWindow
from clippy_dedup import Dedup
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import Chunk, Event, RequestContext, hookimpl
from clippy_prices import PriceList
from clippy_prompt_cache import PromptCache
from clippy_retry import RetryPolicy
from clippy_stream import StreamController
from clippy_stream_debug import StreamDebugger
from clippy_stream_monitor import StreamMonitor
from clippy_telemetry_log import LogTelemetry
from clippy_throttle import Throttle

import clippy_core

MODEL = "bench-model"
TEXT = "Tell me in a few words what a turtle thinks of the sea, and why it came back to it in the end."


@define(eq=False)
class OnChunk:
    """Looks at each chunk of a stream."""

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
        return None


@define(eq=False)
class OnTheWay(OnChunk):
    """Is called for everything that happens to a request, and does nothing."""

    @hookimpl
    def pre_request(self, request: Any, ctx: RequestContext) -> None:
        return None

    @hookimpl
    def cache_lookup(self, key: str, request: Any, ctx: RequestContext) -> None:
        return None

    @hookimpl
    def compress_context(self, request: Any, budget: int | None, ctx: RequestContext) -> None:
        return None

    @hookimpl
    def pre_attempt(self, request: Any, ctx: RequestContext) -> None:
        return None

    @hookimpl
    def classify_error(self, failure: Any, ctx: RequestContext) -> None:
        return None

    @hookimpl
    def post_attempt(self, outcome: Any, ctx: RequestContext) -> None:
        return None

    @hookimpl
    def on_error(self, error: Any, ctx: RequestContext) -> None:
        return None

    @hookimpl
    def on_response(self, response: Any, ctx: RequestContext) -> None:
        return None

    @hookimpl
    def cache_store(self, key: str, entry: Any, request: Any, ctx: RequestContext) -> None:
        return None


@define(eq=False)
class WithAudit(OnTheWay):
    """Gets the record, too: then hooks are timed."""

    @hookimpl
    def audit(self, record: Any, ctx: RequestContext) -> None:
        return None


@define(eq=False)
class EveryHook(WithAudit):
    """Gets every event, too."""

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        return None


def several(kind: type[Any], count: int) -> dict[str, object]:
    """So many plugins of a kind."""
    return {f"p{number}": kind() for number in range(count)}


def default_stack(folder: Path) -> dict[str, object]:
    """Every first-party plugin of the default install at its defaults, but for where its files lie."""
    return {
        "audit": AuditLog(path=folder / "audit.jsonl"),
        "cache": CachePolicy(keep_statistics=folder / "statistics.db"),
        "cache-failures": CacheFailures(),
        "cache-memory": MemoryCache(),
        "cache-sqlite": SqliteCache(path=folder / "cache.db"),
        "context-window": ContextWindow(),
        "dedup": Dedup(),
        "prices": PriceList(),
        "prompt-cache": PromptCache(),
        **family(),
    }


def family() -> dict[str, object]:
    """What watches over streams and failures, at its defaults: the fallback, the throttle and the recorder are idle."""
    return {
        "breaker": CircuitBreaker(),
        "errors": ErrorClassifier(),
        "fallback": Fallback(),
        "retry": RetryPolicy(),
        "stream": StreamController(),
        "stream-debug": StreamDebugger(),
        "stream-monitor": StreamMonitor(),
        "telemetry-log": LogTelemetry(),
        "throttle": Throttle(),
    }


def sqlite_cache(folder: Path) -> dict[str, object]:
    return {"cache-sqlite": SqliteCache(path=folder / "only.db")}


def host(plugins: Mapping[str, object], base_url: str = "http://127.0.0.1:9/v1") -> clippy_core.Host:
    """A host of these plugins with one route, ``main``."""
    route = {"base_url": base_url, "key": "sk-bench", "model": MODEL}
    return clippy_core.Host(dict(plugins), config={"routes": {"main": route}})


def sync_client(module: ModuleType, under: clippy_core.Host | None, transport: Any = None) -> Any:
    """A client of httpx or httpx2, with a transport of the caller's if there is one."""
    client = module.Client(trust_env=False, verify=tls(module), transport=transport)
    return client if under is None else under.wrap(client)


def async_client(module: ModuleType, under: clippy_core.Host | None, transport: Any = None) -> Any:
    client = module.AsyncClient(trust_env=False, verify=tls(module), transport=transport)
    return client if under is None else under.wrap(client)


@functools.cache
def tls(module: ModuleType) -> Any:
    """One context for all clients: making one costs more than many calls."""
    return module.create_ssl_context()


def openai_http() -> ModuleType:
    """The HTTP module that the installed openai SDK is built on: httpx2, in older ones httpx."""
    import openai

    return importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__.split(".")[0])


_numbers = itertools.count()


def messages(same: bool = False, text: str = TEXT) -> list[dict[str, str]]:
    """A conversation: always the *same*, or one that nobody has asked before."""
    system = {"role": "system", "content": "You answer briefly."}
    return [system, {"role": "user", "content": text if same else f"{text} ({next(_numbers)})"}]


def body(same: bool = False, text: str = TEXT, **more: Any) -> dict[str, Any]:
    """A request body with :func:`messages`."""
    return {"model": MODEL, "temperature": 0.5, "messages": messages(same, text), **more}


def read_lines(response: Any) -> int:
    """What a program without an SDK does with a stream: the pieces of text in it."""
    pieces = 0
    for line in response.iter_lines():
        pieces += _piece(line)
    return pieces


async def aread_lines(response: Any) -> int:
    pieces = 0
    async for line in response.aiter_lines():
        pieces += _piece(line)
    return pieces


def _piece(line: str) -> bool:
    if not line.startswith("data: ") or line == "data: [DONE]":
        return False
    choices = json.loads(line[6:])["choices"]
    return bool(choices and choices[0]["delta"].get("content"))
