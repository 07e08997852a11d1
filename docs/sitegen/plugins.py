"""docs/plugins.md: what the plugins of this repository do, and what can be set, from their classes."""

from __future__ import annotations

import importlib
import inspect
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import attrs
from clippy_hookspecs import POLICIES

from clippy_core.config_names import env_form, type_text
from clippy_core.config_structure import setting_fields
from clippy_core.plugin_check import check_class

from . import text

ROOT = Path(__file__).resolve().parents[2]

INTRODUCTION = """\
What this repository brings, one distribution each. Installed means active: nothing here has to be named anywhere, and
`disable = ["NAME"]` switches a plugin off. A setting stands in the plugin's table (`[plugins.NAME]` of
[the configuration](configuration.md)) or in the environment variable beside it. How to install one, and what it does
when something fails, is in the README of its folder under `plugins/`."""


@attrs.frozen
class FirstParty:
    """One plugin of this repository: its entry name, distribution, purpose and class."""

    name: str
    distribution: str
    description: str
    cls: type[Any]

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks it implements, in calling order."""
        found = check_class(self.cls).implementations
        return tuple(hook for hook in POLICIES if hook in found)

    def method(self, hook: str) -> Any:
        """The method that implements *hook*."""
        return getattr(self.cls, check_class(self.cls).implementations[hook].method)


@cache
def first_party() -> tuple[FirstParty, ...]:
    """The plugins of this repository, a to z."""
    found = []
    for project in sorted(ROOT.glob("plugins/*/pyproject.toml")):
        table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        for name, value in table.get("entry-points", {}).get("clippy", {}).items():  # a library has none
            module, _, cls = value.partition(":")
            loaded = getattr(importlib.import_module(module), cls)
            found.append(FirstParty(name, table["name"], table["description"], loaded))
    return tuple(sorted(found, key=lambda plugin: plugin.name))


def plugins_page() -> str:
    """The page."""
    plugins = first_party()
    overview = text.table(
        ("plugin", "does", "hooks"),
        (
            (
                f"[{one.name}](#{one.name})",
                one.description[0].lower() + one.description[1:],
                ", ".join(text.reference(hook) for hook in one.hooks),
            )
            for one in plugins
        ),
    )
    sections = [line for one in plugins for line in _section(one)]
    return text.page("Plugins", "the plugins' classes", INTRODUCTION, overview, sections)


def _section(plugin: FirstParty) -> list[str]:
    cls = plugin.cls
    lines = [f"## {plugin.name}", ""]
    for block in text.paragraphs(cls):
        lines += [block, ""]
    imported = f"{cls.__module__.partition('.')[0]}.{cls.__name__}"
    lines += [f"Distribution `{plugin.distribution}`, class `{imported}`.{_marks(cls)}", ""]
    lines += text.table(
        ("hook", "what it does there"),
        ((text.reference(hook), text.first_sentence(plugin.method(hook)) or _of_spec(hook)) for hook in plugin.hooks),
    )
    lines += text.table(
        ("setting", "type", "default", "environment", "what for"),
        (
            (
                f"`{field.alias}`",
                type_text(field.type),
                default(field),
                f"`CLIPPY_{env_form(plugin.name).upper()}__{env_form(field.alias or field.name).upper()}`",
                str(field.metadata.get("doc", "")),
            )
            for field in setting_fields(cls)
        ),
    )
    return lines


def _of_spec(hook: str) -> str:
    specs = importlib.import_module("clippy_hookspecs.specs")
    return text.first_sentence(getattr(specs, hook))


def _marks(cls: type[Any]) -> str:
    """What the host reads from the class beside its hooks."""
    said = ""
    if _attribute(cls, "observes_only") is True:
        said += " It only looks at requests (`observes_only`): installing it empties no cache."
    if _attribute(cls, "reads_content") is True:
        said += " It is given prompts and answers (`reads_content`)."
    if isinstance(_attribute(cls, "on_failure"), str):
        said += f" A failure of it does: `{cls.on_failure}`."
    return said


def _attribute(cls: type[Any], name: str) -> Any:
    return inspect.getattr_static(cls, name, None)


def default(field: attrs.Attribute[Any]) -> str:
    """A default as it would stand in a configuration; words where there is none."""
    value: Any = field.default
    if value is attrs.NOTHING:
        return "required"
    if isinstance(value, attrs.Factory):  # type: ignore[arg-type]
        value = value.factory()
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, (tuple, list, set, frozenset)):
        return f"`[{', '.join(map(repr, value))}]`"
    return f"`{value}`" if not isinstance(value, dict) or value else "`{}`"
