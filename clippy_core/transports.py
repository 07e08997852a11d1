"""Transports for httpx and httpx2: the entrance that works under an SDK.

The two modules have the same interface and incompatible classes, so the classes here are made for a given module.  An
answer to a request that no plugin touches is the inner transport's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from clippy_hookspecs import (
    PluginError,
    Refusal,
    Response,
    StreamInterrupted,
)

from .attempt import AttemptsFailed, Sender
from .calls import AsyncSender, Call, SyncSender
from .driven import drive
from .entrance import GaveUp, error_answer
from .forks import follow_forks
from .in_front import InFront, fronts, named
from .opaque import OpaqueStream, abandon_when_collected
from .pipeline import Pipeline, Result
from .runtime import FlowCancelled, Runtime
from .streaming import LiveStream

if TYPE_CHECKING:
    from .host import Host

Stream = LiveStream | OpaqueStream
STREAMS = (LiveStream, OpaqueStream)
FAILURES = (Refusal, PluginError, AttemptsFailed, FlowCancelled)


def transport(host: Host, module: ModuleType | None = None, inner: Any = None) -> Any:
    """A sync transport of *module* (httpx, the default, or httpx2) that runs *host* in front of *inner*.

    ``httpx2.Client(transport=clippy_core.transport(host, httpx2))``.  *inner* defaults to the module's own transport.
    """
    module = module or httpx_module()
    return _classes(module)[0](host, inner, functools.partial(module.HTTPTransport, verify=host.ssl_context(module)))


def async_transport(host: Host, module: ModuleType | None = None, inner: Any = None) -> Any:
    """As :func:`transport`, for the module's async clients; works on asyncio and trio."""
    module = module or httpx_module()
    make = functools.partial(module.AsyncHTTPTransport, verify=host.ssl_context(module))
    return _classes(module)[1](host, inner, make)


def httpx_module() -> ModuleType:
    """httpx, which is there wherever we are."""
    import httpx

    return httpx


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


class Before(InFront):
    """A host in front of an inner transport: what is the same in both colours.

    Without an inner one it makes one of its own, in a forked child another: two processes that send over one
    connection would get each other's answers.
    """

    def __init__(self, host: Host, inner: Any, make: Callable[[], Any]) -> None:
        super().__init__(host, inner)
        self._make = make
        self.gave_up = GaveUp(host)
        if inner is None:
            self._begin()
            follow_forks(self._begin)

    def _begin(self) -> None:
        self.inner = self._make()


class Asked:
    """A request that came to a transport: what is the same in both colours."""

    def __init__(self, host: Host, gave_up: GaveUp, call: Call, body: bytes) -> None:
        self._host, self._gave_up, self._call = host, gave_up, call
        self._request, self._scope = call.decode(body), host.said_scope()
        self.before = gave_up.find(self._request, self._scope)
        """The failure of this very call a moment ago, which its SDK repeats."""
        self._pipeline: Pipeline | None = None

    def pipeline(self, runtime: Runtime, sender: Sender) -> Pipeline:
        """The pipeline for it."""
        again = self._call.again(self._gave_up.instead_of)
        self._pipeline = self._host.begin(self._request, runtime, sender, again=again)
        return self._pipeline

    def judged(self, result: Any) -> Any:
        """The result as the caller's SDK must see it: what we gave up on says that it is not to be tried again."""
        if isinstance(result, FAILURES):
            result = error_answer(self._request, result)
        if self._host.owns_retries and not isinstance(result, STREAMS):
            result = self._gave_up.note(self._request, self._scope, result)
        return result

    def outcome(self, result: Response | BaseException) -> Any:
        """The module's response, or its exception raised."""
        call, pipeline = self._call, self._pipeline
        if isinstance(result, Response):
            return call.response(result, as_sent=pipeline is not None and result is pipeline.as_sent)
        if isinstance(result, AttemptsFailed):
            raise call.exception(result.cause, str(result.info.message or result.info.kind))
        raise call.exception(result, "the request was cancelled")


# --- the classes, made for a module -------------------------------------------------------------------------------


def _bodies(module: ModuleType) -> tuple[type[Any], type[Any]]:
    """The sync and the async class of bodies that are read while they come."""

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
                    piece = drive(self._stream.next())
                except (Refusal, PluginError):
                    raise
                except Exception as error:
                    raise _broken(self._call, self._stream, error)  # noqa: B904 - its cause is set
                if piece is None:
                    raise StopIteration
                if piece.data:
                    return piece.data

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
                    piece = await self._stream.next()
                except (Refusal, PluginError):
                    raise
                except Exception as error:
                    raise _broken(self._call, self._stream, error)  # noqa: B904 - its cause is set
                if piece is None:
                    raise StopAsyncIteration
                if piece.data:
                    return piece.data

        async def aclose(self) -> None:
            await self._stream.aclose()

    return Body, AsyncBody


@functools.cache
def _classes(module: ModuleType) -> tuple[type[Any], type[Any]]:
    """The sync and the async transport class of *module*."""
    front, async_front = fronts(module)
    Body, AsyncBody = _bodies(module)  # noqa: N806 - classes

    class Transport(Before, front):  # type: ignore[misc, valid-type]
        """Runs a host in front of an inner transport."""

        def handle_request(self, request: Any) -> Any:
            if self.passes_by(request):
                return self.inner.handle_request(request)
            host, call = self.host, Call(module, request, request.headers.raw)
            asked = Asked(host, self.gave_up, call, request.read() if call.endpoint.body == "json" else b"")
            if asked.before is not None:
                return asked.outcome(asked.before)
            try:
                host.open()
                pipeline = asked.pipeline(host.sync_runtime(), SyncSender(self.inner, call))
                result: Result | BaseException = drive(pipeline.answer())
            except FAILURES as error:
                result = error
            result = asked.judged(result)
            return call.streamed(result, Body(result, call)) if isinstance(result, STREAMS) else asked.outcome(result)

    class AsyncTransport(Before, async_front):  # type: ignore[misc, valid-type]
        """The same for async clients."""

        async def handle_async_request(self, request: Any) -> Any:
            if self.passes_by(request):
                return await self.inner.handle_async_request(request)
            host, call = self.host, Call(module, request, request.headers.raw)
            asked = Asked(host, self.gave_up, call, await request.aread() if call.endpoint.body == "json" else b"")
            if asked.before is not None:
                return asked.outcome(asked.before)
            try:
                await host.aopen()
                pipeline = asked.pipeline(host.async_runtime(), AsyncSender(self.inner, call))
                result: Result | BaseException = await pipeline.answer()
            except FAILURES as error:
                result = error
            result = asked.judged(result)
            if isinstance(result, STREAMS):
                return call.streamed(result, AsyncBody(result, call))
            return asked.outcome(result)

    return named(Transport, AsyncTransport)
