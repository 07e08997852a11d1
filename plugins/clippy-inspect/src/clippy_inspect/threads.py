"""Work of the host's outside of the pages' own event loop.

Nobody closes what a host opens for that one: a request that ran in it would leave connections and plugins' resources
open.  A gateway's requests run in its loop, which has its connections; a program's loop may be over or stand still, so
there the work gets a thread: what a host opens for threads is closed with it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def in_the_program(loop: asyncio.AbstractEventLoop | None, work: Coroutine[Any, Any, T]) -> T:
    """What *work* returns or raises, in *loop*, a gateway's, or a thread where there is none."""
    if loop is None or not loop.is_running():
        return await _in_a_thread(work)
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


async def _in_a_thread(work: Coroutine[Any, Any, T]) -> T:
    """What *work* returns or raises; in a thread without an event loop a host's coroutines do not suspend.

    A thread of its own: an answer may take minutes, and a pool of threads would have to wait for it at the end.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():  # whoever asked has left
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # it is a T where there is no error

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            work.send(None)
            work.close()
            failure = RuntimeError("the host waited for an event loop in a thread that has none")
        except StopIteration as over:
            result = over.value
        except BaseException as error:  # it is told to who asked
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:
            pass  # the pages were closed meanwhile

    threading.Thread(target=run, name="clippy-inspect-again", daemon=True).start()
    return await done
