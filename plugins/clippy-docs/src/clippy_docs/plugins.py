"""What one plugin does and what can be set, from what the command line knows of it and from its class."""

from __future__ import annotations

import inspect
import json
import tomllib
from collections.abc import Sequence
from typing import Any

from clippy_hookspecs import POLICIES, specs

from . import text
from .metrics import declared
from .plain import block, code, plain, slug
from .sources import services

_NOT_SHOWN = {
    "required": "required",
    "none": "none",
    "secret": "not shown: a secret",
    "made": "made by the plugin when it starts",
}


def overview(plugins: Sequence[Any], place: str = "") -> list[str]:
    """A table of plugins; *place* is the page of each, ``%s`` for its name, "" for a place on this page."""
    rows = (
        (
            f"[{plain(one.name)}]({(place or '#%s') % slug(one.name)})",
            plain(one.summary[:1].lower() + one.summary[1:]) or "says nothing of itself",
            ", ".join(text.reference(hook.name) for hook in in_order(one)),
        )
        for one in plugins
    )
    return text.table(("plugin", "does", "hooks"), rows)


def in_order(plugin: Any) -> list[Any]:
    """The hooks that it implements, in calling order."""
    found = {hook.name: hook for hook in plugin.hooks}
    return [found[name] for name in POLICIES if name in found]


def section(plugin: Any, up: str = "") -> list[str]:
    """The blocks about one plugin, without a heading; *up* leads from its page to those of the contract."""
    cls = plugin.cls
    if cls is None:
        reason = plain(plugin.reason or "it was not imported")
        return [f"Distribution {code(plugin.distribution)}, {plain(plugin.status)}: {reason}.", ""]
    lines: list[str] = []
    for paragraph in text.paragraphs(cls, up=up) or ["Its class has no docstring."]:
        lines += [paragraph, ""]
    imported = f"{cls.__module__.partition('.')[0]}.{cls.__name__}"
    lines += [f"Distribution {code(plugin.distribution)}, class {code(imported)}.{_marks(cls)}", ""]
    hooks = in_order(plugin)
    rows = ((text.reference(hook.name, up=up), _does(hook, up)) for hook in hooks)
    lines += text.table(("hook", "what it does there"), rows) if hooks else ["It implements no hook.", ""]
    lines += _settings(plugin, up)
    offered = services(cls)
    if offered:
        lines += [f"Offers {', '.join(text.reference(one, up=up) for one in offered)} to other plugins.", ""]
    measured, fault = declared(cls)
    if fault:
        lines += [plain(fault), ""]
    if measured:
        lines += text.table(
            ("metric", "unit", "what it counts"), ((code(a), code(b), plain(c)) for a, b, c in measured)
        )
    return lines


def _settings(plugin: Any, up: str) -> list[str]:
    if not plugin.settings:
        return ["There is nothing to set.", ""]
    rows = (
        (
            code(one.name),
            plain(one.type),
            code(one.default) if one.shown == "default" else _NOT_SHOWN[one.shown],
            code(one.environment),
            (text.prose(one.doc, up=up) or "undocumented")
            + (f" ({plain(one.unit, begins=False)})" if one.unit else ""),
        )
        for one in plugin.settings
    )
    return text.table(("setting", "type", "default", "environment", "what for"), rows)


def example(plugin: Any) -> list[str]:
    """The table of a configuration that says what is so without it; settings without such a default as comments."""
    if not plugin.settings:
        return []
    name = plugin.name if plugin.name.replace("-", "").replace("_", "").isalnum() else f'"{plugin.name}"'
    lines = [f"[plugins.{name}]"]
    for one in plugin.settings:
        lines.append(f"# {one.name} = {_toml(one) if one.shown == 'default' else '...'}")
    return [block("\n".join(lines)), ""]


def _toml(setting: Any) -> str:
    """A default as TOML has it; dots for one that it has no form for."""
    try:
        tomllib.loads(f"value = {setting.default}")
    except tomllib.TOMLDecodeError:
        return json.dumps(setting.default) if setting.type == "path" else "..."
    return " ".join(setting.default.split())


def _does(hook: Any, up: str) -> str:
    said = text.first_sentence(hook.method, up=up) or text.first_sentence(getattr(specs, hook.name), up=up)
    return f"{said} ({', '.join(hook.wishes)})" if hook.wishes else said


def _marks(cls: type[Any]) -> str:
    """What the host reads from the class beside its hooks."""
    said = ""
    if _attribute(cls, "observes_only") is True:
        said += " It only looks at requests (`observes_only`): installing it empties no cache."
    if _attribute(cls, "reads_content") is True:
        said += " It is given prompts and answers (`reads_content`)."
    if isinstance(policy := _attribute(cls, "on_failure"), str):
        said += f" A failure of it does: {code(policy)}."
    return said


def _attribute(cls: type[Any], name: str) -> Any:
    return inspect.getattr_static(cls, name, None)
