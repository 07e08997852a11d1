"""``clippy hooks``: the final chains, as the host calls them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click
from clippy_hookspecs import POLICIES, HookPolicy

from .installation import installation
from .output import json_option, say, say_json, table
from .plugins import HOOK

if TYPE_CHECKING:
    from ..discovery import Discovered, Plugin


@click.command()
@click.option("--hook", type=HOOK, metavar="HOOK", help="Only this hook.")
@click.option("--all", "everything", is_flag=True, help="Hooks that nobody implements as well.")
@json_option
@click.pass_context
def hooks(ctx: click.Context, hook: str | None, everything: bool, as_json: bool) -> None:
    """Who is called for each hook, in calling order, and what a failure does."""
    found = installation(ctx)
    found.require_readable()
    documents = [chain_document(name, found.discovered) for name in POLICIES if hook in (None, name)]
    if hook is None and not everything:
        documents = [document for document in documents if document["plugins"]]
    if as_json:
        say_json(documents)
        found.end(ctx)
    for document in documents:
        _print(document)
    if not documents:
        say("no active plugin implements a hook; clippy hooks --all shows which there are")
    found.end(ctx)


def chain_document(hook: str, discovered: Discovered) -> dict[str, Any]:
    """One hook as JSON; its plugins stand in the order in which they are called."""
    policy = POLICIES[hook]
    chain = discovered.chain(hook)
    if policy.order == "inner first":
        chain = chain[::-1]
    return {
        "hook": hook,
        "combine": policy.combine,
        "order": "innermost first" if policy.order == "inner first" else "outermost first",
        "on_failure": policy.on_failure,
        "may_await": _may_await(hook, policy),
        "plugins": [_step_document(hook, plugin, policy, discovered) for plugin in chain],
    }


def _may_await(hook: str, policy: HookPolicy) -> bool:
    # A lifespan is a plain def; what may await is the context manager that it returns.
    return policy.may_await and hook != "lifespan"


def _step_document(hook: str, plugin: Plugin, policy: HookPolicy, discovered: Discovered) -> dict[str, Any]:
    said = discovered.on_failure(plugin)
    source = "hook" if said is None else "configuration" if plugin.name in discovered.overrides else "plugin"
    method = plugin.method(hook)
    return {
        "name": plugin.name,
        "version": plugin.version,
        "on_failure": said or policy.on_failure,
        "on_failure_from": source,
        "async": inspect.iscoroutinefunction(method),
        "inline": bool(getattr(method, "clippy_inline", False)),
    }


def _print(document: dict[str, Any]) -> None:
    awaits = "may await" if document["may_await"] else "plain def"
    say(f"{document['hook']}: {document['combine']}, {document['order']}, {awaits}")
    rows = [
        (f"  {place}", step["name"], step["version"], _failure(step), "async def" if step["async"] else "")
        for place, step in enumerate(document["plugins"], 1)
    ]
    if not rows:
        say(f"  nobody; a failure would {document['on_failure']}")
        return
    for line in table(("",) * 5, rows)[1:]:
        say(line)


def _failure(step: dict[str, Any]) -> str:
    by = "" if step["on_failure_from"] == "hook" else f" (said by the {step['on_failure_from']})"
    return f"on failure: {step['on_failure']}{by}"
