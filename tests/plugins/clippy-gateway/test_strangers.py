"""Programs that know nothing of us work through ``clippy serve`` by their base URL: node, llm, curl, and nginx."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx2
import openai
import pytest
from ports import free_port

from clippy_core.testing import FakeProvider, FakeServer, Fault, Reply, call

MODULES = os.environ.get("TESTS_NODE_MODULES", "")
"""A folder with npm's openai in it: ``npm install openai`` there."""
LLM = os.environ.get("TESTS_LLM", "")
"""The llm command of an environment of its own."""
needed = bool(os.environ.get("TESTS_NEED_STRANGERS"))


def without(what: str, there: bool) -> pytest.MarkDecorator:
    """Skip where *what* is not installed, unless that is a fault."""
    return pytest.mark.skipif(not there and not needed, reason=f"{what} is not installed here")


def answers(seen: object) -> Reply | Fault:
    """One provider for all: a tool call where there are tools, an error where the words ask for one."""
    body = json.loads(seen.body or b"{}")  # type: ignore[attr-defined]
    said = json.dumps(body)
    if "fail with 404" in said:
        return Fault.status(404)
    if body.get("tools"):
        return Reply("", tool_calls=[call("weather", {"city": "Paris"}, "call_1")])
    return Reply("one two three", chunks=("one ", "two ", "three"))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FakeServer]]:
    """``clippy serve`` as a process, before a provider on loopback."""
    folder = tmp_path_factory.mktemp("gateway")
    with FakeServer(FakeProvider(answers), lifetime=240) as provider:
        (folder / "clippy.toml").write_text(
            f'[routes.chat]\nbase_url = "{provider.base_url}"\nkey = "sk-of-the-route"\n'
            f'[routes.responses]\napi = "openai.responses"\nbase_url = "{provider.base_url}"\nkey = "sk-of-the-route"\n'
            f'[routes.claude]\napi = "anthropic.messages"\nbase_url = "{provider.anthropic_url}"\n'
            'key = "sk-of-the-route"\n'
            '[plugins.gateway.keys.stranger]\nkey = "a-key-of-the-gateways-own"\n'
        )
        home = {
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
            "XDG_CACHE_HOME": str(folder),
            "XDG_STATE_HOME": str(folder),
        }
        words = [
            sys.executable,
            "-m",
            "clippy_core.cli",
            "--config",
            str(folder / "clippy.toml"),
            "serve",
            "--port",
            "0",
        ]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(words, stderr=log, env={**os.environ, **home})
        try:
            yield _where(folder / "log", process), provider
        finally:
            process.terminate()
            process.wait(60)
    assert "Traceback" not in (folder / "log").read_text()


def _where(log: Path, process: subprocess.Popen[bytes]) -> str:
    for _ in range(1200):
        found = re.search(r"serving at (http://\S+)", log.read_text())
        if found:
            try:
                if httpx2.get(f"{found[1]}/ready", trust_env=False).status_code == 200:
                    return found[1]
            except httpx2.HTTPError:
                pass
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


KEY = "a-key-of-the-gateways-own"
NODE = """
import OpenAI from 'openai';
const client = new OpenAI({ apiKey: process.env.KEY, baseURL: process.env.URL + '/v1', maxRetries: 0 });
const messages = [{ role: 'user', content: 'Hello' }];
const said = {};
said.plain = (await client.chat.completions.create({ model: 'm', messages })).choices[0].message.content;
said.streamed = [];
const again = [{ role: 'user', content: 'Another question, since an equal one is answered from a cache' }];
for await (const event of await client.chat.completions.create({ model: 'm', messages: again, stream: true }))
  if (event.choices[0]?.delta?.content) said.streamed.push(event.choices[0].delta.content);
const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }];
const called = await client.chat.completions.create({ model: 'm', messages, tools });
said.tool = called.choices[0].message.tool_calls[0].function;
said.responses = (await client.responses.create({ model: 'm', input: 'Hello' })).output_text;
said.events = [];
const events = await client.responses.create({ model: 'm', input: 'Hello', stream: true });
for await (const event of events) said.events.push(event.type);
try { await client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'fail with 404' }] }); }
catch (error) { said.error = [error.constructor.name, error.status]; }
console.log(JSON.stringify(said));
"""


