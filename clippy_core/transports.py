"""Transports for httpx and httpx2: the entrance that works under an SDK.

The two modules have the same interface and incompatible classes, so the classes here are made for a given module.  An
answer to a request that no plugin touches is the inner transport's own.
"""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from clippy_hookspecs import (
    PluginError,
    Refusal,
    Request,
    Response,
    Scope,
    StreamInterrupted,
)

from .calls import AsyncSender, Call, SyncSender
from .entrance import GaveUp, error_answer
from .opaque import OpaqueStream, Piece, abandon_when_collected
from .pipeline import AttemptsFailed, Result
from .runtime import FlowCancelled, drive
from .streaming import LiveStream

if TYPE_CHECKING:
    from .host import Host

Stream = LiveStream | OpaqueStream


def transport(host: Host, module: ModuleType | None = None, inner: Any = None) -> Any:
    """A sync transport of *module* (httpx, the default, or httpx2) that runs *host* in front of *inner*.

    ``httpx2.Client(transport=clippy_core.transport(host, httpx2))``.  *inner* defaults to the module's own transport.
    """
    module = module or httpx_module()
    return _classes(module)[0](
        host, inner if inner is not None else module.HTTPTransport(verify=host.ssl_context(module))
    )


def async_transport(host: Host, module: ModuleType | None = None, inner: Any = None) -> Any:
    """As :func:`transport`, for the module's async clients; works on asyncio and trio."""
    module = module or httpx_module()
    if inner is None:
        inner = module.AsyncHTTPTransport(verify=host.ssl_context(module))
    return _classes(module)[1](host, inner)


def httpx_module() -> ModuleType:
    """httpx, which is there wherever we are."""
    import httpx

    return httpx


def module_of(client: object) -> ModuleType | None:
    """The HTTP module that *client* is a client of, None if it is of neither."""
    for name in ("httpx", "httpx2"):
        module = sys.modules.get(name)
        if module is not None and isinstance(client, module.Client | module.AsyncClient):
            return module
    return None


def interruption(stream: Stream) -> StreamInterrupted | None:
    """What was delivered of a stream that broke."""
    info = getattr(stream, "failure", None)
    return StreamInterrupted(info, info.partial) if info is not None and info.committed else None


def _broken(call: Call, stream: Stream, error: Exception) -> BaseException:
    """The exception for a stream that broke; its cause says what was delivered, and that one's cause why."""
    raised, partial = call.exception(error, str(error)), interruption(stream)
    if partial is not None:
        partial.__cause__, raised.__cause__ = raised.__cause__, partial
    return raised


def _data(piece: Piece | None) -> bytes | None:
    return None if piece is None else piece.data


# --- the classes, made for a module -------------------------------------------------------------------------------


