"""A Redis server of the test's own: on a free port of 127.0.0.1, in memory, ended with the test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from patience import PATIENCE, until
from ports import free_port

NEEDED = "TESTS_NEED_REDIS"
"""An environment variable: set where a missing server is a failure and not a reason to skip."""
_OLDER = """
local function minus(key)
  local left = redis.call('PTTL', key) - ARGV[1]
  if left <= 0 then redis.call('DEL', key) else redis.call('PEXPIRE', key, left) end
end
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('TYPE', key).ok == 'zset' then
    local found = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for at = 1, #found, 2 do
      local sum = found[at] == 'total' and string.find(key, '|u:', 1, true)
      if not sum then redis.call('ZADD', key, found[at + 1] - ARGV[1], found[at]) end
    end
  end
  minus(key)
end
"""


def redis_program() -> str:
    """The path of redis-server or valkey-server; skips the test where neither is installed."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        why = "neither redis-server nor valkey-server is installed (Debian: apt-get install redis-server)"
        if os.environ.get(NEEDED):
            pytest.fail(why)
        pytest.skip(why)
    return program


class RedisServer:
    """A running server; *options* are lines of its configuration, in pieces (``"--requirepass", "secret"``)."""

    def __init__(self, folder: Path, *options: str, ready: bool = True) -> None:
        self._program, self._folder, self.options = redis_program(), folder, options
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start(ready=ready)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self, *, ready: bool = True) -> None:
        """Start it, and wait until it answers a connection, or (*ready*) a PING."""
        where = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder))
        memory = ("--save", "", "--appendonly", "no", "--maxmemory", "256mb", "--daemonize", "no")
        with (self._folder / "redis.log").open("ab") as log:
            command = [self._program, *where, *memory, *self.options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        while not self._answers(ready):
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                pytest.fail(f"the server does not start:\n{(self._folder / 'redis.log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once; what it kept is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE)

    def restart(self) -> None:
        """End it, and start an empty one on the same port."""
        self.stop()
        self.start()

    def hang(self) -> None:
        """Let it stand still: connections are accepted by the system, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End :meth:`hang`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def listen_with_tls(self) -> int:
        """Let it listen with TLS as well, which its options have the certificate for; the port."""
        port = free_port()
        self.ask("CONFIG", "SET", "tls-port", port)
        return port

    def client(self, **options: Any) -> redis.Redis:
        """A client of the test's own, to look at the keys."""
        return redis.Redis(port=self.port, decode_responses=True, **options)

    def ask(self, *words: Any, **options: Any) -> Any:
        """The answer to one command."""
        with self.client(**options) as client:
            return client.execute_command(*words)

    def connections(self) -> int:
        """How many others are connected."""
        return int(self.ask("CLIENT", "LIST", "TYPE", "normal").count("id=")) - 1

    def has_connections(self, number: int) -> bool:
        """Whether so many others are connected within seconds: it learns of a closed connection a little later."""
        return until(lambda: self.connections() == number)

    def advance(self, seconds: float) -> None:
        """Let everything in it be *seconds* older: its clock is the machine's, and no test waits for that."""
        self.ask("EVAL", _OLDER, 0, round(seconds * 1000))

    def _answers(self, ready: bool) -> bool:
        try:
            if not ready:
                socket.create_connection(("127.0.0.1", self.port), timeout=10).close()
                return True
            return bool(self.ask("PING", socket_timeout=10))
        except redis.ResponseError:
            return True
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            return isinstance(error, redis.AuthenticationError)
