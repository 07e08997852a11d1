"""``clippy doctor``: what is here, and what does not work."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import click
from attrs import asdict
from clippy_hookspecs import ConfigError

from .doctor_orders import Finding, order_findings
from .grades import grades, print_grades
from .installation import Installation, installation
from .locking import differences_of
from .output import json_option, say, say_json, table, visible
from .plugins import as_document, shown_status

OURS = ("clippy-core", "clippy-hookspecs", "pluggy", "attrs", "cattrs", "anyio", "click", "orjson", "platformdirs")


@click.command()
@click.argument("clients", nargs=-1, metavar="[MODULE:CLIENT]...")
@click.option("--grades", "every", is_flag=True, help="List also the plugins that were never graded.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, clients: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Say what is here and what does not work; exit 1 if something is wrong.

    Versions, what each SDK is built on, plugins in quarantine, orders that look wrong, the lock, whom TLS trusts, and
    who may read our files.  MODULE:CLIENT imports a module of yours and looks at the client: whether plugins are under
    it, and whether it still retries by itself.
    """
    document = examine(installation(ctx), clients)
    if as_json:
        say_json(document)
    else:
        _print(document, every)
    ctx.exit(0 if document["ok"] else 1)


def examine(found: Installation, clients: Sequence[str] = ()) -> dict[str, Any]:
    """Everything that doctor knows, as JSON."""
    from ..contract_version import core_fault
    from .doctor_clients import examine_client
    from .doctor_folders import describe_folders, folder_findings, unopened_findings
    from .doctor_http import MODULES, describe_sdks, describe_tls, tls_findings, version_of

    discovered = found.discovered
    quarantined = [plugin for plugin in discovered.plugins if plugin.status == "quarantined"]
    faults = list(found.faults)
    contract, tls = core_fault(), describe_tls()
    lock, lock_findings = _lock(found)
    looked_at = [examine_client(target, discovered) for target in clients]
    findings = [*order_findings(discovered), *lock_findings, *tls_findings(tls)]
    findings += folder_findings(discovered, found.config.host.salt_path)
    findings += unopened_findings(discovered)
    findings += [finding for _, some in looked_at for finding in some]
    return {
        "ok": not (quarantined or faults or any(finding.level == "wrong" for finding in findings)),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version_of(name) for name in (*OURS, *MODULES)},
        "sdks": describe_sdks(),
        "contract": contract,
        "file": str(found.config.file) if found.config.file else None,
        "faults": faults,
        "plugins": {
            status: sum(shown_status(plugin) == status for plugin in discovered.plugins)
            for status in ("loaded", "idle", "disabled", "quarantined")
        },
        "quarantined": [{**as_document(plugin), "traceback": plugin.traceback} for plugin in quarantined],
        "grades": grades(discovered),
        "warnings": [what for plugin in discovered.plugins for what in plugin.warnings],
        "deprecated": [
            *found.config.deprecated,
            *(what for plugin in discovered.plugins for what in plugin.deprecated),
        ],
        "lock": lock,
        "tls": tls,
        "folders": describe_folders(),
        "clients": [document for document, _ in looked_at],
        "findings": [asdict(finding) for finding in findings],
    }


def _lock(found: Installation) -> tuple[dict[str, Any], list[Finding]]:
    """Whether there is a lock, whether it holds, and what of it is not so; without locked mode that is only said."""
    from ..lock import lock_path

    path, locked = lock_path(found.config), found.config.host.locked
    differences: list[str] = []
    if path.exists():
        try:
            differences = differences_of(found.config)
        except ConfigError as error:
            differences = list(error.faults)
    findings = [Finding("wrong" if locked else "note", path.name, what) for what in differences]
    return {"locked": locked, "file": str(path) if path.exists() else None, "differences": differences}, findings


def _print(document: dict[str, Any], every: bool) -> None:
    say(f"python {document['python']} on {document['platform']}")
    rows = [(name, version or "not installed") for name, version in document["versions"].items()]
    rows += [(name, f"{one['version']}, {one['what']}") for name, one in document["sdks"].items()]
    rows += [] if document["sdks"] else [("SDKs", "none of those that we know")]
    for line in table(("", ""), rows)[1:]:
        say(f"  {line}")
    say(f"configuration: {document['file'] or 'no file'}")
    for what in document["faults"]:
        say(f"  {what}")
    say("plugins: " + ", ".join(f"{count} {status}" for status, count in document["plugins"].items()))
    print_grades(document["grades"], every)
    for what in (*document["warnings"], *document["deprecated"]):
        say(f"  {what}")
    told = [*document["faults"]]
    for plugin in document["quarantined"]:
        if not any(plugin["reason"] in what for what in told):
            say(f"  {plugin['reason']}")
            told.append(plugin["reason"])
        for line in plugin["traceback"].splitlines():
            say(f"    | {visible(line)}")
    _print_surroundings(document)
    for finding in document["findings"]:
        if any(finding["what"] in what for what in told):  # the lock refuses what is in quarantine for that
            continue
        say(f"{finding['level']}: {finding['about']}: {finding['what']}")
    notes = document["warnings"] or document["deprecated"] or document["findings"]
    well = "nothing is wrong" + (", but see what is said above" if notes else "")
    say(well if document["ok"] else "something is wrong: see above")


def _print_surroundings(document: dict[str, Any]) -> None:
    lock = document["lock"]
    state = "in force" if lock["locked"] else "not in force (locked = true is not set)"
    say(f"lock: {lock['file']}, {state}" if lock["file"] else f"lock: none{', but locked' if lock['locked'] else ''}")
    for name, one in document["tls"].items():
        count = "" if one["certificates"] is None else f", {one['certificates']} certificates"
        say(f"TLS of {name}: {one['context'] or 'none'}{count}, trusts {one['trusts'] or 'nobody'}")
    for name, one in document["folders"].items():
        say(f"{name}: {one['path']} ({one['mode'] or 'not made yet'})")
    for one in document["clients"]:
        wrapped = "wrapped" if one.get("wrapped") else "not wrapped"
        if one.get("http"):
            say(f"client {one['target']}: {one['client']} on {one['http']}, {wrapped}, {one['max_retries']} retries")
