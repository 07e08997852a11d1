"""What a command does, read from where it stands and not imported: lists of commands name many, and run none."""

from __future__ import annotations

from types import CodeType, FunctionType

from ..imports import specs_of


def help_of(place: str) -> str | None:
    """The docstring of the function at *place*, ``module:name``; None where only an import could tell it.

    It is taken from the module's code, which Python keeps compiled, so this costs a hundredth of the import.
    """
    module, _, name = place.partition("[")[0].partition(":")
    module, name = module.strip(), name.strip()
    try:
        found = dict(specs_of(module))[module].loader
        code = found.get_code(module)  # type: ignore[union-attr]  # without one there is an error, as for much else
        functions = [one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == name]
        return FunctionType(functions[-1], {}).__doc__
    except Exception:  # no such file, no such function, no valid source: who imports it is told
        return None
