"""Installs, upgrades, breaks, mends and removes a plugin under load, and checks that no request is lost.

    python tests/support/campaign_swap.py --seconds 30 --rate 200

In an environment made for it, one host with every first-party plugin answers RATE requests a second (open loop: sent
when they are due, however the others fare), half of them by threads and half by an event loop, plain and streamed, over
loopback.  Meanwhile uv installs, upgrades and uninstalls a plugin, its file is overwritten with a syntax error and with
hooks that raise, and a moment after each of these comes ``host.reload()``.  Every request must have the right answer
and exactly one line in the audit file, and the plugin may not be called before it was opened or after it was closed.

Exit status 1, with what was wrong, otherwise.  Needs uv: on the path, or as ``python3 -m uv``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from attrs import define, field

THREADS = 24
SLOW_EVERY = 25
"""One request in so many is a stream that takes a second, so that reloads meet requests that are under way."""

SOURCE = """
import logging
from contextlib import contextmanager
from attrs import define, field
from clippy_hookspecs import hookimpl

@define(eq=False)
class Swap:
    on_failure = "skip"
    open: bool = field(init=False, default=False)
    calls: int = field(init=False, default=0)

    @hookimpl
    @contextmanager
    def lifespan(self, host):
        self.open = True
        yield
        self.open = False

    def used(self):
        from . import late
        self.calls += late.ONE
        if not self.open:
            logging.getLogger("campaign").error("the plugin was called while it was not open")

    @hookimpl
    def pre_request(self):
        self.used()

    @hookimpl
    def cache_lookup(self):
        self.used()

    @hookimpl
    def on_chunk(self):
        self.used()

    @hookimpl
    def post_attempt(self):
        self.used()

    @hookimpl
    def audit(self):
        self.used()
"""
RAISES = SOURCE.replace("        from . import late", '        raise RuntimeError("broken")')
UPGRADED = SOURCE.replace("class Swap:", 'class Swap:\n    """The next version."""')


# --- the environment ------------------------------------------------------------------------------------------------


def uv(*arguments: str) -> None:
    """Run uv.  Raises CalledProcessError if it fails."""
    found = os.environ.get("UV") or shutil.which("uv")
    command = [found] if found else [shutil.which("python3") or "python3", "-m", "uv"]
    subprocess.run([*command, *arguments], check=True, capture_output=True, timeout=60)


def make_environment(folder: Path) -> Path:
    """An environment that also has what is installed in this one; its Python."""
    uv("venv", "--quiet", "--python", sys.executable, str(folder))
    python = folder / "bin" / "python"
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout.strip())
    (site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return python


def make_wheel(folder: Path, version: str, source: str) -> Path:
    """A wheel of the plugin."""
    wheel = folder / f"clippy_swap-{version}-py3-none-any.whl"
    info = f"clippy_swap-{version}.dist-info"
    files = {
        "clippy_swap/__init__.py": source,
        "clippy_swap/late.py": "ONE = 1\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: clippy-swap\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: campaign\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[clippy]\nswap = clippy_swap:Swap\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))
    return wheel


# --- the load ---------------------------------------------------------------------------------------------------------


@define(eq=False)
class Load:
    """Requests that are sent when they are due, and what became of them."""

    host: Any
    rate: float
    stop: threading.Event = field(factory=threading.Event)
    sent: int = 0
    lasted: float = 0.0
    right: int = 0
    wrong: Counter[str] = field(factory=Counter)
    took: list[float] = field(factory=list)
    late: list[float] = field(factory=list)
    _numbers: Any = field(factory=count)
    _lock: threading.Lock = field(factory=threading.Lock)
    _began: float = field(factory=time.monotonic)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Under load; all requests have ended when it is left."""
        workers = [threading.Thread(target=self._thread, args=(number,)) for number in range(THREADS)]
        workers.append(threading.Thread(target=lambda: asyncio.run(self._loop())))
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            self.stop.set()
            self.lasted = time.monotonic() - self._began
            for worker in workers:
                worker.join(60)

    def _thread(self, number: int) -> None:
        """Every THREADS-th request of the threads' half."""
        import httpx

        import clippy_core

        with httpx.Client(trust_env=False) as http, clippy_core.Client(self.host, http) as client:
            for turn in count(number, THREADS):
                if not self._due(2 * turn / self.rate):
                    return
                question, streamed = self._question()
                begun = time.monotonic()
                try:
                    if streamed:
                        with client.stream(question) as stream:
                            text = "".join(stream.text())
                    else:
                        text = client.chat(question).text
                    self._ended(question, text, begun)
                except Exception as error:
                    self._failed(error)

    def _due(self, at: float) -> bool:
        """Wait until it is time; False when no more are to be sent."""
        wait = self._began + at - time.monotonic()
        return not self.stop.wait(max(0.0, wait))

    async def _loop(self) -> None:
        """The event loop's half."""
        import httpx

        import clippy_core

        limits = httpx.Limits(max_connections=300)
        async with (
            httpx.AsyncClient(trust_env=False, limits=limits) as http,
            clippy_core.AsyncClient(self.host, http) as client,
        ):
            tasks: set[asyncio.Task[None]] = set()
            for turn in count():
                wait = self._began + (2 * turn + 1) / self.rate - time.monotonic()
                await asyncio.sleep(max(0.0, wait))
                if self.stop.is_set():
                    break
                task = asyncio.create_task(self._ask(client))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
        await self.host.aclose()

    async def _ask(self, client: Any) -> None:
        question, streamed = self._question()
        begun = time.monotonic()
        try:
            if streamed:
                async with await client.stream(question) as stream:
                    text = "".join([piece async for piece in stream.text()])
            else:
                text = (await client.chat(question)).text
            self._ended(question, text, begun)
        except Exception as error:
            self._failed(error)

    def _question(self) -> tuple[str, bool]:
        """The next question, every fourth one that was asked before, and whether to ask for a stream."""
        with self._lock:
            number = next(self._numbers)
            self.sent += 1
        self.late.append(time.monotonic() - self._began - number / self.rate)
        if number % SLOW_EVERY == 0:
            return f"slow {number} a b c d e f g h", True
        return f"question {number if number % 4 else number // 4 % 50}", number % 2 == 1

    def _ended(self, question: str, text: str, begun: float) -> None:
        with self._lock:
            self.took.append(time.monotonic() - begun)
            if text == question:
                self.right += 1
            else:
                self.wrong[f"answered {text!r} to {question!r}"] += 1

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self.wrong[f"lost by {error!r}"] += 1


