"""The gateway with what stands beside it in production: nginx in front, Redis behind, ``curl`` as a stranger."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from clippy_gateway import Key
from gateway_world import CALLERS_KEY, World, until
from redis_server import RedisServer

from clippy_core.testing import FakeServer, Reply

WORDS = ("one ", "two ", "three ", "four ", "five ")
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
HEAD = {"authorization": f"Bearer {CALLERS_KEY}"}
CONFIGURATION = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream clippy {{ server 127.0.0.1:{port}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{front};
    location / {{
      proxy_pass http://clippy; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off; proxy_ignore_client_abort off;
    }}
  }}
}}
"""


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def nginx(folder: Path, port: int) -> Iterator[str]:
    """An nginx of the test's own before *port*, as the guide has it."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    front = _free_port()
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, port=port, front=front))
    with (folder / "nginx.log").open("w") as log:
        process = subprocess.Popen([program, "-e", f"{folder}/error.log", "-c", str(file)], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{front}"
        assert until(lambda: _answers(url)), (folder / "nginx.log").read_text()
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url + "/ready", trust_env=False).status_code == 200
    return False


def test_behind_nginx_streams_come_piece_by_piece_and_a_caller_may_leave(tmp_path):
    script = Reply("".join(WORDS), chunks=WORDS, chunk_delay=0.2)
    with World(script, {}, {"keys": {"team": Key(CALLERS_KEY)}}) as world, nginx(tmp_path, world.server.port) as url:
        body = {**ASKED, "stream": True}
        with httpx.Client(trust_env=False, timeout=20) as client:
            with client.stream("POST", url + "/v1/chat/completions", json=body, headers=HEAD) as answer:
                pieces = answer.iter_raw()
                first = next(pieces)
                early = world.provider.provider.pieces[1]
                rest = b"".join(pieces)
            with client.stream("POST", url + "/v1/chat/completions", json=body, headers=HEAD) as answer:
                next(answer.iter_raw())
        assert until(lambda: world.provider.closed_early == [2])
        assert until(lambda: world.app.busy == 0)
    assert b"data: " in first
    assert early < len(WORDS)
    assert b"[DONE]" in rest


def test_two_workers_share_their_answers_over_redis(tmp_path):
    server = RedisServer(tmp_path)
    try:
        with FakeServer(Reply("x")) as provider:
            file = tmp_path / "clippy.toml"
            file.write_text(
                'allow = ["gateway", "cache-redis", "state-redis"]\n'
                f'[plugins.cache-redis]\nurl = "{server.url}"\n[plugins.state-redis]\nurl = "{server.url}"\n'
                f'[routes.main]\nbase_url = "{provider.base_url}"\nkey = "sk-0123456789"\n'
            )
            socket_path = tmp_path / "gateway.sock"
            argv = [sys.executable, "-m", "clippy_core.cli", "--config", str(file), "serve", "--workers", "2"]
            process = subprocess.Popen([*argv, "--uds", str(socket_path)], stderr=subprocess.DEVNULL)
            try:
                over = httpx.HTTPTransport(uds=str(socket_path))
                assert until(lambda: _takes(socket_path), 30)
                with httpx.Client(transport=over, timeout=60) as client:
                    first = client.post("http://localhost/v1/chat/completions", json=ASKED)
                told = [_again(socket_path) for _ in range(20)]
            finally:
                process.terminate()
                process.wait(20)
            assert first.headers["x-clippy-cache"] == "miss"
            assert all(one.startswith("hit") for one in told)
            assert provider.calls == 1
    finally:
        server.stop()


def _takes(path: Path) -> bool:
    """Whether somebody listens at *path*: it is there a moment before."""
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False


def _again(path: Path) -> str:
    """What a connection of its own is told, so that either worker may take it."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=20) as client:
        return client.post("http://localhost/v1/chat/completions", json=ASKED).headers["x-clippy-cache"]


def test_a_curl_script_works_unchanged():
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    with World(Reply("Hi there"), {}, {"keys": {"team": Key(CALLERS_KEY)}}) as world:
        argv = [
            program,
            "-sS",
            "--noproxy",
            "*",
            world.url + "/v1/chat/completions",
            "-H",
            f"Authorization: Bearer {CALLERS_KEY}",
        ]
        plain = subprocess.run(
            [*argv, "-H", "Content-Type: application/json", "-d", json.dumps(ASKED)],
            capture_output=True, check=True, timeout=20,
        ).stdout  # fmt: skip
        streamed = subprocess.run(
            [*argv, "-N", "-H", "Content-Type: application/json", "-d", json.dumps({**ASKED, "stream": True})],
            capture_output=True, check=True, timeout=20,
        ).stdout  # fmt: skip
    assert json.loads(plain)["choices"][0]["message"]["content"] == "Hi there"
    assert b"[DONE]" in streamed
