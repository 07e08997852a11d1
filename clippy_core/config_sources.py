"""Where the configuration comes from: a file near the working directory, the environment, the program's arguments."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from attrs import define, field

from .config_names import did_you_mean, env_form
from .config_values import RawText, plain

PREFIX = "CLIPPY_"
_REPOSITORY = (".git", ".hg", ".svn", ".jj")

Tree = dict[str, Any]
_INSTEAD: dict[tuple[str, ...], tuple[str, ...]] = {("plugins",): ("allow",), ("order",): ("order", "default")}


class Setting(NamedTuple):
    """One value, where it belongs, and which source said it."""

    path: tuple[str, ...]
    value: Any
    origin: str


@define(eq=False)
class Reading:
    """What was read: settings in rising precedence, and what is wrong with the sources themselves."""

    settings: list[Setting] = field(factory=list)
    faults: list[str] = field(factory=list)
    file: Path | None = None

    def add(self, path: tuple[str, ...], value: Any, origin: str) -> None:
        """Add one setting.  A ``plugins`` that is no table is the allow list, an ``order`` that is none the default."""
        if not isinstance(plain(value), Mapping):
            path = _INSTEAD.get(path, path)
        self.settings.append(Setting(path, value, origin))

    def add_table(self, table: Mapping[str, Any], origin: str) -> None:
        """Add a whole table, leaf by leaf."""
        for path, value in _leaves(table):
            self.add(path, value, origin)


def _leaves(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        path = (*above, str(key))
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, path)
        else:
            yield path, value


# --- the file --------------------------------------------------------------------------------------------------------


def read_file(
    reading: Reading, path: str | os.PathLike[str] | None, environ: Mapping[str, str], cwd: Path | None
) -> None:
    """Add the file's settings: the one named by *path* or CLIPPY_CONFIG, else the nearest from *cwd* upwards."""
    if path is not None:
        _read_named(reading, Path(path), "argument")
    elif named := environ.get("CLIPPY_CONFIG"):
        _read_named(reading, Path(named), "CLIPPY_CONFIG")
    else:
        for folder in _upwards(cwd):
            file, project = folder / "clippy.toml", folder / "pyproject.toml"
            if _is_file(file):
                return _read(reading, file, required=True)
            if _is_file(project) and _mentions_us(project):
                _read(reading, project, required=False)
                if reading.file is not None or reading.faults:
                    return None
    return None


def _read_named(reading: Reading, path: Path, said_by: str) -> None:
    path = path.expanduser()
    if _is_file(path):
        _read(reading, path, required=True)
    else:
        reading.faults.append(f"{path}: there is no such file; the {said_by} names it as the configuration")


def _is_file(path: Path) -> bool:
    """Whether there is a file that we may see; ``Path.is_file`` raises for folders that may not be entered."""
    return os.path.isfile(path)  # noqa: PTH113


def _upwards(cwd: Path | None) -> Iterator[Path]:
    """*cwd* and the folders above it, up to the repository's root or the home directory.

    The walk does not enter a folder that everybody may write to (as /tmp): a stranger's file there could send a
    program's requests, and its keys, elsewhere.
    """
    try:
        home: Path | None = Path.home().resolve()
    except RuntimeError:
        home = None
    try:
        start = (cwd or Path.cwd()).resolve()
    except FileNotFoundError:  # the working directory was deleted
        return
    for folder in (start, *start.parents):
        if folder != start and os.name == "posix" and folder.stat().st_mode & 0o002:
            return
        yield folder
        if folder == home or any(os.path.exists(folder / mark) for mark in _REPOSITORY):  # noqa: PTH110  (as above)
            return


def _mentions_us(project: Path) -> bool:
    """Whether a broken or foreign pyproject.toml need not concern us."""
    try:
        return b"clippy" in project.read_bytes()
    except OSError:
        return False


def _read(reading: Reading, path: Path, *, required: bool) -> None:
    import tomllib  # most programs have neither file nor variables of ours

    text = ""
    try:
        text = path.read_text(encoding="utf-8-sig")
        table: Any = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reading.faults.append(f"{path.name}: is not valid TOML: {error}{_clash(text)} ({path})")
        return
    except (OSError, UnicodeDecodeError) as error:
        reading.faults.append(f"{path.name}: cannot be read: {error} ({path})")
        return
    origin = path.name
    if path.name == "pyproject.toml":
        origin = "pyproject.toml [tool.clippy]"
        tool = table.get("tool")
        table = tool.get("clippy") if isinstance(tool, Mapping) else None
        if table is None and not required:
            return
    if not isinstance(table, Mapping):
        reading.faults.append(f"{origin}: there is no such table in {path}")
        return
    reading.file = path
    reading.add_table(table, origin)


