"""What an installed plugin is made of, as one hash: the files of its distribution, read and compared with its RECORD.

The hash speaks of what runs and not of who installed it: pip and uv give the same for one wheel, in every folder, also
from a zip.  It leaves out bytecode, scripts, and what an installer writes for itself (INSTALLER, direct_url.json).
A file that is a link counts as what it points to.  Of an editable installation, which copies nothing, it takes the
sources of the entry point's package.  Nothing here imports the plugin.

RECORD is that of the "recording installed projects" specification (packaging.python.org).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec, all_suffixes
from pathlib import Path, PurePosixPath
from typing import Any

from .imports import specs_of
from .installed import Found

HASHES = {"sha256", "sha384", "sha512"}
"""What RECORD may be trusted for; the specification forbids weaker ones."""
_KEPT_METADATA = {"METADATA", "entry_points.txt"}


class Unverifiable(Exception):
    """The files of a plugin are not what they should be, or nobody can tell; the sentence says which and why."""


def hash_of(found: Found) -> str:
    """``sha256:`` and the hash of everything that *found* brings, computed from the files' real content.

    Raises :class:`Unverifiable` for a distribution without a RECORD, a file that is missing or not what RECORD says,
    a module beside them that RECORD does not know, and where an import would find somebody else's module.
    """
    distribution = found.entry_point.dist
    if distribution is None:
        raise Unverifiable("it belongs to no distribution")
    try:
        return _hash(distribution, found.module)
    except OSError as error:  # a folder that may not be listed
        raise Unverifiable(f"its files cannot be read ({error})") from None


def last_changed(found: Found) -> str | None:
    """Of an editable installation the source that was changed last; None of any other, where RECORD tells."""
    if not _is_editable(found.entry_point.dist):
        return None
    sources = _sources(specs_of(found.module))
    return max(sources, key=lambda path: float(os.path.getmtime(str(sources[path]))), default=None)  # noqa: PTH204


def _hash(distribution: Any, module: str) -> str:
    rows = _record(distribution)
    editable = _is_editable(distribution)
    files = {path: distribution.locate_file(path) for path in rows if _is_content(path, editable=editable)}
    contents = {path: _read(path, place) for path, place in files.items()}
    for path, content in contents.items():
        _compare(path, content, rows[path])
    specs = specs_of(module)
    if editable:
        if not specs:
            raise Unverifiable(
                f"there is no module {module}: what is installed while a program runs waits for a restart"
            )
        sources = _sources(specs)
        files |= sources
        contents |= {path: _read(path, place) for path, place in sources.items()}
    else:
        _no_strangers(files)
    _same_module(module, specs, files.values())
    lines = (f"{path}\0{hashlib.sha256(contents[path]).hexdigest()}\n" for path in sorted(contents))
    return f"sha256:{hashlib.sha256(''.join(lines).encode('utf-8', 'surrogateescape')).hexdigest()}"


# --- what RECORD says ------------------------------------------------------------------------------------------------


def _record(distribution: Any) -> Mapping[str, str]:
    """The paths that RECORD lists, each with its hash or ""."""
    try:
        text = distribution.read_text("RECORD")
        rows = [row for row in csv.reader((text or "").splitlines(), strict=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Unverifiable(f"its RECORD cannot be read ({error})") from None
    if text is None:
        raise Unverifiable("it has no RECORD of its files (installed without pip or uv, or changed since it was found)")
    return {row[0]: row[1] if len(row) > 1 else "" for row in rows}


def _is_editable(distribution: Any) -> bool:
    try:
        said = json.loads(distribution.read_text("direct_url.json") or "{}")
        return said.get("dir_info", {}).get("editable") is True
    except (OSError, ValueError, AttributeError):
        return False


def _is_content(path: str, *, editable: bool) -> bool:
    """Whether a line of RECORD is part of the plugin, the same wherever and by whomever it is installed."""
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or path.startswith("/") or "\\" in path or ":" in parts[0]:
        return False  # scripts and data outside of the folder that is imported from
    if "__pycache__" in parts:
        return False
    if parts[0].endswith((".dist-info", ".egg-info")):
        return len(parts) == 2 and parts[1] in _KEPT_METADATA
    # Of an editable installation the folder on the path has only signposts to this machine's sources.
    return not (editable and (path.endswith(".pth") or parts[0].startswith("__editable__")))


def _read(path: str, place: Any) -> bytes:
    try:
        content: bytes = place.read_bytes()
    except (OSError, KeyError) as error:  # a zip raises KeyError
        missing = isinstance(error, (FileNotFoundError, KeyError))
        raise Unverifiable(f"{path} {'is missing' if missing else f'cannot be read ({error})'}") from None
    return content


def _compare(path: str, content: bytes, said: str) -> None:
    name, _, digest = said.partition("=")
    if name not in HASHES:
        return  # it counts for our own hash all the same
    real = base64.urlsafe_b64encode(hashlib.new(name, content).digest()).rstrip(b"=").decode()
    if real != digest:
        raise Unverifiable(f"{path} is not what its RECORD says: it was changed after it was installed")


# --- what an import would find ---------------------------------------------------------------------------------------


def _same_module(module: str, specs: list[tuple[str, ModuleSpec]], files: Iterable[Any]) -> None:
    """An older folder of the path, or a program's own file, may have a module of the same name."""
    loaded = getattr(sys.modules.get(module), "__spec__", None)
    spec = loaded or next((spec for name, spec in specs if name == module), None)
    if spec is None:
        raise Unverifiable(f"there is no module {module}")
    place = os.path.realpath(spec.origin) if spec.origin else "a namespace"
    if place not in {os.path.realpath(str(file)) for file in files}:
        raise Unverifiable(f"an import of {module} finds {place}, which is not a file of this distribution")


def _no_strangers(files: Mapping[str, Any]) -> None:
    """A module in a plugin's package that RECORD does not know; it could stand before one that RECORD knows."""
    packages = {
        PurePosixPath(path).parent: place.parent
        for path, place in files.items()
        if PurePosixPath(path).name.partition(".")[0] == "__init__"
    }
    for path, folder in packages.items():
        if not packages.keys() & set(path.parents):  # what is inside of another one is walked with it
            for module in (one for one, _ in _walk(folder, path) if one.endswith(tuple(all_suffixes()))):
                if module not in files:
                    raise Unverifiable(f"{module} is not in its RECORD: it was added after it was installed")


def _sources(specs: list[tuple[str, ModuleSpec]]) -> dict[str, Any]:
    """The files of the outermost package that is no namespace, under the paths that a wheel would have."""
    for name, spec in specs:
        if spec.origin and spec.has_location:
            file, path = Path(spec.origin), PurePosixPath(name.replace(".", "/"))
            if spec.submodule_search_locations is None:
                return {f"{path}{file.suffix}": file}
            return dict(_walk(file.parent, path))
    return {}


def _walk(folder: Any, path: PurePosixPath, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The files below *folder* but for bytecode and hidden ones; a link that leads back is not followed."""
    real = os.path.realpath(str(folder))
    if real in above:
        return
    for place in sorted(folder.iterdir(), key=lambda one: str(one.name)):
        name = place.name
        if name == "__pycache__" or name.startswith(".") or name.endswith("~"):
            continue
        if place.is_dir():
            yield from _walk(place, path / name, (*above, real))
        else:
            yield str(path / name), place
