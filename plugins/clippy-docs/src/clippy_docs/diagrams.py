"""The diagrams: which package imports which, the modules of one, and who is called for each hook."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any

from .imports import Module, reduced
from .plain import visible
from .svg import Box, Drawing

# --- who is called for each hook --------------------------------------------------------------------------------------


def draw_chains(chains: Sequence[Mapping[str, Any]]) -> str:
    """A row for each hook that somebody implements: the hook, then its plugins in calling order."""
    rows = [chain for chain in chains if chain["plugins"]]
    longest = max((len(chain["plugins"]) for chain in rows), default=0)
    pitch, width = 58, 190
    drawing = Drawing(
        max(740, 210 + longest * (width + 30)), len(rows) * pitch + 16, "Who is called for each hook, in order"
    )
    for number, chain in enumerate(rows):
        y = number * pitch + 8
        last = drawing.box(Box(8, y, width, 42, (chain["hook"], chain["combine"]), "hook"))
        for place, step in enumerate(chain["plugins"]):
            lines = (visible(step["name"])[:22], f"a failure: {step['on_failure']}")
            box = drawing.box(Box(228 + place * (width + 30), y, width, 42, lines, "", "", visible(step["name"])))
            drawing.arrow(last.right, box.left)
            last = box
    return drawing.svg()


# --- the distributions ------------------------------------------------------------------------------------------------


def draw_distributions(graph: Mapping[str, frozenset[str]]) -> str:
    """Plugins on the left, the contract in the middle, the host on the right: arrows are imports."""
    plugins = sorted(graph.keys() - {"clippy_core", "clippy_hookspecs"})
    pitch = 52
    height = max(len(plugins) * pitch, 150) + 20
    drawing = Drawing(740, height, "Which distribution imports which")
    middle = height / 2 - 40
    contract = drawing.box(_distribution(graph, "clippy_hookspecs", 290, middle, 180, 80, "hook"))
    host = drawing.box(_distribution(graph, "clippy_core", 540, middle, 190, 80, "outside"))
    boxes = {
        name: drawing.box(_distribution(graph, name, 8, 10 + row * pitch, 200, 42, ""))
        for row, name in enumerate(plugins)
    }
    for row, (name, box) in enumerate(boxes.items()):
        for used in sorted(graph[name] & graph.keys()):
            # Each arrow ends at a place of its own, so that their heads do not lie on each other.
            door = contract.x, contract.y + contract.height * (row + 1) / (len(boxes) + 1)
            drawing.arrow(box.right, door if used == "clippy_hookspecs" else boxes[used].right)
    if "clippy_hookspecs" in graph.get("clippy_core", ()):
        drawing.arrow(host.left, contract.right)
    return drawing.svg()


_OTHERS = {"attr": "attrs"}


def _distribution(
    graph: Mapping[str, frozenset[str]], name: str, x: float, y: float, w: float, h: float, kind: str
) -> Box:
    """A box with the name, and the libraries of others that it is made of."""
    known = graph.keys() | sys.stdlib_module_names
    others = sorted({_OTHERS.get(used, used) for used in graph.get(name, ()) if used not in known})
    lines = [name]
    line = ""
    for other in others:
        if line and len(line) + len(other) > w / 7:
            lines.append(line)
            line = ""
        line = f"{line}, {other}" if line else other
    return Box(x, y, w, h, tuple([*lines, line] if line else lines), kind)


# --- the modules of a package -----------------------------------------------------------------------------------------


def draw_modules(modules: Mapping[str, Module], package: str) -> str:
    """The modules of *package* in layers: each imports only what stands below it.  Imports that follow are left out."""
    graph = reduced({name: one.imports for name, one in modules.items()})
    rows = layers(graph)
    wide = {name: len(name) * 7.8 + 16 for name in graph}
    pitch, width = 62, max(980, *(sum(wide[name] + 20 for name in row) for row in rows))
    drawing = Drawing(width, len(rows) * pitch, f"Which module of {package} imports which")
    boxes: dict[str, Box] = {}
    for number, row in enumerate(rows):
        gap = (width - sum(wide[name] for name in row)) / len(row)
        x = gap / 2
        for name in row:
            box = Box(x, number * pitch + 8, wide[name], 26, (name,), _kind(name), "", modules[name].purpose)
            boxes[name] = drawing.box(box)
            x += wide[name] + gap
    for name, used in sorted(graph.items()):
        for one in sorted(used):
            drawing.curve(boxes[name].bottom, boxes[one].top, "quiet")
    return drawing.svg()


def _kind(name: str) -> str:
    return "hook" if name in ("pipeline", "chains", "streaming") else ""


def layers(graph: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """The rows from the top: each name stands below all that import it and close to them.

    Within a row the names are ordered so that few lines cross: each goes to the middle of its neighbours, some times.
    Raises ValueError for imports in a circle.
    """
    depth: dict[str, int] = {}
    users = {name: [one for one, used in graph.items() if name in used] for name in graph}
    waiting = [name for name in graph if not users[name]]
    while waiting:
        name = waiting.pop()
        depth[name] = max((depth[user] + 1 for user in users[name]), default=0)
        waiting += [one for one in graph[name] if all(user in depth for user in users[one])]
    if missing := graph.keys() - depth.keys():
        raise ValueError(f"imports in a circle: {', '.join(sorted(missing))}")
    rows = [sorted(name for name in graph if depth[name] == row) for row in range(max(depth.values()) + 1)]
    for _ in range(8):
        for row in [*rows, *reversed(rows)]:
            at = {name: (place + 0.5) / len(line) for line in rows for place, name in enumerate(line)}
            row.sort(key=lambda name: _middle(name, graph, users, at))
    return rows


def _middle(
    name: str, graph: Mapping[str, frozenset[str]], users: Mapping[str, Sequence[str]], at: Mapping[str, float]
) -> float:
    near = [at[one] for one in (*graph[name], *users[name])]
    return fsum(near) / len(near) if near else at[name]  # exact: whatever order a set has, the same place
