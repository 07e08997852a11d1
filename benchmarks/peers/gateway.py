"""The gateway beside plain proxies, one core each, in interleaved rounds; every body is unique.

    PEERS_VENVS=<folder with core/> PEERS=<folder of the peers> python -m benchmarks.peers.gateway [--rounds 5]

Needs wrk and taskset, and the fake provider and proxies of the peers' harness.  LiteLLM's proxy is beside them where
PEERS_VENVS has a folder litellm/, Portkey's gateway where PEERS_NPM has its node_modules.  The proxy has core 0;
provider and wrk share core 1.  Every request body has a number of its own, so that no cache and no flight answers: the
provider must have seen as many requests as wrk had answers.  Figures are ratios inside a round, against Starlette +
httpx, and, for added latency and lag, against raw ASGI + aiohttp on the same server ("of raw"); nan where a proxy does
not pass streams on, as those by hand do not (benchmarks/floor_gateway.py).  The reader that measures lag stays on core
1: were it moved to the proxy's, the proxy would be measured waiting for it.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PEERS = Path(os.environ.get("PEERS", Path(__file__).parents[3] / "shared/peers"))
CORE = Path(os.environ.get("PEERS_VENVS", "")) / "core/bin/python"
NODE_MODULES = Path(os.environ.get("PEERS_NPM", PEERS / "nowhere")) / "node_modules"
CLIPPY = str(Path(sys.executable).parent / "clippy")
LUA = """
local n = %(seed)d
local unique = %(share)d
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer sk-fake"
%(headers)s
request = function()
  n = n + 1
  local number = n
  if n %% 100 >= unique then number = 0 end
  local said = '"messages":[{"role":"user","content":"' .. number .. '. %(text)s"}]}'
  return wrk.format(nil, nil, nil, '{"model":"%(model)s",%(stream)s' .. said)
end
"""
PORTKEY = "Portkey"
_FOR_PORTKEY = """wrk.headers["x-portkey-provider"] = "openai"
wrk.headers["x-portkey-custom-host"] = "http://127.0.0.1:%d/v1"
"""
TEXT = "Tell me in a few words what a turtle thinks of the sea, and why it came back to it in the end."
_BARE = 'allow = ["gateway"]\n'
_ROUTE = """
[plugins.gateway]
server = "{server}"
[routes.main]
api = "openai.chat"
base_url = "{upstream}/v1"
key = "sk-provider-of-the-bench"
"""
_DEFAULT = (
    'allow = ["gateway", "audit", "cache", "cache-failures", "cache-memory", "cache-sqlite", "context-window", '
    '"dedup", '
    '"prices", "prompt-cache", "breaker", "errors", "fallback", "retry", "stream", "stream-debug", "stream-monitor", '
    '"telemetry-log", "throttle"]\n'
)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def process(argv: list[str], port: int, cpu: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server on one core, from the moment it speaks HTTP; ended by SIGTERM."""
    log = tempfile.NamedTemporaryFile(prefix="bench-gateway-", suffix=".log", delete=False)  # noqa: SIM115
    started = subprocess.Popen(
        ["taskset", "-c", cpu, *argv], stdout=log, stderr=log, env={**os.environ, **env}, start_new_session=True
    )
    try:
        for _ in range(1200):  # LiteLLM takes half a minute
            with contextlib.suppress(OSError):
                asked = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                asked.request("GET", "/health")
                asked.getresponse().read()
                break
            time.sleep(0.1)
        else:
            raise RuntimeError(f"{argv[0]} did not start: {Path(log.name).read_text()[-2000:]}")
        yield started
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        started.wait(20)


def ask(port: int, path: str, method: str = "GET") -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    return json.loads(connection.getresponse().read() or b"null")


def wrk(
    port: int,
    connections: int,
    seconds: float,
    model: str = "fake",
    share: int = 100,
    stream: bool = False,
    headers: str = "",
) -> dict[str, float]:
    """One run of wrk: requests a second, p50 and p99 in microseconds, answers and bad ones."""
    values = {
        "seed": int(time.time_ns() // 1000) % 10**9 * 1000,
        "share": share,
        "model": model,
        "stream": '"stream":true,' if stream else "",
        "text": TEXT,
        "headers": headers,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA % values)
        script.flush()
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        argv = [
            "taskset",
            "-c",
            "1",
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds:g}s",
            "--latency",
            "-s",
            script.name,
            url,
        ]
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    units = {"us": 1.0, "ms": 1e3, "s": 1e6}

    def quantile(which: str) -> float:
        found = re.search(rf"^\s+{which}%\s+([\d.]+)(us|ms|s)", said, re.M)
        return float(found[1]) * units[found[2]] if found else float("nan")

    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    errors = re.search(r"Socket errors: (.*)", said)
    answered = re.search(r"(\d+) requests in", said)
    return {
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),  # type: ignore[index]
        "p50": quantile("50"),
        "p99": quantile("99"),
        "answers": int(answered[1]) if answered else 0,
        "bad": (int(bad[1]) if bad else 0) + (1 if errors else 0),
    }


