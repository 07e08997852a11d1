"""Who imports whom, read from the sources and never imported: what the diagrams show."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs

Graph = Mapping[str, frozenset[str]]


@attrs.frozen
class Module:
    """A module or a package: its name, what it is for, and what it imports when it is imported."""

    name: str
    purpose: str
    imports: frozenset[str]


@attrs.frozen
class Source:
    """What one file says: its purpose, its relative imports as the parser gives them, the top-level names of others."""

    purpose: str = ""
    inside: tuple[ast.ImportFrom, ...] = ()
    outside: frozenset[str] = frozenset()


def modules(folder: Path) -> Mapping[str, Module]:
    """The modules of the package in *folder*, a package in it as one."""
    found: dict[str, Module] = {}
    for path in sorted(folder.rglob("*.py")):
        place = path.relative_to(folder).with_suffix("").parts
        if place == ("__init__",):
            continue
        source = _source(path)
        name = place[0]
        before = found.get(name)
        front = before is None or path.name == "__init__.py"
        purpose = source.purpose if front else before.purpose  # type: ignore[union-attr]
        imports = frozenset(_inside(source, place)) | (before.imports if before else frozenset())
        found[name] = Module(name, purpose, imports - {name})
    return {name: attrs.evolve(one, imports=one.imports & found.keys()) for name, one in found.items()}


def distributions(folders: Mapping[str, Path]) -> Graph:
    """Each package of *folders* with the import names, ours and others', that it uses.

    Left out are modules of commands, which the command line alone imports and brings what they need, and the test kit,
    whose needs are an extra.
    """
    return {
        name: frozenset(
            used
            for path in sorted(folder.rglob("*.py"))
            if path.name != "commands.py" and "testing" not in path.relative_to(folder).parts
            for used in _source(path).outside
        )
        - {name}
        for name, folder in folders.items()
    }


def reduced(graph: Graph) -> Graph:
    """*graph* without the imports that follow from others: what is reached by a way round is left out."""
    return {
        name: frozenset(one for one in used if not any(one in _reached(graph, other) for other in used - {one}))
        for name, used in graph.items()
    }


def _reached(graph: Graph, start: str) -> frozenset[str]:
    reached: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += graph.get(name, ())
    return frozenset(reached)


def _source(path: Path) -> Source:
    try:
        stat = path.stat()
    except OSError:
        return Source()
    return _parsed(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=2048)
def _parsed(path: Path, changed: int, size: int) -> Source:
    """Several pages look at the same files, and parsing them is most of what a page of them costs."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError):
        return Source()  # a file of somebody else's that this Python cannot read imports nothing
    nodes = [node for node in _eager(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    inside = tuple(node for node in nodes if isinstance(node, ast.ImportFrom) and node.level)
    purpose = (ast.get_docstring(tree) or "").partition("\n")[0]
    return Source(purpose, inside, frozenset(_outside(nodes)))


def _eager(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs when the module is imported: nothing inside functions, nothing that is only for type checkers."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(node)


def _inside(source: Source, place: tuple[str, ...]) -> Iterator[str]:
    """The top-level names of the package that a module at *place* imports relatively."""
    for node in source.inside:
        above = place[: len(place) - node.level]
        module = (*above, *(node.module.split(".") if node.module else ()))
        yield from [module[0]] if module else [alias.name for alias in node.names]


def _outside(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]
