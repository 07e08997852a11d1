"""The files of a new plugin's package, put together from the parts of ``scaffold/``."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Sequence

import clippy_hookspecs
from attrs import field, frozen
from clippy_hookspecs import POLICIES

from .parts import Module, Setting, hooks_of, import_lines, parts_for

_PROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "{purpose}"
readme = "README.md"
requires-python = ">=3.11"
license = "MIT"
dependencies = ["{contract}"] # it brings attrs
classifiers = ["Typing :: Typed"]

[project.entry-points.clippy]
{name} = "{package}:{cls}"
{commands}
[project.optional-dependencies] # clippy-core is on no index: README.md says how it is installed from a clone
test = ["clippy-core[testing]"] # it brings pytest

[tool.hatch.build.targets.wheel]
packages = ["src/{package}"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["src"]
addopts = ["--import-mode=importlib"]

[tool.ruff]
line-length = 120

[tool.ruff.lint]
select = ["B", "E", "F", "I", "N", "PT", "RET", "RUF", "SIM", "UP", "W"]

[tool.mypy]
strict = true
mypy_path = ["src"]
"""
_COMMANDS = """
[project.entry-points."clippy.commands"] # name, and whose docstring is its help: what lists commands imports nothing
{name} = "{package}:{cls}.register_commands"
"""
_SUITES = {
    "cache": ("CacheContract", "cache", ""),
    "on_error": ("RetryPolicyContract", "retry policy", ""),
    "on_chunk": ("TextFilterContract", "text filter", 'word="secret"'),
    "audit": ("ObserverContract", "observer", ""),
    "observe": ("ObserverContract", "observer", ""),
}
"""By part the contract suite that fits it, what that is of, and the settings with which the plugin does something."""
_SUITE = '''\
class TestContract({suite}):
    """What every {kind} must do; clippy's docs/testing.md says what is proved."""

    def make(self) -> Plugin:
        """A new one for each check."""
        return Plugin({settings})'''
_README = """\
# {distribution}

{purpose}

clippy is on no index. CLONE stands for the folder of a clone of its repository; in an environment where
`clippy` runs already, leave the first line out. `[test]` brings pytest.

```
python -m pip install -e CLONE/hookspecs -e CLONE
python -m pip install -e ".[test]"
python -m pytest
```

Installed beside clippy-core it is active; `clippy plugins list` shows it. `docs/testing.md` of the clone says what the
contract suites prove by which this grades it:

```
python -m pytest --clippy-plugin {name}
```

{settings}

**Failure policy.** {failures} The configuration can say otherwise with `on_failure.{name}`.
"""


