"""The parts that a new plugin is put together from: the modules of ``scaffold/``, read as text and never imported.

Each is a whole plugin for one hook, beside it its tests: what is handed out is checked like everything else here.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from attrs import frozen

SCAFFOLD = Path(__file__).with_name("scaffold")
_CACHE = "cache"
_PART_OF = {"cache_lookup": _CACHE, "cache_store": _CACHE, "cache_invalidate": _CACHE}
_CONTENTS = {_CACHE: tuple(_PART_OF), "on_chunk": ("on_chunk", "on_response")}
"""Parts that bring more hooks than their own: half a cache is none, and a text filter is for whole answers, too."""


def parts_for(hooks: Sequence[str]) -> tuple[str, ...]:
    """The parts that implement *hooks*, each once, in the order of *hooks*."""
    named = dict.fromkeys(_PART_OF.get(hook, hook) for hook in hooks)
    brought = {hook for part in named for hook in _CONTENTS.get(part, ()) if hook != part}
    return tuple(part for part in named if part not in brought)


def hooks_of(part: str) -> tuple[str, ...]:
    """The hooks that *part* implements."""
    return _CONTENTS.get(part, (part,))


@frozen
class Setting:
    """A setting of a part: its name, its default as code, and what it is for."""

    name: str
    default: str
    doc: str


@frozen
class Module:
    """One module of the scaffold, cut into the pieces that can be put together anew."""

    text: str

    @classmethod
    def read(cls, name: str) -> Module:
        """The module *name*."""
        return cls((SCAFFOLD / f"{name}.py").read_text(encoding="utf-8"))

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text)

    @cached_property
    def plugin(self) -> ast.ClassDef:
        """The class of the plugin."""
        return next(node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == "Plugin")

    @property
    def purpose(self) -> str:
        """The docstring of the plugin."""
        return ast.get_docstring(self.plugin) or ""

    @property
    def bases(self) -> list[str]:
        """What the plugin is a subclass of."""
        return [ast.unparse(base) for base in self.plugin.bases]

    def imports(self) -> Iterator[tuple[str, str | None]]:
        """What it imports: (module, None) for ``import module``, (module, name) for ``from module import name``."""
        for node in self.tree.body:
            if isinstance(node, ast.Import):
                yield from ((alias.name, None) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield from ((node.module, alias.name) for alias in node.names)

    def fields(self) -> dict[str, str]:
        """The plugin's fields by name, as they are written; its settings before what it keeps for itself."""
        return {
            node.target.id: self._source(node)
            for node in self.plugin.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }

    def marks(self) -> Iterator[str]:
        """What it says of itself to the host, as ``observes_only``: true of it alone, and not of several in one."""
        return (self._source(node) for node in self.plugin.body if isinstance(node, ast.Assign))

    def methods(self) -> dict[str, str]:
        """The plugin's methods by name, as they are written."""
        return {node.name: self._source(node) for node in self.plugin.body if isinstance(node, _FUNCTIONS)}

    def settings(self) -> Iterator[Setting]:
        """What can be configured."""
        for node in self.plugin.body:
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(node.value, ast.Call)
            ):
                said = {keyword.arg: keyword.value for keyword in node.value.keywords}
                if "metadata" in said:
                    doc: str = ast.literal_eval(said["metadata"])["doc"]
                    yield Setting(node.target.id, ast.unparse(said["default"]), doc)

    def rest(self) -> Iterator[str]:
        """Everything but its docstring and imports, as it is written: the body of a module of tests."""
        for node in self.tree.body:
            if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr)):
                yield self._source(node)

    def _source(self, node: ast.stmt) -> str:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        return "\n".join(self.text.splitlines()[first - 1 : node.end_lineno])


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def import_lines(wanted: set[tuple[str, str | None]], own: str | None = None) -> str:
    """The imports of a module as ruff and isort order them: the standard library, others, and the package *own*."""
    sections: dict[int, list[str]] = {}
    for module in sorted({module for module, name in wanted if name is None}):
        sections.setdefault(_section(module, own), []).append(f"import {module}")
    for module in sorted({module for module, name in wanted if name is not None}):
        names = sorted({name for found, name in wanted if found == module and name is not None}, key=_name_order)
        line = f"from {module} import {', '.join(names)}"
        if len(line) > 120:
            line = "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")"])
        sections.setdefault(_section(module, own), []).append(line)
    return "\n\n".join("\n".join(lines) for _, lines in sorted(sections.items()))


def _section(module: str, own: str | None) -> int:
    top = module.partition(".")[0]
    if top == "__future__":
        return 0
    return 1 if top in sys.stdlib_module_names else 3 if top == own else 2


def _name_order(name: str) -> tuple[int, str]:
    """Constants, classes, everything else."""
    return (0 if re.fullmatch(r"[A-Z0-9_]+", name) and len(name) > 1 else 1 if name[0].isupper() else 2, name)
