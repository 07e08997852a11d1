"""Take the files of others out of their npm packages again, as the two VENDOR.toml say.  Needs npm and its registry.

    python tests/plugins/clippy-inspect/vendor.py          the versions that are written down
    python tests/plugins/clippy-inspect/vendor.py --check  only say whether they are what the packages have

Another version: write it down first; the hashes are written here.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
FOLDERS = (ROOT / "plugins" / "clippy-inspect" / "src" / "clippy_inspect" / "static", HERE / "vendored")
MARK = "sha256"


def packages(folder: Path) -> list[dict[str, Any]]:
    """What a folder's VENDOR.toml says: name, version, licence, and for each file its path in the package and hash."""
    told: list[dict[str, Any]] = tomllib.loads((folder / "VENDOR.toml").read_text(encoding="utf-8"))["package"]
    return told


def hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files_of(name: str, version: str, wanted: list[str]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=place, check=True, capture_output=True)
        [archive] = Path(place).glob("*.tgz")
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as package:
            found = {path: package.extractfile(f"package/{path}") for path in wanted}
            return {path: member.read() for path, member in found.items() if member is not None}


def main() -> int:
    check = "--check" in sys.argv
    different: list[str] = []
    for folder in FOLDERS:
        text = (folder / "VENDOR.toml").read_text(encoding="utf-8")
        for package in packages(folder):
            wanted = {file["path"]: file for file in package["file"]}
            for path, data in files_of(package["name"], package["version"], list(wanted)).items():
                kept = folder / wanted[path]["name"]
                if not kept.exists() or kept.read_bytes() != data:
                    different.append(str(kept.relative_to(ROOT)))
                    if not check:
                        kept.write_bytes(data)
                text = text.replace(wanted[path][MARK], hashed(data)) if wanted[path][MARK] else text
        if not check:
            (folder / "VENDOR.toml").write_text(text, encoding="utf-8")
    print("\n".join(different) or "every file is what its package has")
    return 1 if check and different else 0


if __name__ == "__main__":
    sys.exit(main())
