"""The gateway with what stands beside it in production: nginx in front, Redis behind, ``curl`` as a stranger."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from clippy_gateway import Gateway, Key
from clippy_gateway.commands import serve_command
from clippy_inspect import Inspect
from gateway_world import CALLERS_KEY, World, takes
from patience import PATIENCE, until
from ports import free_port
from redis_server import RedisServer

from clippy_core.testing import FakeServer, Fault, Reply

WORDS = ("one ", "two ", "three ", "four ", "five ")
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
HEAD = {"authorization": f"Bearer {CALLERS_KEY}"}
GUIDE = Path(__file__).parents[3] / "docs" / "gateway.md"
AROUND = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  {guides}
}}
"""


def _as_the_guide_has_it(folder: Path, port: int, front: int) -> str:
    """The guide's words for nginx, with this test's places in them; each of these has to be there."""
    guides = GUIDE.read_text("utf-8").partition("```nginx\n")[2].partition("```")[0]
    places = {
        "127.0.0.1:8787": f"127.0.0.1:{free_port()}",  # nobody: the next version answers, at the other one
        "127.0.0.1:8788": f"127.0.0.1:{port}",
        "listen 443 ssl": f"listen 127.0.0.1:{front} ssl",
        "/etc/clippy/tls.crt": f"{folder}/tls.crt",
        "/etc/clippy/tls.key": f"{folder}/tls.key",
    }
    for written, here in places.items():
        assert written in guides
        guides = guides.replace(written, here)
    return AROUND.format(folder=folder, guides=guides)


def test_systemd_takes_the_unit_of_the_guide(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
    unit = GUIDE.read_text("utf-8").partition("```ini\n")[2].partition("```")[0]
    (command,) = re.findall(r"^ExecStart=(/opt/clippy/bin/clippy --config \S+ serve) (.*)$", unit, re.MULTILINE)
    options = {name for option in serve_command(Gateway(), None).params for name in option.opts}
    assert {word for word in command[1].split() if word.startswith("-")} <= options
    assert int(unit.partition("TimeoutStopSec=")[2].split()[0]) > Gateway().drain + Gateway().notice
    file = tmp_path / "clippy-gateway@8787.service"
    file.write_text(unit.replace("/opt/clippy/bin/clippy", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def _certificate(folder: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", folder / "tls.key", "-out", folder / "tls.crt"],
        check=True, capture_output=True,
    )  # fmt: skip


@contextlib.contextmanager
def nginx(folder: Path, port: int, front: int) -> Iterator[httpx.Client]:
    """A client of an nginx of the test's own, which speaks TLS at *front* before *port*, as the guide has it."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    _certificate(folder)
    file = folder / "nginx.conf"
    file.write_text(_as_the_guide_has_it(folder, port, front))
    with (folder / "nginx.log").open("w") as log:
        process = subprocess.Popen([program, "-e", f"{folder}/error.log", "-c", str(file)], stdout=log, stderr=log)
    try:
        trusted = ssl.create_default_context(cafile=folder / "tls.crt")
        with httpx.Client(
            base_url=f"https://127.0.0.1:{front}", verify=trusted, trust_env=False, timeout=PATIENCE
        ) as client:
            assert until(lambda: _answers(client)), (folder / "nginx.log").read_text()
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def _answers(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return client.get("/ready").status_code == 200
    return False


def test_behind_nginx_with_tls_streams_come_piece_by_piece_a_caller_may_leave_and_the_pages_open(tmp_path):
    whole = Reply("".join(WORDS), chunks=WORDS)
    script = [[Fault.stall(1.0, at_delta=1), whole], [Fault.stall(PATIENCE, at_delta=1), whole]]
    front = free_port()
    origin = f"https://127.0.0.1:{front}"
    inspect = Inspect(enabled=True, gateway=True, hosts=(origin,), token="token-of-this-very-test-0123")
    settings = {"keys": {"team": Key(CALLERS_KEY)}}
    with World(script, {"inspect": inspect}, settings) as world, nginx(tmp_path, world.server.port, front) as client:
        body = {**ASKED, "stream": True}
        with client.stream("POST", "/v1/chat/completions", json=body, headers=HEAD) as answer:
            pieces = answer.iter_raw()
            first = next(pieces)
            early = world.provider.provider.pieces[1]
            rest = b"".join(pieces)
        with client.stream("POST", "/v1/chat/completions", json=body, headers=HEAD) as answer:
            next(answer.iter_raw())
        assert until(lambda: world.provider.closed_early == [2])
        assert until(lambda: world.app.busy == 0)
        token = {"authorization": f"Bearer {inspect.token}"}
        page = client.get("/", headers=token)
        ours, other = (
            client.post("/api/streams/none/pause", headers={**token, "origin": one})
            for one in (origin, f"http://127.0.0.1:{front}")
        )
    assert b"data: " in first
    assert early < len(WORDS)
    assert b"[DONE]" in rest
    assert page.status_code == 200
    assert (ours.status_code != 403, other.status_code) == (True, 403)


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
                assert until(lambda: takes(socket_path))
                with httpx.Client(transport=over, timeout=300) as client:
                    first = client.post("http://localhost/v1/chat/completions", json=ASKED)
                told = [_again(socket_path) for _ in range(20)]
            finally:
                process.terminate()
                process.wait(PATIENCE)
            assert first.headers["x-clippy-cache"] == "miss"
            assert all(one.startswith("hit") for one in told)
            assert provider.calls == 1
    finally:
        server.stop()


def _again(path: Path) -> str:
    """What a connection of its own is told, so that either worker may take it."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=PATIENCE) as client:
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
            capture_output=True, check=True, timeout=PATIENCE,
        ).stdout  # fmt: skip
        streamed = subprocess.run(
            [*argv, "-N", "-H", "Content-Type: application/json", "-d", json.dumps({**ASKED, "stream": True})],
            capture_output=True, check=True, timeout=PATIENCE,
        ).stdout  # fmt: skip
    assert json.loads(plain)["choices"][0]["message"]["content"] == "Hi there"
    assert b"[DONE]" in streamed
