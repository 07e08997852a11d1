"""``clippy doctor``: who else may read or write what clippy and its plugins keep in files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs
import platformdirs
from clippy_hookspecs.services import Unopened

from .doctor_orders import Finding

if TYPE_CHECKING:
    from ..discovery import Discovered

MOST = 500
"""Files looked at in one folder."""


def user_folders() -> dict[str, Path]:
    """The user's folders for clippy, whether they are there or not."""
    return {
        "data": Path(platformdirs.user_data_dir("clippy")),
        "cache": Path(platformdirs.user_cache_dir("clippy")),
        "state": Path(platformdirs.user_state_dir("clippy")),
    }


def describe_folders() -> dict[str, dict[str, Any]]:
    """Each of the user's folders: where, whether it is there, and its mode."""
    return {
        name: {"path": str(folder), "mode": f"{stat.S_IMODE(folder.stat().st_mode):04o}" if folder.is_dir() else None}
        for name, folder in user_folders().items()
    }


def folder_findings(discovered: Discovered, salt: Path | None) -> list[Finding]:
    """What others may do with our files.

    In the user's folders for clippy nobody else may read or write anything; of a file elsewhere that a plugin's setting
    names it is only said when others may write it, because it may be meant to be read.
    """
    if os.name != "posix":
        return []
    found: list[Finding] = []
    own: list[Path] = []
    for folder in user_folders().values():
        if not folder.is_dir() and (above := _cannot_be_made(folder)) is not None:
            what = f"is not there and cannot be made: {above} is no folder that we may write into"
            found.append(Finding("note", str(folder), what))
        else:
            own += [folder, *_inside(folder)]
    for path in [*own, *([salt] if salt else [])]:
        found += _judge(path, private=True)
    for path in _settings(discovered):
        if path not in own and not any(folder in path.parents for folder in user_folders().values()):
            found += _judge(path, private=False)
    return found


def unopened_findings(discovered: Discovered) -> list[Finding]:
    """What plugins say that they could not open once they need it."""
    found: list[Finding] = []
    for plugin in discovered.loaded:
        try:
            told = list(plugin.object.unopened()) if isinstance(plugin.object, Unopened) else []
        except Exception as error:
            told = [f"could not say what it can open: {type(error).__name__}: {error}"]
        found += [Finding("wrong", plugin.name, what) for what in told]
    return found


def _cannot_be_made(folder: Path) -> Path | None:
    """What is in the way of making *folder*: the nearest thing above it that is there, if we may not write into it."""
    there = next((one for one in folder.parents if one.exists()), None)
    return None if there is None or (there.is_dir() and os.access(there, os.W_OK | os.X_OK)) else there


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())[:MOST]
    except OSError:  # it is not there, or not ours to list: then the folder itself is judged
        return []


def _settings(discovered: Discovered) -> Iterator[Path]:
    """The files that settings of active plugins name."""
    for plugin in discovered.loaded:
        for attribute in attrs.fields(cast("Any", type(plugin.object))):
            value = getattr(plugin.object, attribute.name, None)
            if attribute.init and isinstance(value, Path) and value.is_absolute():
                yield value


def _judge(path: Path, *, private: bool) -> Iterator[Finding]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        yield Finding("wrong", str(path), f"cannot be looked at ({error.strerror})")
        return
    mode = stat.S_IMODE(found.st_mode)
    open_to_others = mode & (0o077 if private else 0o022)
    if open_to_others and not stat.S_ISCHR(found.st_mode):
        right = "700" if stat.S_ISDIR(found.st_mode) else "600"
        what = "read or write" if private else "write"
        advice = f"chmod {right} {path}" if private else f"chmod go-w {path}"
        yield Finding("wrong", str(path), f"others may {what} it (mode {mode:04o}); {advice}")
    if private and found.st_uid != os.getuid():
        yield Finding("wrong", str(path), "belongs to another user")
    elif not os.access(path, os.W_OK):
        yield Finding("wrong" if private else "note", str(path), "is not writable")