# --- what is done to the plugin -------------------------------------------------------------------------------------


class Told(logging.Handler):
    """Counts what the plugin says of its own use; its old modules are not to be found any more."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        logging.getLogger("campaign").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.counts[record.getMessage()] += 1


@define(eq=False)
class Swapper:
    """Does things to the plugin, and reloads after each."""

    host: Any
    python: str
    wheels: dict[str, Path]
    steps: Counter[str] = field(factory=Counter)
    wrong: list[str] = field(factory=list)
    told: Told = field(factory=Told)
    reloads: list[float] = field(factory=list)

    @property
    def package(self) -> Path:
        return Path(sysconfig.get_path("purelib")) / "clippy_swap"

    def cycle(self) -> None:
        """From not installed to not installed."""
        self._step("installed", lambda: self._install("1.0"), lambda plugin: plugin is not None)
        first = self.host.plugins["swap"]
        self._step("upgraded", lambda: self._install("2.0"), lambda plugin: plugin is not first and plugin is not None)
        self._step("broken", lambda: self._write("def oops(:\n"), lambda plugin: plugin is None)
        self._step("mended", lambda: self._write(SOURCE), lambda plugin: plugin is not None)
        self._step("raising", lambda: self._write(RAISES), lambda plugin: plugin is not None, used=False)
        self._step("reinstalled", lambda: self._install("1.0", "--reinstall"), lambda plugin: plugin is not None)
        self._step("removed", self._remove, lambda plugin: plugin is None)

    def _step(self, name: str, act: Callable[[], None], holds: Callable[[Any], bool], *, used: bool = True) -> None:
        act()
        time.sleep(0.2)  # the host works on with what it has, whatever lies on the disk
        began = time.monotonic()
        self.host.reload()
        self.reloads.append(time.monotonic() - began)
        plugin = self.host.plugins.get("swap")
        self.steps[name] += 1
        if not holds(plugin):
            self.wrong.append(f"{name}: the plugin is {plugin!r}")
        time.sleep(0.3)
        end = time.monotonic() + 10.0
        while plugin is not None and used and not plugin.calls:
            if time.monotonic() > end:
                self.wrong.append(f"{name}: the plugin was not called")
                break
            time.sleep(0.05)

    def _install(self, version: str, *options: str) -> None:
        wheel = str(self.wheels[version])
        uv("pip", "install", "--quiet", "--no-deps", "--no-index", *options, "--python", self.python, wheel)

    def _write(self, source: str) -> None:
        (self.package / "__init__.py").unlink()  # not through a link into the installer's cache
        (self.package / "__init__.py").write_text(source)

    def _remove(self) -> None:
        uv("pip", "uninstall", "--quiet", "--python", self.python, "clippy-swap")


# --- the provider -----------------------------------------------------------------------------------------------------


def serve(seconds: float) -> None:
    """Be the provider, for at most so long: print the address, and end when the standard input does."""
    from clippy_core.testing import FakeServer, Reply, SeenRequest

    def act(seen: SeenRequest) -> Reply:
        return Reply(echo=True, chunk_delay=0.1 if seen.last_user_text.startswith("slow") else 0.0)

    with FakeServer(act, max_requests=1_000_000, lifetime=seconds + 120) as server:
        print(server.base_url, flush=True)
        sys.stdin.read()


@contextmanager
def served(seconds: float) -> Iterator[str]:
    """A provider in a process of its own; its address."""
    command = [sys.executable, __file__, "--seconds", str(seconds), "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


# --- the campaign -----------------------------------------------------------------------------------------------------


def campaign(seconds: float, rate: float, folder: Path) -> int:
    """Run inside the environment; how many things were wrong."""
    import clippy_core

    wheels = {version: make_wheel(folder, version, text) for version, text in (("1.0", SOURCE), ("2.0", UPGRADED))}
    with served(seconds) as base:
        route = {"base_url": base, "key": "sk-test", "model": "m"}
        plugins = {"audit": {"path": str(folder / "audit.jsonl")}, "cache-sqlite": {"path": str(folder / "cache.db")}}
        config = folder / "clippy.toml"
        config.write_text(_toml({"routes": {"main": route}, "plugins": plugins}))
        host = clippy_core.Host.from_config(config, salt_path=str(folder / "salt"))
        load, swapper = Load(host, rate), Swapper(host, sys.executable, wheels)
        end = time.monotonic() + seconds
        with load.running():
            while time.monotonic() < end:
                swapper.cycle()
        host.close()
    records = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    return report(load, swapper, records)


def _toml(table: dict[str, dict[str, dict[str, str]]]) -> str:
    """Tables of tables of texts."""
    lines = []
    for outer, inner in table.items():
        for name, settings in inner.items():
            lines += [f"[{outer}.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    return "\n".join(lines)


def report(load: Load, swapper: Swapper, records: list[dict[str, Any]]) -> int:
    """Say what happened; how many things were wrong."""
    ids = Counter(record["id"] for record in records)
    outcomes = Counter(record["outcome"] for record in records)
    took, late = sorted(load.took), sorted(load.late)
    print(f"{load.sent} requests, {load.sent / load.lasted:.0f} a second; {load.right} answered right")
    told = ", ".join(f"{number} {name}" for name, number in sorted(outcomes.items()))
    print(f"audit: {len(records)} records, {told}")
    print(f"plugin: {', '.join(f'{number} times {name}' for name, number in swapper.steps.items())}")
    reloads = sorted(swapper.reloads)
    print(f"reloads: {len(reloads)}, median {reloads[len(reloads) // 2]:.2f} s, longest {reloads[-1]:.2f} s")
    print(f"requests took {took[len(took) // 2]:.3f} s, 99 % at most {took[int(len(took) * 0.99)]:.3f} s")
    print(f"99 % were sent at most {late[int(len(late) * 0.99)]:.3f} s after they were due")
    left = [one.name for one in threading.enumerate() if one.name in ("clippy-replaced", "clippy-portal")]
    wrong = [f"{times} times {what}" for what, times in load.wrong.most_common(10)]
    wrong += swapper.wrong
    wrong += [f"{times} times {what}" for what, times in swapper.told.counts.items()]
    wrong += [f"{load.sent - len(ids)} requests have no record"] if len(ids) != load.sent else []
    wrong += [f"{number} records of request {name}" for name, number in ids.items() if number != 1][:5]
    wrong += [f"{number} requests {name}" for name, number in outcomes.items() if name not in ("answered", "cached")]
    wrong += [f"a thread is left: {name}" for name in left]
    for line in wrong:
        print(f"FAILED: {line}")
    if not wrong:
        print("no request was lost")
    return len(wrong)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.seconds)
        return 0
    if options.inside is not None:
        return 1 if campaign(options.seconds, options.rate, options.inside) else 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = make_environment(folder / "environment")
        homes = {f"XDG_{kind}_HOME": name for kind in ("CACHE", "DATA", "STATE", "CONFIG")}
        arguments = ["--seconds", str(options.seconds), "--rate", str(options.rate), "--inside", name]
        command = [str(python), __file__, *arguments]
        cache = os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv")
        environment = {**os.environ, **homes, "UV_CACHE_DIR": cache, "CLIPPY_CONFIG": ""}
        return subprocess.run(
            command, cwd=folder, env=environment, timeout=options.seconds + 180, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
