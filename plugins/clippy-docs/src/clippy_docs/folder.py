"""A folder that holds exactly what was made: replaced as a whole, or compared."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

MARK = ".made-by-clippy-docs"
"""In each folder that we made: no other is replaced."""


def replace(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write *files* as *folder*.  Half a reference is never seen: it is written beside and moved.

    Raises FileExistsError for a folder with files in it that is not ours.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise FileExistsError(f"{folder} holds files that this command did not write; choose another --out")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
        new = Path(beside) / "new"
        for name, content in {**files, MARK: b""}.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if folder.exists():
            folder.rename(Path(beside) / "old")
        new.rename(folder)


def differences(folder: Path, files: Mapping[str, bytes]) -> Iterator[str]:
    """A line for each file that is missing, different, or no longer made."""
    there = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file() and path.name != MARK
    }
    for name in sorted(files.keys() | there.keys()):
        if name not in there:
            yield f"{folder / name} is missing"
        elif name not in files:
            yield f"{folder / name} is no longer made"
        elif there[name].read_bytes() != files[name]:
            yield f"{folder / name} differs"
