"""Which services a plugin offers, read from the source of its hook: asking it would need a host."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any


def services(cls: type[Any]) -> tuple[str, ...]:
    """The names of the Protocols that ``register_services`` offers anywhere in it, in the order of the source."""
    method = inspect.getattr_static(cls, "register_services", None)
    if not inspect.isfunction(method):
        return ()
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    except (OSError, TypeError, SyntaxError):
        return ()  # installed without its source
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    offered = [node.args[0] for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr == "offer"]
    return tuple(dict.fromkeys(ast.unparse(one).rpartition(".")[2] for one in offered))