def lag(port: int, streams: int = 10) -> list[float]:
    """Microseconds from the moment the provider wrote a chunk until its reader has it, of 200 chunks a stream."""
    found = []
    os.sched_setaffinity(0, {1})
    for _ in range(streams):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        body = {
            "model": "fake-c200-d1000-n1",
            "stream": True,
            "messages": [{"role": "user", "content": str(time.time_ns())}],
        }
        connection.request(
            "POST",
            "/v1/chat/completions",
            json.dumps(body),
            {"content-type": "application/json", "authorization": "Bearer sk-fake"},
        )
        answer = connection.getresponse()
        while line := answer.readline():
            now = time.monotonic_ns()
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:])["choices"]
                said = (choices[0]["delta"].get("content") or "").strip() if choices else ""
                if said.isdigit():
                    found.append((now - int(said)) / 1e3)
        connection.close()
    return sorted(found)


def rss(pid: int) -> float:
    """Megabytes that a process and its children hold."""
    pids = [pid]
    for one in pids:
        with contextlib.suppress(OSError):
            pids += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in pids)
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def cpu_seconds(pid: int) -> float:
    """Processor time that a process, its threads and its children have used: it does not grow while others run."""
    ticks = 0
    pids = [pid]
    for one in pids:
        with contextlib.suppress(OSError):
            pids += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
            ticks += sum(
                int(field) for field in Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:13]
            )
    return ticks / os.sysconf("SC_CLK_TCK")


def commands(upstream: str, folder: Path, wanted: list[str]) -> dict[str, tuple[list[str], int, dict[str, str]]]:
    found: dict[str, tuple[list[str], int, dict[str, str]]] = {}
    proxies = str(PEERS / "proxies")

    def add(name: str, make: Any, env: dict[str, str] | None = None) -> None:
        if not wanted or any(word in name for word in wanted):
            port = free_port()
            found[name] = (make(str(port)), port, env or {"UPSTREAM": upstream})

    plain = ["--app-dir", proxies, "--log-level", "error", "--no-access-log"]
    add("Starlette + httpx", lambda p: [str(CORE), "-m", "uvicorn", "starlette_httpx:app", *plain, "--port", p])
    add("raw on uvicorn", lambda p: [str(CORE), "-m", "uvicorn", "asgi_aiohttp:app", *plain, "--port", p])
    add(
        "raw on granian",
        lambda p: [str(CORE), "-m", "granian", "asgi_aiohttp:app", "--interface", "asgi", "--host", "127.0.0.1",
                   "--port", p, "--no-log", "--working-dir", proxies],
    )  # fmt: skip
    if (litellm := CORE.parents[2] / "litellm/bin/litellm").exists():
        settings = {
            "UPSTREAM_V1": f"{upstream}/v1", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION", "LITELLM_MASTER_KEY": "sk-fake", "LITELLM_TELEMETRY": "False",
        }  # fmt: skip
        told = ["--config", f"{proxies}/litellm.yaml", "--host", "127.0.0.1", "--telemetry", "False"]
        add("LiteLLM", lambda p: [str(litellm), *told, "--port", p], settings)
    if (portkey := NODE_MODULES / "@portkey-ai/gateway/build/start-server.js").exists():
        trusted = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
        add(PORTKEY, lambda p: ["node", str(portkey), f"--port={p}", "--headless"], trusted)
    floor = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.floor_gateway:served", *plain[2:]]
    for kind, name in ((1, "a gateway by hand"), (2, "default stack by hand")):
        add(name, lambda p: [*floor, "--port", p], {"UPSTREAM": upstream, "KIND": str(kind), "TMPDIR": str(folder)})
    for server in ("uvicorn", "granian"):
        for name, head in (("bare", _BARE), ("default", _DEFAULT)):
            file = folder / f"{name}-{server}.toml"
            file.write_text(head + _ROUTE.format(upstream=upstream, server=server))
            home = {
                "XDG_DATA_HOME": str(folder),
                "XDG_STATE_HOME": str(folder),
                "XDG_CACHE_HOME": str(folder),
                "HOME": str(folder),
            }
            add(
                f"clippy {name} on {server}", lambda p, f=file: [CLIPPY, "--config", str(f), "serve", "--port", p], home
            )
    return found


