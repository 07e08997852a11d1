"""``clippy run``: an unchanged program with the installed plugins under its HTTP clients.

The program runs in an interpreter of its own, in place of this one: arguments, exit codes, tracebacks and signals are
Python's.  What puts the host under its clients comes by ``sitecustomize``, which child processes inherit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click
from clippy_hookspecs import ConfigError

from ..instrument import VARIABLE
from .installation import Installation, installation

START = Path(__file__).with_name("interpreter_start")
"""The folder whose ``sitecustomize`` an interpreter shall import."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-m", "module", is_flag=True, help="SCRIPT is the name of a module, as for python -m.")
@click.option("--every-request", is_flag=True, help="Not only calls of models: all that httpx and httpx2 send.")
@click.argument("script")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(ctx: click.Context, module: bool, every_request: bool, script: str, args: tuple[str, ...]) -> None:
    """Run SCRIPT ARGS..., unchanged, with the plugins under its clients.

    Every client of openai, anthropic, httpx and httpx2 that the program makes goes through one host, made from the
    configuration.  A client that the program wraps itself is left as it is.
    """
    found = installation(ctx)
    if found.faults:
        raise ConfigError(found.faults)
    command = [sys.executable, *(["-m"] if module else []), script, *args]
    _become(command, {**os.environ, **environment(found, every=every_request)})


def environment(found: Installation, *, every: bool) -> Mapping[str, str]:
    """The variables that instrument an interpreter.  The program may change its folder before the host is made."""
    said = {"config": str(found.config.file.absolute()) if found.config.file else None, "every": every}
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != str(START)]
    return {
        VARIABLE: json.dumps({**said, "folder": str(Path.cwd())}),
        "PYTHONPATH": os.pathsep.join([str(START), *path]),
    }


def _become(command: list[str], environ: Mapping[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":  # exec there starts another process and ends this one, so that nobody waits for it
        sys.exit(subprocess.run(command, env=environ, check=False).returncode)  # noqa: S603 - it is the user's own
    os.execve(command[0], command, environ)  # noqa: S606
