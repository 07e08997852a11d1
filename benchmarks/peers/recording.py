"""What recording costs a gateway with the default stack: off, in memory, into a file; unique bodies, in turns.

    PEERS_VENVS=<folder with core/> PEERS=<folder of the peers> python -m benchmarks.peers.recording [--rounds 5]

As :mod:`benchmarks.peers.gateway` has it: the gateway on core 0, provider and wrk on core 1, every request asked of the
provider.  On one core the recorder's thread writes; the last rows may use both cores, so that a process of its own
writes, which then has to share core 1 with the load; it is compared with a gateway that may do so, too.  Requests a
second and processor time for each request are ratios to the row without a recorder inside a round; the latter holds
whatever else the machine does.  What the process uses is told apart, in "beside".
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path

from .gateway import _DEFAULT, _ROUTE, CLIPPY, CORE, PEERS, ask, free_port, process, total, wrk

_ALONE, _FREE = "clippy default", "clippy default, two cores"
_ROWS = {
    _ALONE: "",
    "+ recorder, off": "[plugins.recorder]\nenabled = false\n",
    "+ recorder (memory)": "[plugins.recorder]\nenabled = true\n",
    "+ recorder (.jsonl)": '[plugins.recorder]\nenabled = true\npath = "{folder}/calls.jsonl"\n',
    _FREE: "",
    "+ recorder (.jsonl), two cores": '[plugins.recorder]\nenabled = true\npath = "{folder}/apart.jsonl"\n',
}


def _started(stack: contextlib.ExitStack, name: str, upstream: int, folder: Path) -> tuple[int, int]:
    """The port and the process of a gateway."""
    home = folder / str(len(list(folder.iterdir())))
    home.mkdir()
    allowed = _DEFAULT if name in (_ALONE, _FREE) else _DEFAULT.replace('"gateway", ', '"gateway", "recorder", ')
    route = _ROUTE.format(upstream=f"http://127.0.0.1:{upstream}", server="uvicorn")
    file = home / "clippy.toml"
    file.write_text(allowed + route + _ROWS[name].format(folder=home))
    around = {name: str(home) for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME")}
    port, cores = free_port(), "0,1" if "two cores" in name else "0"
    argv = [CLIPPY, "--config", str(file), "serve", "--port", str(port)]
    return port, stack.enter_context(process(argv, port, cores, **around)).pid


def _beside(pid: int) -> list[int]:
    """The processes that the threads of one began."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def _used(pids: list[int]) -> float:
    """Processor microseconds of these and their threads."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13] for pid in pids]
    return sum(int(one) for both in fields for one in both) / os.sysconf("SC_CLK_TCK") * 1e6


def _held(pids: list[int]) -> float:
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def measure(rounds: int, seconds: float) -> dict[str, dict[str, list[float]]]:
    """Requests and streams a second, processor microseconds a request and megabytes, of each row in each round."""
    kinds = ("load", "cpu", "beside", "streams", "megabytes", "megabytes beside")
    rows: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in kinds} for name in _ROWS}
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        upstream = free_port()
        fake = [str(CORE), str(PEERS / "fakeserver.py"), "--port", str(upstream)]
        stack.enter_context(process(fake, upstream, "1"))
        up = {name: _started(stack, name, upstream, Path(folder)) for name in _ROWS}
        for port, _ in up.values():
            wrk(port, 32, 3)  # longer than a busy recorder takes to begin a process
            wrk(port, 4, 1, "fake-c100-b1", stream=True)
        names = list(rows)
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                (port, pid), row = up[name], rows[name]
                others = _beside(pid)
                before, used, helped = total(ask(upstream, "/stats")), _used([pid]), _used(others)
                load = wrk(port, 32, seconds)
                time.sleep(0.3)  # what waits to be written is of these requests, too
                assert load["answers"] <= total(ask(upstream, "/stats")) - before, "a cache answered"
                row["cpu"].append((_used([pid]) - used) / max(1, load["answers"]))
                row["beside"].append((_used(others) - helped) / max(1, load["answers"]))
                row["load"].append(load["rps"])
                row["streams"].append(wrk(port, 4, seconds, "fake-c100-b1", stream=True)["rps"])
                row["megabytes"].append(_held([pid]))
                row["megabytes beside"].append(_held(others))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--secs", type=float, default=2)
    given = parser.parse_args()
    rows = measure(given.rounds, given.secs)
    head = ("rps", "ratio", "CPU us", "ratio", "beside", "streams/s", "ratio", "MB", "beside")
    print(f"{'':<32}{''.join(f'{word:>10}' for word in head)}")
    for name, row in rows.items():
        base = rows[_FREE if "two cores" in name else _ALONE]
        rps, cpu, beside, streams, held, held_beside = (statistics.median(row[kind]) for kind in row)
        load, used, streamed = (
            statistics.median(a / b if b else float("nan") for a, b in zip(row[kind], base[kind], strict=True))
            for kind in ("load", "cpu", "streams")
        )
        print(
            f"{name:<32}{rps:>10.0f}{load:>10.3f}{cpu:>10.0f}{used:>10.3f}{beside:>10.0f}{streams:>10.1f}"
            f"{streamed:>10.3f}{held:>10.0f}{held_beside:>10.0f}"
        )


if __name__ == "__main__":
    main()
