"""``ctx.ask``: how a plugin calls a model from inside a hook."""

from __future__ import annotations

import math
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clippy_hookspecs import UNKNOWN_ENDPOINT, UNKNOWN_ERROR, ProviderError, Request, Response

from .attempt import AttemptsFailed
from .driven import about_to_wait, drive
from .pipeline import Pipeline
from .runtime import SyncRuntime
from .untouched import retouch
from .wire import APIS, find

if TYPE_CHECKING:
    from .host import Host
    from .tables import Tables

DEPTH = 3


def asker(
    host: Host, tables: Tables, parent: Pipeline, path: tuple[str, ...]
) -> Callable[[Request], Awaitable[Response]]:
    """``ask`` for the hooks of *parent*, which has *tables*: same pipeline and runtime, without the plugins on *path*.

    It is a part of its parent's context and must not hold its parent: a request that is over would be left to the
    garbage collector, which costs more than the request.
    """
    return partial(_ask, host, tables, weakref.ref(parent), path)


async def _ask(
    host: Host, tables: Tables, pipeline: weakref.ref[Pipeline], path: tuple[str, ...], request: Request
) -> Response:
    parent = pipeline()
    if parent is None:
        raise RuntimeError("ctx.ask was called when the request was over; ask from inside its hooks")
    step = parent.ledger.at
    if len(path) >= DEPTH:
        raise RecursionError(f"plugins ask through each other more than {DEPTH} deep: {' > '.join(path)}")
    here = (*path, step.plugin) if step is not None else path
    child = host.begin(
        _completed(request, parent.request),
        parent.runtime,
        parent.sender,
        tables=tables,
        parent=parent,
        path=here,
        wants_values=True,
    )
    child.ctx.only = parent.ctx.only
    # In a sync host an async hook runs on the portal's event loop, which must not be blocked by a whole request.
    if isinstance(parent.runtime, SyncRuntime) and host.on_portal():
        import anyio.to_thread  # a sync program without async hooks needs no anyio

        # A limit of its own: those who wait hold a thread while they wait for the threads of those they ask.
        unlimited = anyio.CapacityLimiter(math.inf)
        return await anyio.to_thread.run_sync(lambda: drive(whole_answer(child)), limiter=unlimited)
    if not isinstance(parent.runtime, SyncRuntime):
        await about_to_wait()
    return await whole_answer(child)


def _completed(request: Request, parent: Request) -> Request:
    """*request* with the parent's address and credentials where it names none."""
    if request.url:
        if request.endpoint is not UNKNOWN_ENDPOINT:
            return request
        return retouch(request, endpoint=find(request.method, urlsplit(request.url).path)[1])
    endpoint = request.endpoint
    api = request.api or parent.api
    if api == parent.api:
        endpoint = parent.endpoint
    elif api in APIS:
        raise ValueError(f"a request for {api} from inside one for {parent.api} needs a url and headers of its own")
    return retouch(request, api=api, url=parent.url, query=parent.query, headers=parent.headers, endpoint=endpoint)


async def whole_answer(child: Pipeline) -> Response:
    """The answer to a request of a plugin's.  Raises ProviderError, Refusal, PluginError."""
    try:
        result = await child.answer()
    except AttemptsFailed as failed:
        raise ProviderError(failed.info) from failed.cause
    if not isinstance(result, Response):
        await result.aclose()
        raise ProviderError(child.failure or UNKNOWN_ERROR)
    if result.status >= 400:
        raise ProviderError(child.failure or UNKNOWN_ERROR, result.raw or b"")
    return result
