"""What a program pays for us at its start, measured in processes of their own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

from clippy_core.testing.canned import CannedServer
from clippy_core.testing.timing import Row, estimate, paired

_MEASURE = """
import json, time
began = time.process_time_ns()
{imports}
imported = time.process_time_ns() - began
{call}
# Not getrusage: its figure includes what the parent was before this process became another program.
with open("/proc/self/status") as status:
    (peak,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps([imported, peak]))
"""
_CALL = "client.post({url!r}, json={{'model': 'm', 'messages': []}}).json()"
_PROGRAMS = {
    "httpx": ("import httpx", "client = httpx.Client()"),
    "clippy_core": ("import httpx; from clippy_core import Host", "client = Host([]).wrap(httpx.Client())"),
    "clippy_core, a host made": (
        "import httpx; from clippy_core import Host; host = Host([])",
        "client = host.wrap(httpx.Client())",
    ),
    "every first-party plugin": (
        "import httpx; from clippy_core import Host; host = Host.from_config()",
        "client = host.wrap(httpx.Client())",
    ),
    "openai": ("import openai, httpx", "client = httpx.Client()"),
}
CPU_BAR, RSS_BAR = 1.4, 35.0


def measure(server: CannedServer, rounds: int) -> list[Row]:
    """Import time (CPU) and the largest resident size after one call, compared with httpx alone.

    With a host, making it counts as import, with the plugins finding and making them as well.  The size is read from
    Linux's ``/proc``.
    """
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in _PROGRAMS}
    for _ in range(rounds):
        for name, (imports, client) in _PROGRAMS.items():
            code = _MEASURE.format(imports=imports, call=client + "\n" + _CALL.format(url=server.chat_url))
            with tempfile.TemporaryDirectory() as home:
                made = subprocess.run(
                    [sys.executable, "-c", code], capture_output=True, check=True, timeout=60, env=_environment(home)
                )
            seen[name].append(tuple(json.loads(made.stdout)))
    return [*_rows(seen, 0, "import, CPU", CPU_BAR), *_rows(seen, 1, "memory after a call", None)]


def _environment(home: str) -> dict[str, str]:
    """As little as a program needs, and a home of its own: no configuration or cache of the user's is measured."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "HOME": home}


def _rows(seen: dict[str, list[tuple[float, float]]], place: int, title: str, bar: float | None) -> list[Row]:
    rows = []
    base = [one[place] for one in seen["httpx"]]
    for name, measured in seen.items():
        own = [one[place] for one in measured]
        ratios = sorted(paired(own, base))
        sure = estimate(ratios)
        unit = f"{statistics.median(own) / 1024:.0f} MB" if place else ""
        rows.append(
            Row(title, name, sure.middle, sure.middle, ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10],
                sure.least, sure.most, bar if name == "clippy_core" else None, unit=unit)
        )  # fmt: skip
    return rows
