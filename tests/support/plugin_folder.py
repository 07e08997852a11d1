"""A folder on ``sys.path`` into which plugins are installed, from which they are removed, and in which they break."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from clippy_core.installed import rescan

HEADER = """\
from contextlib import asynccontextmanager, contextmanager

from attrs import define, field
from clippy_hookspecs import *
from clippy_hookspecs import hookimpl

"""


@define(eq=False)
class PluginFolder:
    """Distributions of one plugin each: what an installer would put into site-packages."""

    folder: Path
    names: set[str] = field(init=False, factory=set)

    def install(self, name: str, source: str, version: str = "1.0", *, more: dict[str, str] | None = None) -> None:
        """Install, or install over, the plugin *name*: a class ``Plugin`` in a package, with *more* modules."""
        self.names.add(name)
        package = self.package(name)
        package.mkdir(exist_ok=True)
        self.write(name, source)
        for module, text in (more or {}).items():
            (package / f"{module}.py").write_text(textwrap.dedent(text))
        for old in self.folder.glob(f"{name}-*.dist-info"):
            shutil.rmtree(old)
        info = self.folder / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[clippy]\n{name} = folder_{name}:Plugin\n")

    def package(self, name: str) -> Path:
        """Where the plugin's code is."""
        return self.folder / f"folder_{name}"

    def write(self, name: str, source: str) -> None:
        """Overwrite the plugin's code and nothing else."""
        (self.package(name) / "__init__.py").write_text(HEADER + textwrap.dedent(source))

    def remove(self, name: str) -> None:
        """Uninstall it."""
        shutil.rmtree(self.package(name))
        for info in self.folder.glob(f"{name}-*.dist-info"):
            shutil.rmtree(info)


@contextmanager
def plugin_folder(folder: Path) -> Iterator[PluginFolder]:
    """A folder that is on the path inside the block, whose modules are forgotten after it."""
    sys.path.insert(0, str(folder))
    made = PluginFolder(folder)
    try:
        yield made
    finally:
        sys.path.remove(str(folder))
        for module in [one for one in sys.modules if one.startswith("folder_")]:
            del sys.modules[module]
        rescan()
