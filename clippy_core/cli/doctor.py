"""``clippy doctor``: what is here, and what does not work."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import click

from .grades import grades, print_grades
from .installation import Installation, installation
from .output import json_option, say, say_json, table, visible
from .plugins import as_document

OURS = ("clippy-core", "clippy-hookspecs", "pluggy", "attrs", "cattrs", "anyio", "click", "orjson", "platformdirs")
HTTP = ("httpx", "httpx2")
SDKS = ("openai", "anthropic", "google-genai", "mistralai", "ollama", "langchain-openai", "pydantic-ai")


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Versions, faults of the configuration, and plugins in quarantine; exit 1 if something is wrong."""
    document = examine(installation(ctx))
    if as_json:
        say_json(document)
    else:
        _print(document)
    ctx.exit(0 if document["ok"] else 1)


def examine(found: Installation) -> dict[str, Any]:
    """Everything that doctor knows, as JSON."""
    quarantined = [plugin for plugin in found.discovered.plugins if plugin.status == "quarantined"]
    faults = list(found.faults)
    contract = _contract_fault()
    return {
        "ok": not (quarantined or faults or contract),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version_of(name) for name in (*OURS, *HTTP)},
        "sdks": {name: version for name in SDKS if (version := version_of(name)) is not None},
        "contract": contract,
        "file": str(found.config.file) if found.config.file else None,
        "faults": faults,
        "plugins": {
            status: sum(plugin.status == status for plugin in found.discovered.plugins)
            for status in ("loaded", "disabled", "quarantined")
        },
        "quarantined": [{**as_document(plugin), "traceback": plugin.traceback} for plugin in quarantined],
        "grades": grades(found.discovered),
        "warnings": [what for plugin in found.discovered.plugins for what in plugin.warnings],
    }


def version_of(distribution: str) -> str | None:
    """The installed version, None if there is none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _contract_fault() -> str | None:
    """What is wrong between this core and the installed contract."""
    from ..contract_version import CONTRACT, installed_contract, mismatch

    try:
        requires = importlib.metadata.requires("clippy-core") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    unmet = mismatch(requires, installed_contract())
    return f"clippy-core needs {unmet}, and {CONTRACT} {installed_contract()} is installed" if unmet else None


def _print(document: dict[str, Any]) -> None:
    say(f"python {document['python']} on {document['platform']}")
    rows = [(name, version or "not installed") for name, version in document["versions"].items()]
    rows += list(document["sdks"].items()) or [("SDKs", "none of those that we know")]
    for line in table(("", ""), rows)[1:]:
        say(f"  {line}")
    say(f"configuration: {document['file'] or 'no file'}")
    for what in (*document["faults"], *([document["contract"]] if document["contract"] else [])):
        say(f"  {what}")
    say("plugins: " + ", ".join(f"{count} {status}" for status, count in document["plugins"].items()))
    print_grades(document["grades"])
    for what in document["warnings"]:
        say(f"  {what}")
    for plugin in document["quarantined"]:
        say(f"  {plugin['reason']}")
        for line in plugin["traceback"].splitlines():
            say(f"    | {visible(line)}")
    well = "nothing is wrong" + (", but see the warnings above" if document["warnings"] else "")
    say(well if document["ok"] else "something is wrong: see above")
