"""The grades of installed plugins, as ``python -m pytest --clippy-plugin NAME`` left them; nothing is run here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .output import say

if TYPE_CHECKING:
    from ..discovery import Discovered

_NEVER = "not graded"


def grades(discovered: Discovered) -> dict[str, dict[str, Any]]:
    """The grade of each loaded plugin, with ``note`` where there is none or it is of other code."""
    from ..installed import scan
    from ..testing.grading import code_of, stored, unfit_of

    installed = {one.name: one for one in scan()}
    found: dict[str, dict[str, Any]] = {}
    for name in (plugin.name for plugin in discovered.loaded if plugin.name in installed):
        document, now = stored(name), installed[name]
        if document is None:
            found[name] = {"grade": None, "note": f"{_NEVER}: python -m pytest --clippy-plugin {name}"}
        elif (document.get("version"), document["code"]) != (now.version, code_of(now)):
            was = f"{document.get('version')} was graded {document['grade']}, and its code has changed"
            found[name] = {"grade": None, "note": f"{was}: python -m pytest --clippy-plugin {name}"}
        else:
            unfit = unfit_of(document.get("not applicable", 0), document.get("checks", 0))
            note = f"{unfit}{unfit and '; '}graded on {document['time'][:10]}"
            found[name] = {"grade": document["grade"], "note": note}
    return found


def print_grades(found: dict[str, dict[str, Any]], every: bool) -> None:
    """One line for each plugin, and for those that never were graded one for all of them, unless *every* is wanted."""
    never = [] if every else [name for name, one in found.items() if one["note"].startswith(_NEVER)]
    for name, one in found.items():
        if name not in never:
            say(f"  {name}: {one['grade']} ({one['note']})" if one["grade"] else f"  {name}: {one['note']}")
    if never:
        grade = "for authors of plugins, python -m pytest --clippy-plugin NAME runs them"
        say(f"  {len(never)} without a grade of the contract's tests here, which is no fault: {grade}")
