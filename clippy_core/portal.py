"""An event loop on a thread of its own, for ``async def`` hooks and services in sync programs."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # few sync programs have async hooks, so asyncio waits for the first one
    import asyncio

T = TypeVar("T")


class Portal:
    """Starts its thread at the first use.  The thread is a daemon: it must never keep a program from ending."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self._loop is not None

    def here(self) -> bool:
        """Whether this thread is the portal's."""
        return threading.current_thread() is self._thread

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of *coroutine*, run on the portal's loop with the caller's context; blocks until it is there."""
        import asyncio

        loop = self._start()
        if self.here():
            coroutine.close()
            raise RuntimeError("an async hook of a sync host called back into it; use ctx.ask, which runs elsewhere")
        context = contextvars.copy_context()

        async def in_context() -> T:
            return await loop.create_task(coroutine, context=context)

        future = asyncio.run_coroutine_threadsafe(in_context(), loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def close(self) -> None:
        """Stop the loop; it starts again when it is used again."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            if threading.current_thread() is not thread:
                thread.join(timeout=2.0)

    def forget(self) -> None:
        """After a fork: the thread is not in this process."""
        self._lock = threading.Lock()
        self._loop = self._thread = None

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                import asyncio

                loop = asyncio.new_event_loop()
                self._loop = loop
                self._thread = threading.Thread(target=_serve, args=(loop,), name="clippy-portal", daemon=True)
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        if pending:
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
