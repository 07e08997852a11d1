"""The diagrams of the site, drawn from the code: the way of a request, the distributions, the modules of the core."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import attrs
from clippy_hookspecs import POLICIES

from clippy_core import pipeline

from .imports import core_modules, distributions, reduced
from .svg import Box, Drawing

# --- the way of a request ---------------------------------------------------------------------------------------------


@attrs.frozen
class Way:
    """The steps of a request, as the docstring of ``pipeline.py`` lists them."""

    before: tuple[str, ...]
    attempt: tuple[str, ...]
    after: tuple[str, ...]


def way_of_a_request() -> Way:
    """Read the steps.  Raises ValueError when the docstring does not list them the way we know."""
    steps = re.findall(r"^ {4}\d (\w+) +(.+)$", pipeline.__doc__ or "", re.MULTILINE)
    names = [name for name, _ in steps]
    if "attempt" not in names:
        raise ValueError("the docstring of pipeline.py lists no step called attempt")
    at = names.index("attempt")
    attempt = tuple(steps[at][1].partition(": ")[2].split(" -> "))
    after: list[str] = []
    for name, told in steps[at + 1 :]:
        after.append(name)
        after += re.findall(r"then (\w+)", told)
    return Way(tuple(names[1:at]), attempt, tuple(after))


def draw_way() -> str:
    """Down on the left, the attempts at the bottom, up on the right."""
    way = way_of_a_request()
    rows = max(len(way.before), len(way.after))
    pitch, top = 74, 84
    floor = top + rows * pitch
    drawing = Drawing(740, floor + 180, "The way of a request through the hooks and back")
    caller = drawing.box(Box(250, 14, 240, 36, ("program, under its SDK",), "outside"))
    down = [drawing.box(_hook(24, top + row * pitch, name)) for row, name in enumerate(way.before)]
    up = [drawing.box(_hook(504, top + row * pitch, name)) for row, name in enumerate(reversed(way.after))]
    drawing.arrow(caller.left, (down[0].top[0], caller.left[1]), down[0].top)
    for upper, lower in pairwise(down):
        drawing.arrow(upper.bottom, lower.top)
    for upper, lower in pairwise(up):
        drawing.arrow(lower.top, upper.bottom)
    drawing.arrow(up[0].top, (up[0].top[0], caller.right[1]), caller.right)
    _shortcuts(drawing, down, up)
    drawing.frame(8, floor, 724, 166)
    drawing.words((drawing.width / 2, floor + 18), "attempts: until an answer comes or nobody wants to go on")
    _attempt(drawing, way.attempt, floor, down[-1], up[-1])
    return drawing.svg()


def _shortcuts(drawing: Drawing, down: Sequence[Box], up: Sequence[Box]) -> None:
    """An answer of a plugin and a stored one skip the attempts and pass the way out."""
    out = up[-1]
    for number, (box, words) in enumerate(zip(down, ("Answer", "stored answer"), strict=False)):
        x, y = 390 + number * 40, out.y + 14 + number * 16
        drawing.arrow(box.right, (x, box.right[1]), (x, y), (out.x, y), kind="quiet")
        drawing.words((box.right[0] + 8, box.right[1] - 6), words, "start")


def _attempt(drawing: Drawing, names: Sequence[str], floor: float, entry: Box, leave: Box) -> None:
    """pre_attempt and sending on the first line, what follows a failure on the second."""
    sending = names.index("send")
    first, second = names[: sending + 1], names[sending + 1 :]
    upper = [
        drawing.box(
            Box(24 + place * 240, floor + 32, 212, 46, ("provider", "sent once for each attempt"), "outside")
            if name == "send"
            else _hook(24 + place * 240, floor + 32, name)
        )
        for place, name in enumerate(first)
    ]
    lower = [drawing.box(_hook(504 - place * 240, floor + 106, name)) for place, name in enumerate(second)]
    drawing.arrow(entry.bottom, upper[0].top)
    for left, right in pairwise(upper):
        drawing.arrow(left.right, right.left)
    for right, left in pairwise(lower):
        drawing.arrow(right.left, left.right)
    provider, judge, decide = upper[-1], lower[0], lower[-1]
    drawing.arrow(provider.right, (leave.bottom[0], provider.right[1]), leave.bottom)
    drawing.words((provider.right[0] + 10, provider.right[1] - 6), "answer", "start")
    drawing.arrow(provider.bottom, (provider.bottom[0], judge.y - 13), (judge.top[0], judge.y - 13), judge.top)
    drawing.words((judge.top[0] - 60, judge.y - 18), "failure", "start")
    drawing.arrow(decide.top, upper[0].bottom)
    drawing.words((decide.top[0] + 8, decide.y - 8), "Retry, Switch", "start")


def _hook(x: float, y: float, name: str) -> Box:
    policy = POLICIES[name]
    return Box(x, y, 212, 46, (name, f"{policy.combine}, a failure: {policy.on_failure}"), "hook", f"hooks.html#{name}")


# --- the distributions ------------------------------------------------------------------------------------------------


def draw_distributions() -> str:
    """Plugins on the left, the contract in the middle, the host on the right: arrows are imports."""
    graph = distributions()
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
        for used in graph[name] & graph.keys():
            # Each arrow ends at a place of its own, so that their heads do not lie on each other.
            door = contract.x, contract.y + contract.height * (row + 1) / (len(boxes) + 1)
            drawing.arrow(box.right, door if used == "clippy_hookspecs" else boxes[used].right)
    if "clippy_hookspecs" in graph["clippy_core"]:
        drawing.arrow(host.left, contract.right)
    return drawing.svg()


_OTHERS = {"attr": "attrs"}


def _distribution(
    graph: Mapping[str, frozenset[str]], name: str, x: float, y: float, w: float, h: float, kind: str
) -> Box:
    """A box with the name, and the libraries of others that it is made of."""
    known = graph.keys() | sys.stdlib_module_names
    others = sorted({_OTHERS.get(used, used) for used in graph[name] if used not in known})
    lines = [name]
    line = ""
    for other in others:
        if line and len(line) + len(other) > w / 7:
            lines.append(line)
            line = ""
        line = f"{line}, {other}" if line else other
    return Box(x, y, w, h, tuple([*lines, line] if line else lines), kind)


# --- the modules of the core ------------------------------------------------------------------------------------------


def draw_modules() -> str:
    """The core's modules in layers: each imports only what stands below it.  Imports that follow are left out."""
    modules = core_modules()
    graph = reduced({name: one.imports for name, one in modules.items()})
    rows = layers(graph)
    wide = {name: len(name) * 7.8 + 16 for name in graph}
    pitch, width = 62, max(980, *(sum(wide[name] + 20 for name in row) for row in rows))
    drawing = Drawing(width, len(rows) * pitch, "Which module of clippy_core imports which")
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
    return sum(near) / len(near) if near else at[name]


DIAGRAMS: dict[str, Callable[[], str]] = {
    "way": draw_way,
    "distributions": draw_distributions,
    "modules": draw_modules,
}
"""By the name that stands in a page's ``<!-- diagram: NAME -->``."""
