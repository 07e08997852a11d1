"""The page of how the installed parts hang together: drawings, and the same in words for those who do not see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clippy_hookspecs import POLICIES

from . import text
from .diagrams import draw_chains, draw_distributions, draw_modules
from .imports import Graph, distributions, modules, reduced
from .plain import code
from .sources import services

CORE = "clippy_core"
OUTSIDE = ("lifespan", "register_services", "register_commands", "register_routes", "cache_invalidate", "observe")
"""Hooks that are no step of a request."""


def architecture_page(installed: Sequence[Any], chains: Sequence[Mapping[str, Any]]) -> str:
    """The page, for what is installed and who is called."""
    steps = [chain for chain in chains if chain["hook"] not in OUTSIDE]
    others = [chain for chain in chains if chain["hook"] in OUTSIDE]
    graph = distributions(_folders(installed))
    core = _folder(CORE)
    parts: list[str | list[str]] = [
        "## The way of a request",
        "Who is called for a request, from the way in to the record, in the order in which this configuration has it.",
        _figure(draw_chains(steps)),
        list(_in_words(steps)),
        "## The other hooks",
        list(_in_words(others)),
        "## Services",
        _services(installed),
        "## Which package imports which",
        _figure(draw_distributions(graph)),
        [line for name in sorted(graph) for line in _imports(name, graph)] + [""],
    ]
    if core is not None:
        found = modules(core)
        fewer = reduced({name: one.imports for name, one in found.items()})
        parts += [
            f"## The modules of {CORE}",
            "Imports that follow from others are left out.",
            _figure(draw_modules(found, CORE)),
            text.table(
                ("module", "what for", "imports"),
                (
                    (code(name), text.prose(one.purpose), ", ".join(map(code, sorted(fewer[name]))))
                    for name, one in sorted(found.items())
                ),
            ),
        ]  # fmt: skip
    return text.page("Architecture", "the installed code", *parts)


def _figure(drawing: str) -> str:
    return f'<figure tabindex="0">\n{drawing}\n</figure>'


def _in_words(chains: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A list of the chains, each with its plugins in the order of their calls."""
    for chain in chains:
        if chain["plugins"]:
            policy = POLICIES[chain["hook"]]
            called = ", then ".join(_step(step) for step in chain["plugins"])
            yield f"* {text.reference(chain['hook'])} ({policy.combine}, {policy.order}): {called}"
    if not any(chain["plugins"] for chain in chains):
        yield "No plugin is called."
    yield ""


def _step(step: Mapping[str, Any]) -> str:
    notes = [f"a failure: {step['on_failure']}"]
    notes += ["async"] if step["async"] else []
    notes += ["inline"] if step["inline"] else []
    return f"{code(step['name'])} ({', '.join(notes)})"


def _services(installed: Sequence[Any]) -> list[str] | str:
    rows = [
        (text.reference(name), code(one.name)) for one in installed if one.cls is not None for name in services(one.cls)
    ]
    return text.table(("service", "offered by"), sorted(rows)) if rows else "No plugin offers a service."


def _imports(name: str, graph: Graph) -> Iterator[str]:
    used = sorted(graph[name] & graph.keys())
    yield f"* {code(name)} imports {', '.join(map(code, used)) or 'no other package of these'}"


def _folders(installed: Sequence[Any]) -> dict[str, Path]:
    names = {CORE, "clippy_hookspecs"}
    names |= {str(one.cls.__module__).partition(".")[0] for one in installed if one.cls is not None}
    return {name: folder for name in sorted(names) if (folder := _folder(name)) is not None}


def _folder(package: str) -> Path | None:
    """Where a package of Python is, without importing it; None for a single module, or for none."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None