@without("node with npm's openai (TESTS_NODE_MODULES)", bool(MODULES and shutil.which("node")))
def test_the_openai_sdk_of_npm(gateway, tmp_path):
    """Plain, streamed, tools, Responses, and an error as it knows them."""
    url, _ = gateway
    (tmp_path / "node_modules").symlink_to(Path(MODULES))
    (tmp_path / "ask.mjs").write_text(NODE)
    env = {**os.environ, "URL": url, "KEY": KEY}
    done = subprocess.run(["node", "ask.mjs"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["plain"] == "one two three"
    assert said["streamed"] == ["one ", "two ", "three"]
    assert said["tool"]["name"] == "weather"
    assert said["responses"] == "one two three"
    assert said["events"][-1] == "response.completed"
    assert said["error"] == ["NotFoundError", 404]


@without("llm (TESTS_LLM)", bool(LLM))
@pytest.mark.parametrize("how", [[], ["--no-stream"]], ids=["streamed", "plain"])
def test_the_llm_command(gateway, tmp_path, how):
    """By ``api_base`` in its file of models."""
    url, _ = gateway
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: mine\n  model_name: m\n  api_base: {url}/v1\n  api_key_name: gateway\n"
    )
    env = {**os.environ, "LLM_USER_PATH": str(tmp_path), "no_proxy": "127.0.0.1"}
    words = [LLM, "-m", "mine", "--key", KEY, "--no-log", *how, "Hello"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "one two three\n"


CURL = """
set -eu
curl -sS --noproxy '*' "$URL/v1/chat/completions" -H "Authorization: Bearer $KEY" -H 'content-type: application/json' \\
  -d '{"model": "m", "messages": [{"role": "user", "content": "Hello"}]}'
echo
curl -sS -N --noproxy '*' -D headers "$URL/v1/messages" -H "x-api-key: $KEY" -H 'content-type: application/json' \\
  -d '{"model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'
curl -sS --noproxy '*' -o wrong -w '%{http_code}' "$URL/v1/chat/completions" -H 'Authorization: Bearer wrong' \\
  -d '{"model": "m", "messages": []}'
"""


@without("curl", shutil.which("curl") is not None)
def test_a_script_of_curl(gateway, tmp_path):
    """What came, what it says of itself in its headers, and a key that nobody knows."""
    url, provider = gateway
    env = {**os.environ, "URL": url, "KEY": KEY}
    done = subprocess.run(["bash", "-c", CURL], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    plain, _, rest = done.stdout.partition("\n")
    assert json.loads(plain)["choices"][0]["message"]["content"] == "one two three"
    assert "event: message_stop" in rest
    assert rest.endswith("401")
    headers = (tmp_path / "headers").read_text().lower()
    assert "x-clippy-request-id: " in headers
    assert "x-clippy-route: claude" in headers
    assert "sk-of-the-route" not in done.stdout + headers
    assert {request.headers.get("authorization") for request in provider.requests} <= {"Bearer sk-of-the-route", None}


def test_the_official_sdks_of_python(gateway):
    """Under their own clients, with their own errors."""
    url, _ = gateway
    with httpx2.Client(trust_env=False) as http:
        chat = openai.OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0, http_client=http)
        claude = anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0, http_client=http)
        assert chat.responses.create(model="m", input="Hello").output_text == "one two three"
        messages = [{"role": "user", "content": "Hello"}]
        with claude.messages.stream(model="m", max_tokens=9, messages=messages) as stream:  # type: ignore[arg-type]
            assert list(stream.text_stream) == ["one ", "two ", "three"]
        with pytest.raises(anthropic.NotFoundError):
            claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "fail with 404"}])
        with pytest.raises(openai.AuthenticationError):
            chat.with_options(api_key="wrong").chat.completions.create(model="m", messages=messages)  # type: ignore[arg-type]


# --- behind nginx -------------------------------------------------------------------------------------------------

NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {url}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 60s;
    }}
  }}
}}
"""


@without("nginx", shutil.which("nginx") is not None or Path("/usr/sbin/nginx").exists())
def test_behind_nginx_a_stream_comes_piece_by_piece(gateway, tmp_path):
    """With buffering off as the guide says; the first piece is there before the last was sent."""
    url, _ = gateway
    port = free_port()
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port, url=url))
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    words = [nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            with httpx2.Client(trust_env=False, transport=httpx2.HTTPTransport(retries=20)) as http:
                chat = openai.OpenAI(
                    api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1", max_retries=3, http_client=http
                )
                messages = [{"role": "user", "content": "Hello behind nginx"}]  # nobody's cached answer
                stream = chat.chat.completions.create(model="m", messages=messages, stream=True)  # type: ignore[call-overload]
                said = [
                    event.choices[0].delta.content
                    for event in stream
                    if event.choices and event.choices[0].delta.content
                ]
                assert said == ["one ", "two ", "three"]
                with pytest.raises(openai.AuthenticationError):
                    chat.with_options(api_key="wrong").models.list()
        finally:
            process.terminate()
            process.wait(60)
