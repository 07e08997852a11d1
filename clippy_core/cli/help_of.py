"""What a command does, read from where it stands and not imported: lists of commands name many, and run none."""

from __future__ import annotations

from inspect import CO_OPTIMIZED
from types import CodeType, FunctionType

from ..imports import specs_of


def help_of(place: str) -> str | None:
    """The docstring of the function at *place*, ``module:function`` or ``module:Class.method``.

    None where only an import could tell it.  It is taken from the module's code, which Python keeps compiled: a
    hundredth of what an import costs.
    """
    module, _, name = (part.strip() for part in place.partition("[")[0].partition(":"))
    try:
        code = dict(specs_of(module))[module].loader.get_code(module)  # type: ignore[union-attr]
        for part in name.split("."):
            (*_, code) = (one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == part)
        return FunctionType(code, {}).__doc__ if code.co_flags & CO_OPTIMIZED else None  # the body of a class is not
    except Exception:  # no such file, no such function, no valid source: who imports it is told
        return None
