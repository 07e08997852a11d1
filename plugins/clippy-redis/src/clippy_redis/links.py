"""Connections: a pool for the threads of the process, and one for each asyncio loop.

A connection that was interrupted between question and answer holds somebody else's answer.  So it goes back to its
pool open only if its answer was read to the end; whatever else happened, it is closed first.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from .address import Address
from .limits import Limits

Words = tuple[str | bytes | int, ...]
FAILURES = (redis.RedisError, OSError)
"""What redis-py raises; TimeoutError and the errors of sockets and TLS are OSErrors."""


class Threads:
    """The pool of all threads of a process; an exchange blocks the calling one."""

    def __init__(self, address: Address, limits: Limits) -> None:
        kind: Any = redis.SSLConnection if address.tls else redis.Connection
        pool: Any = redis.BlockingConnectionPool  # redis-py types a part of itself
        self._pool = pool(
            connection_class=kind,
            max_connections=limits.connections,
            timeout=limits.connect + limits.answer,
            socket_connect_timeout=limits.connect,
            socket_timeout=limits.answer,
            **_common(address),
            retry=Retry(NoBackoff(), 0),
        )

    def exchange(self, words: Words) -> Any:
        """The answer to one command.  Raises what redis-py raises."""
        connection = self._pool.get_connection()
        try:
            connection.send_packed_command([_packed(words)])
            return connection.read_response()
        except redis.ResponseError:  # an answer as well
            raise
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)

    def close(self) -> None:
        """Close the connections that nobody uses; the pool opens new ones when it is asked again."""
        self._pool.disconnect(inuse_connections=False)


class Loop:
    """The pool of one asyncio loop; made in it."""

    def __init__(self, address: Address, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._watch: AbstractAsyncContextManager[None] | None = None
        self._opened: weakref.WeakSet[redis.asyncio.Connection] = weakref.WeakSet()
        self._exchanges = 0
        # Not redis-py's BlockingConnectionPool: giving back a connection may wait there, and a second cancellation in
        # that moment loses it.
        self._places = asyncio.Semaphore(limits.connections)
        kind: Any = redis.asyncio.SSLConnection if address.tls else redis.asyncio.Connection
        pool: Any = redis.asyncio.ConnectionPool
        self._pool = pool(
            connection_class=self._noting(kind),
            max_connections=limits.connections,
            socket_connect_timeout=limits.connect,
            socket_timeout=None,  # redis-py would start a task for each command; exchange() has its own limit
            **_common(address),
            retry=AsyncRetry(NoBackoff(), 0),
        )

    async def exchange(self, words: Words) -> Any:
        """The answer to one command.  Raises what redis-py raises, and TimeoutError."""
        if self._watch is None:
            self._watch = self._until_the_loop_ends()
            await self._watch.__aenter__()
        self._exchanges += 1
        try:
            return await self._exchange(words)
        finally:
            self._exchanges -= 1

    async def _exchange(self, words: Words) -> Any:
        limits = self._limits
        async with asyncio.timeout(limits.connect + limits.answer) as limit, self._places:
            connection = await self._pool.get_connection()
            try:
                limit.reschedule(self._loop.time() + limits.answer)
                await connection.send_packed_command([_packed(words)])
                return await connection.read_response(disconnect_on_error=False)
            except redis.ResponseError:  # an answer as well
                raise
            except BaseException:
                _sever(connection)
                raise
            finally:
                await self._pool.release(connection)

    def close(self) -> None:
        """Close the connections, from whatever thread, unless somebody uses them; they open again when needed."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._cut_idle()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cut_idle)

    def gone(self) -> bool:
        """Whether the loop has ended."""
        return self._loop.is_closed()

    @asynccontextmanager
    async def _until_the_loop_ends(self) -> AsyncIterator[None]:
        # Nobody leaves it, but whoever ends a loop closes its generators first, as asyncio.run does: the last chance to
        # close sockets of a program that does not close its host.
        try:
            yield
        finally:
            self._cut()

    def _cut_idle(self) -> None:
        if not self._exchanges:  # else a host closes and another goes on; the end of the loop closes the rest
            self._cut()

    def _cut(self) -> None:
        for connection in tuple(self._opened):
            _sever(connection)

    def _noting(self, kind: Any) -> Any:
        def make(**options: Any) -> redis.asyncio.Connection:
            connection: redis.asyncio.Connection = kind(**options)
            self._opened.add(connection)
            return connection

        return make


def _sever(connection: redis.asyncio.Connection) -> None:
    """Close it at once, without the farewell of TLS: the other side may never answer that, and the loop may end."""
    writer = connection._writer  # noqa: SLF001 - redis-py itself closes politely only
    if writer is not None:
        writer.transport.abort()
    closing = connection.disconnect(nowait=True)
    try:
        closing.send(None)  # it does not wait, and a task for it may never run
    except StopIteration:
        pass


def _common(address: Address) -> dict[str, Any]:
    # Nothing is sent twice: nobody knows whether an addition that was not answered has been made.
    return {"protocol": 2, **address.options}


def _packed(words: Words) -> bytes:
    """A command as it is sent: what redis-py makes of it, in a third of the time."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        text = word if type(word) is bytes else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)
