"""Where the configuration comes from: a file near the working directory, the environment, the program's arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from attrs import define, field

from .config_names import did_you_mean, env_form, near_names
from .config_values import RawText, plain

PREFIX = "CLIPPY_"
# Read elsewhere: which file is read, and what ``clippy run`` hands to the processes it starts.
_OURS = frozenset({"CLIPPY_CONFIG", "CLIPPY_RUN"})
# Rust's linter of the same name reads these (https://github.com/rust-lang/rust-clippy).
_OTHERS = frozenset({"CLIPPY_ARGS", "CLIPPY_CONF_DIR", "CLIPPY_DISABLE_DOCS_LINKS", "CLIPPY_TERMINAL_WIDTH"})
_REFERENCE = re.compile(r"""\benv\b["']?\s*[=:]\s*["'](CLIPPY_\w+)["']""")
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
        reading.faults.append(f"{path.name}: is not valid TOML: {error}{_clash(text)}{_where(path)}")
        return
    except (OSError, UnicodeDecodeError) as error:
        reading.faults.append(f"{path.name}: cannot be read: {error}{_where(path)}")
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


def _where(path: Path) -> str:
    return f" ({path})" if str(path) != path.name else ""


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


def read_environment(
    reading: Reading, environ: Mapping[str, str], names: Names, over: Collection[Setting] = ()
) -> None:
    """Add the settings of CLIPPY_* variables.  Two underscores part a path; a name that is nobody's is a fault.

    Left alone is what ``_OTHERS`` lists, and what the configuration, or *over* (the program's arguments), names by
    ``{env = "CLIPPY_..."}``.
    """
    ours = sorted(name for name in environ if name.startswith(PREFIX) and name not in _OURS | _OTHERS)
    if not ours:
        return
    named = _named((*reading.settings, *over), (environ[name] for name in ours))
    for variable in ours:
        origin, text = f"environment {variable}", RawText(environ[variable])
        parts = variable[len(PREFIX) :].lower().split("__")
        if len(parts) == 1 and (parts[0] == "plugins" or parts[0] in names.host):
            if text.strip():
                reading.add((parts[0],), text, origin)
            continue
        path = _path_of(parts, names) if len(parts) > 1 and all(parts) else _nobodys(parts, names)
        if not isinstance(path, str):
            reading.add(path, text, origin)
        elif variable not in named:
            reading.faults.append(f"{origin}: {path}")


def _named(settings: Iterable[Setting], texts: Iterable[str]) -> set[str]:
    """The variables that the configuration names by ``{env = "NAME"}``, in the file or in a variable's TOML."""
    leaves = {setting.value for setting in settings if setting.path[-1] == "env" and isinstance(setting.value, str)}
    lists = [repr(setting.value) for setting in settings if isinstance(setting.value, list)]
    return leaves.union(*(_REFERENCE.findall(text) for text in (*lists, *texts)))


def _nobodys(parts: list[str], names: Names) -> str:
    """What is wrong with a name that is no setting of the host and no path."""
    name = "_".join(part for part in parts if part)
    if plugin := _meant(name, names.plugins):
        return f"sets nothing; a setting of {plugin} is written {_variable(plugin, name[len(plugin) + 1 :])}"
    known = [_variable(setting) for setting in ("plugins", *names.host)]
    known += [_variable(table, key) for table, keys in names.host.items() for key in keys or ()]
    stripped = {setting.removeprefix(PREFIX): setting for setting in known}  # what all begin with makes all alike
    if near := [stripped[close] for close in near_names(name, stripped)[:1]]:
        return f"sets nothing; did you mean {near[0]}?"
    settings = ", ".join(sorted(_variable(setting) for setting in ("plugins", *names.host)))
    return (
        f"sets nothing; unset it, or write a plugin's setting as {_variable('plugin', 'setting')}; there are {settings}"
    )


def _variable(*path: str) -> str:
    return PREFIX + "__".join(env_form(part).upper() for part in path)


def _meant(name: str, plugins: Collection[str]) -> str | None:
    """The plugin whose setting *name* would be, had it been written with two underscores."""
    name = env_form(name)
    return next((plugin for plugin in sorted(plugins, key=len)[::-1] if name.startswith(f"{env_form(plugin)}_")), None)


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
        return f"names no setting of {rest[0]}; write {_variable(rest[0], 'setting')}"
    plugin = _match(rest[0], names.plugins)
    if plugin is not None:
        return ("plugins", plugin, *rest[1:])
    tables = [] if head == "plugins" else [table for table, keys in names.host.items() if keys is None or keys]
    right = next((name for name in (*names.plugins, *tables) if env_form(name) == env_form(rest[0])), None)
    if right is not None:
        return f"sets nothing; write {_variable(right, *rest[1:])}"
    near = near_names(rest[0], (*names.plugins, *tables))
    hint = f"; did you mean {' or '.join(near)}?" if near else did_you_mean(rest[0], names.plugins, "there are")
    return f"no plugin is called {rest[0].replace('_', '-')}{hint}"


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