def measure(rounds: int, seconds: float, wanted: list[str], share: int) -> dict[str, dict[str, list[float]]]:
    upstream = free_port()
    rows: dict[str, dict[str, list[float]]] = {}
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        fake = [str(CORE), str(PEERS / "fakeserver.py"), "--port", str(upstream)]
        stack.enter_context(process(fake, upstream, "1"))
        ports = {"direct": upstream}
        pids = {}
        for name, (argv, port, env) in commands(f"http://127.0.0.1:{upstream}", Path(folder), wanted).items():
            started = stack.enter_context(process(argv, port, "0", **env))
            ports[name] = port
            pids[name] = started.pid
            time.sleep(1)
            print(f"up: {name}, {rss(started.pid):.0f} MB", flush=True)
        own = {PORTKEY: _FOR_PORTKEY % upstream}
        kinds = ("one", "load", "p99", "cpu", "streams", "lag50", "lag99", "lost")
        rows = {name: {kind: [] for kind in kinds} for name in ports}
        for name, port in ports.items():
            wrk(port, 4, 1, headers=own.get(name, ""))
            wrk(port, 4, 1, "fake-c100-b1", stream=True, headers=own.get(name, ""))
        for turn in range(rounds):
            names = list(ports)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                row, port, headers = rows[name], ports[name], own.get(name, "")
                row["one"].append(wrk(port, 1, seconds, headers=headers)["p50"])
                before, used = ask(upstream, "/stats"), (cpu_seconds(pids[name]) if name in pids else 0.0)
                load = wrk(port, 32, seconds, share=share, headers=headers)
                seen = total(ask(upstream, "/stats")) - total(before)
                row["cpu"].append(
                    ((cpu_seconds(pids[name]) if name in pids else 0.0) - used) / max(1, load["answers"]) * 1e6
                )
                row["load"].append(load["rps"])
                row["p99"].append(load["p99"])
                row["lost"].append(load["answers"] - seen + 1e6 * load["bad"])
                streams = wrk(port, 4, seconds, "fake-c100-b1", stream=True, headers=headers)
                row["streams"].append(0.0 if streams["bad"] else streams["rps"])
                lags = ([] if streams["bad"] else lag(port)) or [float("nan")]
                row["lag50"].append(lags[len(lags) // 2])
                row["lag99"].append(lags[int(len(lags) * 0.99)])
    return rows


def raw_beside(name: str) -> str:
    """The plain proxy on the server that a row stands on; uvicorn's where it has one of its own."""
    return "raw on granian" if "granian" in name else "raw on uvicorn"


def paired(row: list[float], raw: list[float]) -> float:
    """The median of a row's figures over those of the same rounds."""
    return statistics.median(a / b if b else float("nan") for a, b in zip(row, raw, strict=True))


def added(row: dict[str, list[float]], direct: dict[str, list[float]]) -> list[float]:
    """Microseconds at the median that a proxy adds to one caller's request, for each round."""
    return [a - b for a, b in zip(row["one"], direct["one"], strict=True)]


def total(stats: Any) -> int:
    return int(stats["requests"]) if "requests" in stats else sum(v for v in stats.values() if isinstance(v, int))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--secs", type=float, default=2)
    parser.add_argument("--unique", type=int, default=100, help="of 100 requests so many have a body of their own")
    parser.add_argument("--only", action="append", default=[], help="rows whose name has this in it")
    given = parser.parse_args()
    rows = measure(given.rounds, given.secs, given.only, given.unique)
    base = rows.get("Starlette + httpx") or rows["direct"]
    direct = rows["direct"]
    columns = ("rps", "x base", "cpu us", "x base", "p50 us", "added", "of raw", "p99 ms", "streams")
    columns += ("lag p50", "of raw", "lag p99", "of raw", "not seen")
    print(f"{'':28}" + "".join(f"{column:>10}" for column in columns))
    for name, row in rows.items():
        median = {key: statistics.median(values) for key, values in row.items()}
        raw = rows.get(raw_beside(name)) or direct
        figures = (
            median["load"],
            statistics.median(a / b for a, b in zip(row["load"], base["load"], strict=True)),
            median["cpu"],
            statistics.median(b / max(a, 1.0) for a, b in zip(row["cpu"], base["cpu"], strict=True)),
            median["one"],
            statistics.median(added(row, direct)),
            paired(added(row, direct), added(raw, direct)),
            median["p99"] / 1e3,
            median["streams"],
            median["lag50"],
            paired(row["lag50"], raw["lag50"]),
            median["lag99"],
            paired(row["lag99"], raw["lag99"]),
            median["lost"],
        )
        print(f"{name:28}" + "".join(f"{figure:10.2f}" if figure < 100 else f"{figure:10.0f}" for figure in figures))


if __name__ == "__main__":
    main()
