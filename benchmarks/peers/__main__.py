"""Runs the harness of the peers with our rows in its tables: environments, our packages in them, the parts asked for.

python -m benchmarks.peers --harness FOLDER                               every part and every set
python -m benchmarks.peers --harness FOLDER hooks parse --quick           some parts, a few rounds
python -m benchmarks.peers --harness FOLDER client --sets core,litellm
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers import tables

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("hooks", "parse", "cache", "import", "construct", "concurrency", "client")
SETS = ("core", "litellm", "langchain", "gptcache", "khazad", "llm")
BY_SET = {"client": SETS, "cache": ("core", "litellm", "gptcache")}
"""Parts that run once in each set's environment; the others run in ``core``."""
WITHOUT_NEEDS = {"khazad": "khazad==0.1.3"}
"""What the harness installs without what it needs: an embedding model's framework, which the benchmark replaces."""
IMPORT = "import httpx; from clippy_core import Host; host = Host.from_config()"
"""What a program pays before its first call: clippy_core alone imports next to nothing."""
LIMIT = 1800
"""Seconds for one script of the harness."""


def uv() -> list[str]:
    """uv as a command, or as a module of the Python beside us."""
    found = os.environ.get("UV") or shutil.which("uv")
    return [found] if found else ["python3", "-m", "uv"]


def environment(harness: Path, folder: Path, name: str) -> Path:
    """The Python of a set's environment, made if it is not there, with this checkout's packages in it.

    What a peer's row was measured with stays as the harness pins it.
    """
    python = folder / name / "bin" / "python"
    pins = harness / "requirements" / f"{name}.lock.txt"
    if not python.exists():
        _run(
            [*uv(), "venv", "-q", "--python", f"{sys.version_info.major}.{sys.version_info.minor}", str(folder / name)]
        )
        _install(python, "-r", str(pins))
        if name in WITHOUT_NEEDS:
            _install(python, "--no-deps", WITHOUT_NEEDS[name])
    plugins = sorted(str(path) for path in (ROOT / "plugins").glob("clippy-*"))
    _install(
        python, "-c", str(pins), "--reinstall-package", "clippy-core", str(ROOT / "hookspecs"), str(ROOT), *plugins
    )
    return python


def _install(python: Path, *what: str) -> None:
    _run([*uv(), "pip", "install", "-q", "--python", str(python), "--compile-bytecode", *what])


def _run(command: Sequence[str]) -> None:
    """In a folder of nobody's: the settings of the checkout that we are in are not those of an environment."""
    with tempfile.TemporaryDirectory() as nowhere:
        subprocess.run(command, check=True, cwd=nowhere)


def commands(parts: Sequence[str], sets: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The environment and the script of the harness, with its arguments, of each thing to run."""
    made = []
    for part in parts:
        for name in BY_SET.get(part, ("core",)):
            if name in sets or part not in BY_SET:
                made.append((name, [f"bench_{part}.py", *(["--set", name] if part in BY_SET else [])]))
    return made


def surroundings(folder: Path, out: Path, home: Path, quick: bool) -> dict[str, str]:
    """What the harness reads; homes of its own, so that nobody's cache or settings are used."""
    homes = {name: str(home) for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")}
    said = {
        "PEERS_VENVS": str(folder),
        "PEERS_OUT": str(out),
        "PEERS_SERVER_PYTHON": str(folder / "core" / "bin" / "python"),
        "PEERS_CLIPPY": "benchmarks.peers.adapter",
        "PEERS_CLIPPY_IMPORT": f"core:{IMPORT}",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLIPPY_", "PEERS_"))}
    return {**kept, **homes, **said, **({"PEERS_QUICK": "1"} if quick else {})}


def figures_of(script: Sequence[str]) -> str:
    """The name of the file, without its ending, that a script of the harness writes."""
    part = script[0].removeprefix("bench_").removesuffix(".py")
    return f"{part}_{script[-1]}" if part in BY_SET else part


def _ran(command: Sequence[str], folder: Path, around: Mapping[str, str]) -> bool:
    """Whether a script of the harness came to its end."""
    try:
        return subprocess.run(command, cwd=folder, env=around, timeout=LIMIT, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"ended after {LIMIT} seconds: {' '.join(command)}", file=sys.stderr)
        return False


def note_run(out: Path, load: Mapping[str, str], parts: Sequence[str]) -> None:
    """What the tables say of the run; what a run before it left in the folder stays."""
    path = out / tables.RUN
    before = json.loads(path.read_text()) if path.exists() else {}
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    said = {
        "command": " ".join(["python -m benchmarks.peers", *parts]),
        "when": f"{datetime.now(UTC):%Y-%m-%d}",
        "about": [
            f"clippy-core {version('clippy-core')} of commit {commit}; {platform.system()}, {os.cpu_count()} cores. "
            "The load given with each part is how many processes wanted a core just before it: above a few tenths the "
            "machine was not ours alone, and only ratios within one round mean anything.",
            f"In the table of imports the row `clippy` is `{IMPORT}`, with every first-party plugin installed.",
        ],
        "load": {**before.get("load", {}), **load},
    }
    path.write_text(json.dumps(said, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--sets", default=",".join(SETS), help="whose environments the parts client and cache run in")
    parser.add_argument("--harness", type=Path, default=os.environ.get("PEERS_HARNESS"), help="or PEERS_HARNESS")
    parser.add_argument("--environments", type=Path, default=os.environ.get("PEERS_VENVS"), help="or PEERS_VENVS; kept")
    parser.add_argument("--out", type=Path, help="where the figures and the tables go; a new folder if not said")
    parser.add_argument("--quick", action="store_true", help="a few rounds, to see that it runs: no figures to quote")
    options = parser.parse_args()
    parts, sets = options.parts or list(PARTS), options.sets.split(",")
    if unknown := [name for name in parts if name not in PARTS] + [name for name in sets if name not in SETS]:
        parser.error(f"there is no {', '.join(unknown)}; parts: {', '.join(PARTS)}; sets: {', '.join(SETS)}")
    if options.harness is None or not (options.harness / "peerlib.py").exists():
        parser.error(f"no harness at {options.harness}: say with --harness or PEERS_HARNESS where peerlib.py lies")
    harness = options.harness.resolve()
    folder = (options.environments or Path(tempfile.mkdtemp(prefix="peers-"))).resolve()
    out = (options.out or Path(tempfile.mkdtemp(prefix="peers-results-"))).resolve()
    wanted = commands(parts, sets)
    print(f"environments: {folder}\nresults: {out}", flush=True)
    pythons: dict[str, Path] = {}
    failed = 0
    for name in dict.fromkeys(["core", *(name for name, _ in wanted)]):  # core: the server's Python, too
        try:
            pythons[name] = environment(harness, folder, name)
        except subprocess.CalledProcessError as error:
            print(f"left out: {name}, whose environment could not be made: {error}", file=sys.stderr)
            failed += 1
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        around = surroundings(folder, out, Path(home), options.quick)
        load: dict[str, str] = {}
        for name, script in (one for one in wanted if one[0] in pythons):
            load[figures_of(script)] = f"{os.getloadavg()[0]:.1f}"
            print(f"\n== {name}: {' '.join(script)}; load {load[figures_of(script)]}", flush=True)
            failed += not _ran([str(pythons[name]), *script], harness, around)
            note_run(out, load, parts)
            (out / "tables.md").write_text(tables.render(tables.read(out)))
    print(f"-> {out / 'tables.md'}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