@frozen
class Package:
    """A plugin's package by its name: ``shout`` is the distribution clippy-shout with the class Shout."""

    name: str
    hooks: Sequence[str]
    contract: str
    """The requirement on the contract, the package's only one."""
    _parts: dict[str, tuple[Module, Module]] = field(init=False)

    @_parts.default
    def _read(self) -> dict[str, tuple[Module, Module]]:
        ordered = [hook for hook in POLICIES if hook in self.hooks]
        return {part: (Module.read(part), Module.read(f"test_{part}")) for part in parts_for(ordered)}

    @property
    def distribution(self) -> str:
        """As an installer calls it."""
        return f"clippy-{self.name}"

    @property
    def package(self) -> str:
        """As Python calls it."""
        return self.distribution.replace("-", "_")

    @property
    def cls(self) -> str:
        """The class; a name that means something else already gets an end of its own."""
        camel = "".join(word.capitalize() for word in self.name.split("-"))
        taken = {name for _, name in self._imports(0) | self._imports(1)} | set(clippy_hookspecs.__all__)
        return f"{camel}Plugin" if camel in taken | set(dir(builtins)) | set(keyword.kwlist) | {"Trial"} else camel

    @property
    def implemented(self) -> tuple[str, ...]:
        """The hooks that the package implements: those asked for and what belongs to them."""
        found = {hook for part in self._parts for hook in hooks_of(part)}
        return tuple(hook for hook in POLICIES if hook in found)

    def files(self) -> dict[str, str]:
        """The text of each file by its path."""
        about = {"distribution": self.distribution, "package": self.package, "name": self.name, "cls": self.cls}
        purpose = (
            self._purposes()[0] if len(self._parts) == 1 else f"Several hooks of clippy in one plugin, {self.name}."
        )
        commands = _COMMANDS.format(**about) if "register_commands" in self.implemented else ""
        project = _PROJECT.format(**about, contract=self.contract, purpose=purpose.rstrip("."), commands=commands)
        return {
            "pyproject.toml": project,
            "README.md": _README.format(
                **about, purpose=purpose, settings=_table(self._settings()), failures=_failures(self.implemented)
            ),
            f"src/{self.package}/__init__.py": self._named(self._source(purpose)),
            f"src/{self.package}/py.typed": "",
            f"tests/test_{self.package}.py": self._named(self._tests()),
        }

    # --- put together -------------------------------------------------------------------------------------------------

    def _source(self, purpose: str) -> str:
        plugins = [plugin for plugin, _ in self._parts.values()]
        bases = dict.fromkeys(base for plugin in plugins for base in plugin.bases)
        head = f"class Plugin({', '.join(bases)}):" if bases else "class Plugin:"
        fields: dict[str, str] = {}
        methods: dict[str, str] = {}
        for plugin in plugins:
            fields |= plugin.fields()
            methods |= plugin.methods()
        marks = [*plugins[0].marks(), ""] if len(plugins) == 1 and any(plugins[0].marks()) else []
        settings = [text for name, text in fields.items() if not name.startswith("_")]
        kept = [text for name, text in fields.items() if name.startswith("_")]
        body = ["\n".join([*marks, *settings, *kept])] if marks or fields else []
        return "\n".join(
            [
                f'"""{purpose}"""\n',
                f"{import_lines(self._imports(0))}\n\n",
                f"@define(eq=False)\n{head}",
                f"{self._docstring()}\n",
                "\n\n".join([*body, *methods.values()]) + "\n",
            ]
        )

    def _docstring(self) -> str:
        first, *more = self._purposes()
        if not more:
            return f'    """{first}"""'
        listed = "\n".join(f"    * {line[0].lower()}{line[1:].rstrip('.')}" for line in (first, *more))
        return f'    """Does one thing for each of its hooks; keep those that you need.\n\n{listed}\n    """'

    def _tests(self) -> str:
        trial = Module.read("trial")
        bodies = list(dict.fromkeys(text for _, tests in self._parts.values() for text in tests.rest()))
        if (suite := self._suite()) is not None:
            bodies.append(_SUITE.format(suite=suite[0], kind=suite[1], settings=suite[2]))
        wanted = self._imports(1) | {(self.package, "Plugin")}
        if any("trial(" in text for text in bodies):
            wanted |= set(trial.imports())
            bodies = [*trial.rest(), *bodies]
        constants = [text for text in bodies if re.match(r"[A-Z_]+ = ", text)]
        others = [text for text in bodies if text not in constants]
        imports = import_lines(wanted, own=self.package)
        # The class has its own name here, which sorts elsewhere only if there were two from the package.
        parts = [f'"""What {self.distribution} does."""\n', imports, *(["", *constants] if constants else []), "\n"]
        return "\n".join(parts) + "\n" + "\n\n\n".join(others) + "\n"

    def _imports(self, which: int) -> set[tuple[str, str | None]]:
        found = {one for modules in self._parts.values() for one in modules[which].imports()}
        suite = self._suite()
        return found | {("clippy_core.testing", suite[0])} if which and suite is not None else found

    def _suite(self) -> tuple[str, str, str] | None:
        """Suites judge a plugin that does one thing; of several in one not even the kind would be known."""
        return _SUITES.get(next(iter(self._parts))) if len(self._parts) == 1 else None

    def _purposes(self) -> list[str]:
        return [plugin.purpose for plugin, _ in self._parts.values()]

    def _settings(self) -> list[Setting]:
        return [setting for plugin, _ in self._parts.values() for setting in plugin.settings()]

    def _named(self, text: str) -> str:
        return re.sub(r"\bPlugin\b", self.cls, text).replace("plugin-name", self.name)


def _failures(hooks: Sequence[str]) -> str:
    """What happens when one of *hooks* fails, a sentence for each policy."""
    said = []
    for policy, what in (("raise", "ends what was asked with an error that names the plugin"), ("skip", "is skipped")):
        names = [f"`{hook}`" for hook in hooks if POLICIES[hook].on_failure == policy]
        if names:
            said.append(f"A failure in {', '.join(names)} {what}.")
    return " ".join(said)


def _table(settings: Sequence[Setting]) -> str:
    if not settings:
        return "It has no settings."
    rows = [f"| `{setting.name}` | `{_as_toml(setting.default)}` | {setting.doc} |" for setting in settings]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def _as_toml(code: str) -> str:
    """A default as the configuration writes it."""
    words = {"None": "none", "True": "true", "False": "false"}
    return words.get(code, code.replace("'", '"').replace("(", "[").replace(")", "]"))