def _clash(text: str) -> str:
    """What to do about a name that stands there as a list and as a table, which TOML does not allow."""
    lines = [line.strip() for line in text.splitlines()]
    for name, instead in (("plugins", "allow = [...]"), ("order", "[order] with default = [...]")):
        listed = any(line.startswith(name) and line[len(name) :].lstrip().startswith("=") for line in lines)
        table = any(line.startswith((f"[{name}]", f"[{name}.", f"{name}.")) for line in lines)
        if listed and table:
            return f"; {name} cannot be a list and a table: beside the table write {instead}"
    return ""


# --- the environment -------------------------------------------------------------------------------------------------


class Names(NamedTuple):
    """What the environment's names may mean: the host's settings (tables with their keys, None if any) and plugins."""

    host: Mapping[str, Collection[str] | None]
    plugins: Collection[str]
    routes: Collection[str] = ()


def read_environment(reading: Reading, environ: Mapping[str, str], names: Names) -> None:
    """Add the settings of CLIPPY_* variables.  Two underscores part a path; what is none of ours is left alone."""
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable == "CLIPPY_CONFIG":
            continue
        origin, text = f"environment {variable}", RawText(environ[variable])
        parts = variable[len(PREFIX) :].lower().split("__")
        if len(parts) == 1:
            if (parts[0] == "plugins" or parts[0] in names.host) and text.strip():
                reading.add((parts[0],), text, origin)
            elif plugin := _meant(parts[0], names.plugins):
                right = f"{PREFIX}{env_form(plugin).upper()}__{parts[0][len(plugin) + 1 :].upper()}"
                reading.faults.append(f"{origin}: sets nothing; a setting of {plugin} is written {right}")
        elif all(parts):
            path = _path_of(parts, names)
            if isinstance(path, str):
                reading.faults.append(f"{origin}: {path}")
            else:
                reading.add(path, text, origin)


def _meant(name: str, plugins: Collection[str]) -> str | None:
    """The plugin whose setting *name* would be, had it been written with two underscores."""
    return next((plugin for plugin in plugins if name.startswith(f"{env_form(plugin)}_")), None)


def _path_of(parts: list[str], names: Names) -> tuple[str, ...] | str:
    """The path that a variable's parts mean, or what is wrong with them.

    The host's own tables come before plugins of the same name; ``CLIPPY_PLUGINS__NAME__KEY`` means the plugin.
    """
    head, *rest = parts
    if head != "plugins":
        keys = names.host.get(head, ())
        plugin = _match(head, names.plugins)
        if keys is None or rest[0] in keys or (head in names.host and plugin is None):
            return (head, *_in_host_table(head, rest, names))
        rest = parts
    if len(rest) < 2:
        return f"names no setting of {rest[0]}; write {PREFIX}{rest[0].upper()}__SETTING"
    plugin = _match(rest[0], names.plugins)
    if plugin is None:
        hint = did_you_mean(rest[0], names.plugins, "there are")
        return f"no plugin is called {rest[0].replace('_', '-')}{hint}"
    return ("plugins", plugin, *rest[1:])


def _in_host_table(head: str, rest: list[str], names: Names) -> tuple[str, ...]:
    """The keys below a host table: names of routes and plugins have their hyphens back."""
    known = {"routes": names.routes, "on_failure": names.plugins}.get(head)
    if known is None:
        return tuple(rest)
    return (_match(rest[0], known) or rest[0].replace("_", "-"), *rest[1:])


def _match(name: str, known: Collection[str]) -> str | None:
    return next((candidate for candidate in sorted(known) if env_form(candidate) == name), None)


# --- together --------------------------------------------------------------------------------------------------------


def merge(settings: list[Setting]) -> tuple[Tree, dict[tuple[str, ...], str]]:
    """One tree from settings in rising precedence, and who set each of its leaves."""
    tree: Tree = {}
    origins: dict[tuple[str, ...], str] = {}
    for setting in settings:
        above = tree
        for key in setting.path[:-1]:
            below = above.get(key)
            if not isinstance(below, dict):
                below = above[key] = {}
            above = below
        if setting.value == {} and isinstance(above.get(setting.path[-1]), dict):
            continue  # an empty table takes nothing away
        above[setting.path[-1]] = setting.value
        # What it replaces, below it or above it, is nobody's any more.
        gone = [path for path in origins if _covers(path, setting.path) or _covers(setting.path, path)]
        for path in gone:
            del origins[path]
        origins[setting.path] = setting.origin
    return tree, origins


def _covers(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return other[: len(one)] == one