@functools.cache
def _classes(module: ModuleType) -> tuple[type[Any], type[Any]]:
    """The sync and the async transport class of *module*."""

    class Body(module.SyncByteStream):  # type: ignore[misc, name-defined]
        """A stream of ours as a body of the module's.  Read once: an SDK may ask for its iterator again to drain it."""

        def __init__(self, stream: Stream, call: Call) -> None:
            self._stream, self._call = stream, call
            abandon_when_collected(self, stream)

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> bytes:
            while True:
                try:
                    data = _data(drive(self._stream.next()))
                except (Refusal, PluginError):
                    raise
                except Exception as error:
                    raise _broken(self._call, self._stream, error)  # noqa: B904 - its cause is set
                if data is None:
                    raise StopIteration
                if data:
                    return data

        def close(self) -> None:
            drive(self._stream.aclose())

    class AsyncBody(module.AsyncByteStream):  # type: ignore[misc, name-defined]
        """The same for async clients."""

        def __init__(self, stream: Stream, call: Call) -> None:
            self._stream, self._call = stream, call
            abandon_when_collected(self, stream)

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> bytes:
            while True:
                try:
                    data = _data(await self._stream.next())
                except (Refusal, PluginError):
                    raise
                except Exception as error:
                    raise _broken(self._call, self._stream, error)  # noqa: B904 - its cause is set
                if data is None:
                    raise StopAsyncIteration
                if data:
                    return data

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Transport(module.BaseTransport):  # type: ignore[misc, name-defined]
        """Runs a host in front of an inner transport."""

        def __init__(self, host: Host, inner: Any) -> None:
            self._host, self._inner, self._closes = host, inner, True
            self._gave_up = GaveUp(host)

        def handle_request(self, request: Any) -> Any:
            if self._host.passes_by(request.url.scheme, request.headers):
                return self._inner.handle_request(request)
            call = Call(module, request)
            decoded = call.decode(request.read() if call.endpoint.body == "json" else b"")
            scope = self._host.said_scope()
            repeat = self._gave_up.find(decoded, scope)
            if repeat is not None:
                return _outcome(call, repeat)
            try:
                self._host.open()
                pipeline = self._host.begin(decoded, self._host.sync_runtime(), SyncSender(self._inner, call))
                result: Result | BaseException = drive(pipeline.answer())
            except (Refusal, PluginError, AttemptsFailed, FlowCancelled) as error:
                result = error
            result = _judged(self._host, self._gave_up, decoded, scope, result)
            if isinstance(result, LiveStream | OpaqueStream):
                return call.streamed(result, Body(result, call))
            return _outcome(call, result)

        def close(self) -> None:
            if self._closes:
                self._inner.close()

        def __enter__(self) -> Any:
            if self._closes:
                self._inner.__enter__()
            return self

        def __exit__(self, *exc: Any) -> None:
            if self._closes:
                self._inner.__exit__(*exc)

    class AsyncTransport(module.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        """The same for async clients."""

        def __init__(self, host: Host, inner: Any) -> None:
            self._host, self._inner, self._closes = host, inner, True
            self._gave_up = GaveUp(host)

        async def handle_async_request(self, request: Any) -> Any:
            if self._host.passes_by(request.url.scheme, request.headers):
                return await self._inner.handle_async_request(request)
            call = Call(module, request)
            decoded = call.decode(await request.aread() if call.endpoint.body == "json" else b"")
            scope = self._host.said_scope()
            repeat = self._gave_up.find(decoded, scope)
            if repeat is not None:
                return _outcome(call, repeat)
            try:
                await self._host.aopen()
                pipeline = self._host.begin(decoded, self._host.async_runtime(), AsyncSender(self._inner, call))
                result: Result | BaseException = await pipeline.answer()
            except (Refusal, PluginError, AttemptsFailed, FlowCancelled) as error:
                result = error
            result = _judged(self._host, self._gave_up, decoded, scope, result)
            if isinstance(result, LiveStream | OpaqueStream):
                return call.streamed(result, AsyncBody(result, call))
            return _outcome(call, result)

        async def aclose(self) -> None:
            if self._closes:
                await self._inner.aclose()

        async def __aenter__(self) -> Any:
            if self._closes:
                await self._inner.__aenter__()
            return self

        async def __aexit__(self, *exc: Any) -> None:
            if self._closes:
                await self._inner.__aexit__(*exc)

    for made, name in ((Transport, "Transport"), (AsyncTransport, "AsyncTransport")):
        made.__name__ = made.__qualname__ = f"Clippy{name}"
    return Transport, AsyncTransport


def _judged(host: Host, gave_up: GaveUp, request: Request, scope: Scope | None, result: Any) -> Any:
    """The result as the caller's SDK must see it: what we gave up on says that it is not to be tried again."""
    if isinstance(result, Refusal | PluginError | AttemptsFailed | FlowCancelled):
        result = error_answer(request, result)
    if host.owns_retries and not isinstance(result, LiveStream | OpaqueStream):
        result = gave_up.note(request, scope, result)
    return result


def _outcome(call: Call, result: Response | BaseException) -> Any:
    """The module's response, or its exception raised."""
    if isinstance(result, Response):
        return call.response(result)
    if isinstance(result, AttemptsFailed):
        raise call.exception(result.cause, str(result.info.message or result.info.kind))
    raise call.exception(result, "the request was cancelled")
