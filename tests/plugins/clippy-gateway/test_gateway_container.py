"""The container of the guide: no image is built here, but what its steps name is there, and its health check judges."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clippy_gateway import Gateway, Key
from clippy_gateway.commands import serve_command
from gateway_world import CALLERS_KEY, World
from patience import PATIENCE

from clippy_core.testing import Reply

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "gateway.md").read_text("utf-8").partition("## Container\n")[2].partition("\n## ")[0]
DOCKERFILE = GUIDE.partition("```dockerfile\n")[2].partition("```")[0]
STEPS = [
    (word, rest)
    for word, _, rest in (line.partition(" ") for line in re.sub(r"\\\n\s*", " ", DOCKERFILE).splitlines())
    if word and word != "#"
]
OF_THE_READER = "clippy.toml"


def steps(word: str) -> Iterator[str]:
    return (rest for one, rest in STEPS if one == word)


def _project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


def test_it_copies_what_the_packages_are_built_of_and_nothing_that_is_not_there():
    copied = {one for rest in steps("COPY") if not rest.startswith("--from") for one in rest.split()[:-1]}
    own = _project(ROOT)
    needed = {"pyproject.toml", own["project"]["readme"], *own["project"]["license-files"]}
    needed |= set(own["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    needed |= {Path(one).parts[0] for one in own["tool"]["uv"]["workspace"]["members"]}
    assert copied - {OF_THE_READER} == needed
    assert [one for one in needed if not (ROOT / one).exists()] == []


def test_every_package_that_it_installs_is_of_the_workspace():
    folders = [ROOT, ROOT / "hookspecs", *(file.parent for file in ROOT.glob("plugins/*/pyproject.toml"))]
    ours = {_project(folder)["project"]["name"] for folder in folders}
    installed = {name for rest in steps("RUN") for name in re.findall(r"--package (\S+)", rest)}
    assert {"clippy-core", "clippy-gateway"} <= installed <= ours


def test_its_command_serves_the_configuration_that_was_copied_and_writes_where_the_volume_is():
    (command,) = (json.loads(rest) for rest in steps("CMD"))
    (volume,) = steps("VOLUME")
    (copied,) = (rest.split()[1] for rest in steps("COPY") if rest.startswith(OF_THE_READER))
    (said,) = (dict(pair.split("=", 1) for pair in rest.split()) for rest in steps("ENV"))
    options = {name for option in serve_command(Gateway(), None).params for name in option.opts}
    assert command[:4] == [*_project(ROOT)["project"]["scripts"], "--config", copied, "serve"]
    assert {word for word in command[4:] if word.startswith("-")} <= options
    assert {said.get(f"XDG_{kind}_HOME") for kind in ("DATA", "STATE", "CACHE")} == {volume}
    assert set(steps("EXPOSE")) == {str(Gateway().port)}


def test_a_stop_is_given_longer_than_a_drain_takes():
    seconds = re.search(r"docker run .*--stop-timeout (\d+)", GUIDE)
    assert seconds is not None
    assert int(seconds[1]) > Gateway().drain + Gateway().notice


def test_its_health_check_says_whether_the_gateway_lives_also_where_requests_go_over_a_proxy():
    (argv,) = (json.loads(rest.partition("CMD ")[2]) for rest in steps("HEALTHCHECK"))
    assert argv[0] == "python"
    nowhere = {**os.environ, "http_proxy": "http://127.0.0.1:1"}
    with World(Reply("x"), {}, {"keys": {"team": Key(CALLERS_KEY)}}) as world:
        asked = [sys.executable, *(word.replace(str(Gateway().port), str(world.server.port)) for word in argv[1:])]
        alive = subprocess.run(asked, env=nowhere, timeout=PATIENCE, capture_output=True)
    dead = subprocess.run(asked, env=nowhere, timeout=PATIENCE, capture_output=True)
    assert (alive.returncode, dead.returncode) == (0, 1), alive.stderr
