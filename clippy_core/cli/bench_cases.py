"""What ``clippy bench`` measures: hosts with the user's plugins, in front of a server in another process.

Each plugin is measured twice: alone, where it also pays for what any plugin costs, and as what the whole set costs more
with it than without it.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from attrs import define, field, frozen
from clippy_hookspecs import ConfigError, PluginError

from ..config import Config, read_config
from ..discovery import Plugin, discover
from ..host import Host
from ..testing.canned import PIECES, CannedServer
from ..testing.timing import Group, Samples, repeated, sample
from .apart import elsewhere, homeless
from .doctor_http import version_of

BARE, NO_PLUGIN, ALL = "without clippy", "no plugin", "all of them"
_PACKAGES = ("clippy-core", "httpx")
_QUESTION = "Tell me in a few words what a turtle thinks of the sea, and why it came back to it in the end."
_MOST_PER_BLOCK = 20
Make = Callable[[], Host | None]


def _but(name: str) -> str:
    return f"all but {name}"


@frozen
class Measured:
    """What came of one group of cases: the bare client, no plugin, each plugin alone, all, and all but each."""

    title: str
    names: tuple[str, ...]
    plugins: tuple[str, ...]
    samples: Samples

    def cases(self) -> list[dict[str, Any]]:
        """Each case as JSON: ratios to the bare client, microseconds of CPU of one call more than it takes."""
        return [self._case(name) for name in self.names]

    def _case(self, name: str) -> dict[str, Any]:
        ratio, wall = (self.samples.ratio(by, name, BARE) for by in ("cpu", "wall"))
        added = self.samples.added("cpu", name, BARE)
        in_set = None
        if name in self.plugins and {ALL, _but(name)} <= set(self.names):
            in_set = self.samples.added("cpu", ALL, _but(name))
        return {
            "case": name,
            "plugin": name in self.plugins,
            "cpu_ratio": ratio.middle,
            "cpu_ratio_rough": ratio.rough,
            "wall_ratio": wall.middle,
            "wall_ratio_rough": wall.rough,
            "added_us": added.middle,
            "added_rough_us": added.rough,
            "added_unsure": added.may_be_nothing,
            "in_set_us": in_set and in_set.middle,
            "in_set_rough_us": in_set and in_set.rough,
            "in_set_unsure": in_set and in_set.may_be_nothing,
        }


@define(eq=False)
class Bench:
    """The cases, each a client, and the server that they ask.  ``left_out`` are cases that do not work, and why."""

    server: CannedServer
    clients: Mapping[str, httpx.Client]
    plugins: tuple[str, ...]
    left_out: Mapping[str, str] = field(factory=dict)

    @classmethod
    @contextmanager
    def of(cls, path: Path | None) -> Iterator[Bench]:
        """The bench for the configuration in *path*, or the nearest.  Raises ConfigError."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            config = read_config(path)
            stack.enter_context(homeless(folder))
            server = stack.enter_context(CannedServer())
            loaded = discover(config).loaded
            clients: dict[str, httpx.Client] = {}
            left_out: dict[str, str] = {}
            for case, make in _hosts(path, config, loaded, folder).items():
                try:
                    client = _client(stack, make)
                    _try(client, server)
                    clients[case] = client
                except (ConfigError, PluginError, _Unusable) as error:
                    left_out[case] = " ".join(str(error).split())
            yield cls(server, clients, tuple(plugin.name for plugin in loaded), left_out)

    def versions(self) -> dict[str, str]:
        """What is measured."""
        return {name: version_of(name) or "unknown" for name in _PACKAGES}

    def measure(self, *, stream: bool, rounds: int | None, seconds: float, wanted: int) -> Measured:
        """A call or a stream: *rounds*, else as many as fit into *seconds*, which should be *wanted*."""
        end = time.monotonic() + seconds
        title = f"a stream of {PIECES} pieces" if stream else "a call"
        url = self.server.chat_url
        blocks = {case: repeated(_ask(client, url, stream)) for case, client in self.clients.items()}
        trial = sample(Group(title, blocks, per_block=1), 3)
        once = sum(statistics.median(times) for times in trial.wall.values()) / 1e9
        left = max(0.0, end - time.monotonic())
        per_block = max(1, min(_MOST_PER_BLOCK, int(left / wanted / once)))
        group = Group(title, blocks, per_block=per_block)
        measured = sample(group, rounds) if rounds else sample(group, 1_000, left)
        return Measured(title, tuple(self.clients), self.plugins, measured)


class _Unusable(Exception):
    """A host under which the question is not answered."""


def _hosts(path: Path | None, config: Config, loaded: Sequence[Plugin], folder: Path) -> dict[str, Make]:
    """How the host of each case is made.  They share no file with each other, nor with the user."""
    names = [plugin.name for plugin in loaded]
    sets = {name: [name] for name in names}
    if len(names) > 1:
        sets[ALL] = names
        sets |= {_but(name): [other for other in names if other != name] for name in names}
    made: dict[str, Make] = {BARE: lambda: None, NO_PLUGIN: lambda: Host(config={"trace": False})}
    for number, (case, some) in enumerate(sets.items()):
        own = [plugin for plugin in loaded if plugin.name in some]
        tables = elsewhere(config, own, folder / str(number), unnamed=True)
        made[case] = _maker(path, {"allow": some, "plugins": tables, "trace": False})
    return made


def _maker(path: Path | None, overrides: Mapping[str, Any]) -> Make:
    return lambda: Host(None, config=read_config(path, overrides=overrides))


def _client(stack: ExitStack, make: Make) -> httpx.Client:
    host = make()
    client = httpx.Client(trust_env=False, verify=httpx.create_ssl_context())
    stack.callback(client.close)
    return client if host is None else stack.enter_context(host).wrap(client)


def _try(client: httpx.Client, server: CannedServer) -> None:
    """Ask once, plain and streamed.  Raises _Unusable when the answer is not the server's."""
    for stream in (False, True):
        response = client.post(server.chat_url, json=_body(stream))
        if response.status_code != 200:
            raise _Unusable(f"answers HTTP {response.status_code}: {response.text[:200]}")


_numbers = itertools.count()


def _body(stream: bool) -> dict[str, Any]:
    """A question that nobody has asked before: every cache is asked, and stores."""
    system = {"role": "system", "content": "You answer briefly."}
    messages = [system, {"role": "user", "content": f"{_QUESTION} ({next(_numbers)})"}]
    return {"model": "bench-model", "temperature": 0.5, "messages": messages, "stream": stream}


def _ask(client: httpx.Client, url: str, stream: bool) -> Callable[[], None]:
    def call() -> None:
        client.post(url, json=_body(False)).raise_for_status().json()

    def read() -> None:
        with client.stream("POST", url, json=_body(True)) as response:
            if not any(line == "data: [DONE]" for line in list(response.iter_lines())):
                raise RuntimeError("a stream of the bench ended early")

    return read if stream else call
