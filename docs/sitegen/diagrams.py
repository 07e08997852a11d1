"""The diagrams of the site, drawn from the code: the way of a request, the distributions, the modules of the core."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import attrs
from clippy_docs import imports
from clippy_docs.diagrams import draw_distributions, draw_modules
from clippy_docs.svg import Box, Drawing
from clippy_hookspecs import POLICIES

from clippy_core import pipeline

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "clippy_core"
CONTRACT = ROOT / "hookspecs" / "src" / "clippy_hookspecs"


@cache
def core_modules() -> Mapping[str, imports.Module]:
    """The core, a package of it as one."""
    return imports.modules(CORE)


@cache
def distributions() -> imports.Graph:
    """Each distribution of this repository with what it imports."""
    folders = {"clippy_hookspecs": CONTRACT, "clippy_core": CORE}
    folders |= {path.parent.name: path.parent for path in sorted(ROOT.glob("plugins/*/src/*/__init__.py"))}
    return imports.distributions(folders)


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


DIAGRAMS: dict[str, Callable[[], str]] = {
    "way": draw_way,
    "distributions": lambda: draw_distributions(distributions()),
    "modules": lambda: draw_modules(core_modules(), "clippy_core"),
}
"""By the name that stands in a page's ``<!-- diagram: NAME -->``."""
