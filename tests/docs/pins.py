"""Move to the newest versions: writes constraints.txt and the pins in pyproject.toml.  Needs uv and an index.

``python tests/docs/pins.py``, and then run everything.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_LIST = re.compile(r"^constraint-dependencies = \[.*?\]$", re.MULTILINE | re.DOTALL)
EXPORT = (
    "export",
    "--all-packages",
    "--all-groups",
    "--no-hashes",
    "--no-emit-workspace",
    "--no-header",
    "--no-annotate",
    "--quiet",
)


def resolve() -> list[str]:
    """The newest versions that fit together, one ``name==version`` a line, resolved in a copy without the old pins."""
    uv = [shutil.which("uv") or "uv"] if shutil.which("uv") else [sys.executable, "-m", "uv"]
    with tempfile.TemporaryDirectory() as folder:
        for project in [
            *ROOT.glob("*/pyproject.toml"),
            *ROOT.glob("plugins/*/pyproject.toml"),
            ROOT / "pyproject.toml",
        ]:
            copy = Path(folder) / project.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = project.read_text(encoding="utf-8")
            copy.write_text(_LIST.sub("constraint-dependencies = []", text), encoding="utf-8")
        run = subprocess.run([*uv, *EXPORT], cwd=folder, capture_output=True, text=True, check=True)
    return [line for line in run.stdout.splitlines() if line]


def main() -> None:
    """Resolve and write."""
    pins = resolve()
    (ROOT / "constraints.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    listed = "".join(f'    "{pin}",\n' for pin in pins)
    project = ROOT / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    project.write_text(_LIST.sub(lambda _: f"constraint-dependencies = [\n{listed}]", text), encoding="utf-8")
    sys.stdout.write(f"{len(pins)} versions pinned\n")


if __name__ == "__main__":
    main()
