"""openai 2 on httpx: the whole list of calls and of faults that openai 3 is held to."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tempfile
import warnings

import httpx
import sdk_openai_calls as calls
from sdk_faults import FAULTS, OTHERWISE, WHEN_OPENED
from sdk_lab import COLOURS, Lab

OTHERS = {"unknown addresses"}
"""A call that names a class of httpx2."""


def _fresh() -> None:
    """Folders of its own for the caches of one comparison."""
    folder = tempfile.mkdtemp(dir=os.environ["HOME"])
    for name in ("CACHE", "DATA", "STATE"):
        os.environ[f"XDG_{name}_HOME"] = folder


def main() -> int:
    warnings.simplefilter("ignore", ResourceWarning)
    different: list[str] = []
    count = 0
    for colour in COLOURS:
        for name, (call, script) in calls.HEALTHY.items():
            if name in OTHERS:
                continue
            lab = Lab(colour, httpx, calls.make_client)
            _fresh()
            bare, none = (lab.run(call, script, roof=roof, wire=True) for roof in ("bare", "no plugin"))
            full = lab.run(call, script, roof="all plugins")
            count += 2
            different += [f"{colour} {name}, no plugin"] * (none != bare or not bare.said or bare.raised is not None)
            different += [f"{colour} {name}, every plugin"] * (full.said != bare.said)
    for call in (calls.chat, calls.chat_stream, calls.responses, calls.embeddings, calls.models):
        for fault, script in FAULTS.items():
            _fresh()
            got = Lab("sync", httpx, calls.make_client).three(call, script)
            count += 2
            different += [f"{call.__name__}, {fault}, no plugin"] * (got["no plugin"] != got["bare"])
            if fault not in OTHERWISE | WHEN_OPENED:
                same = got["all plugins"].result == got["bare"].result
                different += [f"{call.__name__}, {fault}, every plugin"] * (not same)
    version = importlib.metadata.version("openai")
    verdict = f"{len(different)} DIFFERENT" if different else "equal"
    print(f"openai {version} on httpx: {count} comparisons, {verdict}")
    for line in different:
        print(f"    {line}")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
