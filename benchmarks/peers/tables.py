"""The harness's figures as tables: each group sorted, the cheapest first, with our rows in bold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

RUN = "run.json"
"""What the command notes of a run, beside the harness's own files."""
_ORDER = ("client", "cache", "hooks", "parse", "import", "construct", "concurrency")
_LEGEND = """\
Rows are sorted, the cheapest first; **bold** ones are ours. Each ratio is to the row marked `1`, taken in the same
round of the same process: the median over the rounds, in brackets their 10th and 90th percentile. `against 1` says
what those two allow to be said: `more` or `less` if both lie on one side, else `unsure`, a difference that was not
measured. CPU is that of the process with all its threads; wall is a call's median time, the server's part in it.
`kept B` is how many bytes stay allocated after a call (a cache keeps what it stores, and so does a default stack,
each of whose questions is new), `conn.` how many TCP connections ten calls opened after the rounds.
"""


def read(folder: Path) -> dict[str, Any]:
    """Every file of figures in *folder*, by its name; that of the run is ``run``."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def render(found: Mapping[str, Any]) -> str:
    """Everything as one page."""
    return "\n".join(_page(found)) + "\n"


def _page(found: Mapping[str, Any]) -> Iterator[str]:
    run = found.get("run", {})
    yield "# Our rows beside the peers'\n"
    yield f"`{run.get('command', 'python -m benchmarks.peers')}`, {run.get('when', 'undated')}.\n"
    yield from (f"{line}\n" for line in run.get("about", ()))
    yield _LEGEND
    parts = [name for first in _ORDER for name in found if name == first or name.startswith(f"{first}_")]
    for name in parts:
        figures = found[name]
        versions = ", ".join(f"{package} {number}" for package, number in figures["meta"]["versions"].items())
        yield f"## {name.replace('_', ', ')}\n"
        load = run.get("load", {}).get(name)
        said = [versions, f"Python {figures['meta']['python']}", "" if load is None else f"load at the start {load}"]
        yield "; ".join(filter(None, said)) + (". **A few rounds only.**\n" if figures["meta"]["quick"] else ".\n")
        for title, rows in figures["groups"].items():
            yield from _table(title, rows)
        for note, value in figures.get("notes", {}).items():
            yield f"* {note}: {value}"
        if figures.get("notes"):
            yield ""


def _table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    first = next(iter(rows.values()))
    if "p50_ratio" in first:
        paced = "read CPU" in title
        head = [title, "CPU", "CPU more" if paced else "wall", "against 1", "p95", "kept B", "conn."]
        order, cells = "cpu_ratio", _paced if paced else _call
    elif "import_vs_httpx" in first:
        head = [title, "CPU over httpx", "modules", "MB more by the import", "MB after 1 call", "MB after 200"]
        order, cells = "import_vs_httpx", _import
    else:
        head = [title, "ratio", "against 1"]
        order, cells = "ratio", _micro
    yield _line(head)
    yield "|---|" + "---:|" * (len(head) - 1)
    for case, row in sorted(rows.items(), key=lambda item: item[1][order]):
        name = f"**{case}**" if "clippy" in case else case
        yield _line([name, *cells(row)])
    yield ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _call(row: Mapping[str, Any]) -> list[str]:
    wall = _band(row, "p50_ratio")
    judged = _against(row, "p50_ratio")
    return [f"{row['cpu_ratio']:.2f}", wall, judged, f"{row['p95_ratio']:.2f}", *_kept(row)]


def _paced(row: Mapping[str, Any]) -> list[str]:
    """Wall time is the server's there: its pace."""
    return [f"{row['cpu_ratio']:.2f}", f"{row['cpu_added_us']:+.0f} us", "", "", *_kept(row)]


def _kept(row: Mapping[str, Any]) -> list[str]:
    return [str(row.get("kept_b", "")), str(row.get("tcp_connects_per_10_calls", ""))]


def _micro(row: Mapping[str, Any]) -> list[str]:
    return [_band(row, "ratio"), _against(row, "ratio")]


def _import(row: Mapping[str, Any]) -> list[str]:
    sizes = ("rss_added_by_import_mb", "rss_first_call_mb", "rss_200_calls_mb")
    return [f"{row['import_vs_httpx']:.2f}", str(row["modules"]), *(f"{row[size]:.1f}" for size in sizes)]


def _band(row: Mapping[str, Any], name: str) -> str:
    low, high = row[f"{name}_lo"], row[f"{name}_hi"]
    if (row[name], low, high) == (1.0, 1.0, 1.0):
        return "1"
    return f"{_short(row[name])} ({_short(low)}-{_short(high)})"


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _against(row: Mapping[str, Any], name: str) -> str:
    low, high = row[f"{name}_lo"], row[f"{name}_hi"]
    if low == high == 1.0:
        return ""
    return "more" if low > 1.0 else "less" if high < 1.0 else "unsure"
