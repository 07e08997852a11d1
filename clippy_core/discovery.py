"""From what is installed and configured to plugins that work: found, checked, made, or set aside with a reason.

A broken plugin takes nothing down.  It is quarantined; only if the configuration names it, start-up fails with its
reason (:attr:`Discovered.faults`).
"""

from __future__ import annotations

import inspect
import logging
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import attrs
from attrs import evolve, field, frozen
from clippy_hookspecs import POLICIES, ConfigError
from clippy_hookspecs.deprecation import name_uses

from . import imports
from .admission import Verdict, let_in
from .config import Config, Order
from .config_names import did_you_mean, near_names
from .config_routes import unknown_routes
from .contract_version import core_fault
from .deprecations import first_time
from .installed import Found, rescan, scan
from .plugin_names import entry_of, names_of

log = logging.getLogger("clippy")

if TYPE_CHECKING:
    from .plugin_check import Checked, Implementation  # a host without plugins has nothing to check

__all__ = ["Discovered", "Found", "Plugin", "discover", "keeping", "ordered", "rescan", "scan"]


@frozen
class Plugin:
    """What became of one plugin.

    ``object`` is the instance when ``status`` is *loaded*, else None; ``reason`` says in a sentence why it is not, and
    ``traceback`` how.  ``cls`` is its class, also where no instance could be made of it, None where it was not
    imported.  ``warnings`` do not keep it from working; ``deprecated`` is what will.  ``idle`` is the plugin's own word
    on why it has nothing to do: it then takes no part in requests.
    """

    name: str
    distribution: str = ""
    version: str = ""
    object: Any = None
    cls: Any = None
    implementations: Mapping[str, Implementation] = field(factory=dict, repr=False)
    status: Literal["loaded", "disabled", "quarantined"] = "loaded"
    reason: str = ""
    traceback: str = field(default="", repr=False)
    warnings: tuple[str, ...] = ()
    deprecated: tuple[str, ...] = ()
    idle: str = ""

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks it implements, in calling order."""
        return tuple(name for name in POLICIES if name in self.implementations)

    def method(self, hook: str) -> Callable[..., Any]:
        """The bound method that implements *hook*."""
        method: Callable[..., Any] = getattr(self.object, self.implementations[hook].method)
        return method

    def sentence(self, hook: str, what: str) -> str:
        """*what* is to be said, with the names of plugin, version and hook before it."""
        label = " ".join(part for part in ("plugin", self.name, self.version) if part)
        return f"{label}: {hook} {what}" if hook else f"{label}: {what}"


@frozen
class Discovered:
    """All plugins by name, whatever became of them, and the faults for which the host may not start."""

    plugins: tuple[Plugin, ...]
    faults: tuple[str, ...] = ()
    order: Order = field(factory=Order)
    overrides: Mapping[str, str] = field(factory=dict)

    @property
    def loaded(self) -> tuple[Plugin, ...]:
        """The plugins that work, a to z."""
        return tuple(plugin for plugin in self.plugins if plugin.status == "loaded")

    def chain(self, hook: str) -> tuple[Plugin, ...]:
        """The plugins that implement *hook*, outermost first."""
        return ordered(self.loaded, hook, self.order)

    def log(self, deprecated: Sequence[str] = (), before: Discovered | None = None) -> None:
        """Say what was set aside, what is odd, and once in a process what is deprecated, these sentences included.

        What was said of the plugins *before* is not said again.
        """
        said = {line for plugin in before.plugins for line in _oddities(plugin)} if before is not None else set()
        for line in (line for plugin in self.plugins for line in _oddities(plugin) if line not in said):
            log.warning("%s", line)
        for sentence in (*deprecated, *(what for plugin in self.plugins for what in plugin.deprecated)):
            if first_time(sentence):
                log.warning("%s", sentence)

    def on_failure(self, plugin: Plugin) -> str | None:
        """What the configuration, or else the plugin itself, says about its failures; None leaves it to the hook."""
        said = self.overrides.get(plugin.name) or getattr(plugin.object, "on_failure", None)
        return said if isinstance(said, str) else None


def _oddities(plugin: Plugin) -> tuple[str, ...]:
    if plugin.status != "quarantined":
        return plugin.warnings
    what = "the program runs without it; name it in the configuration if it must not"
    return (f"{plugin.reason} ({what})", *plugin.warnings)


def keeping(before: Discovered, now: Discovered) -> Discovered:
    """*now*, with the objects of *before* for the plugins whose class and settings are the same.

    What such a plugin knows and holds open stays.
    """
    were = {plugin.name: plugin.object for plugin in before.loaded}
    plugins = tuple(
        evolve(plugin, object=were[plugin.name])
        if plugin.status == "loaded" and plugin.name in were and _same(were[plugin.name], plugin.object)
        else plugin
        for plugin in now.plugins
    )
    return evolve(now, plugins=plugins)


def _same(one: object, other: object) -> bool:
    if type(one) is not type(other):
        return False
    settings = [attribute.name for attribute in attrs.fields(cast("Any", type(one))) if attribute.init]
    pairs = [(getattr(one, name), getattr(other, name)) for name in settings]
    try:
        return all(was is now or was == now for was, now in pairs)
    except Exception:  # what cannot be compared, as arrays, may have changed
        return False


def ordered(plugins: Sequence[Plugin], hook: str, order: Order) -> tuple[Plugin, ...]:
    """The plugins that implement *hook*, outermost first.

    First those that the user's order names, in that order; then what says tryfirst, the others, and what says trylast,
    each a to z.  A name that stands there twice counts once.
    """
    named = order.of(hook)

    def place(plugin: Plugin) -> tuple[int, int, str]:
        if plugin.name in named:
            return 0, named.index(plugin.name), ""
        wish = plugin.implementations[hook]
        return 1, wish.trylast - wish.tryfirst, plugin.name

    return tuple(sorted((plugin for plugin in plugins if hook in plugin.implementations), key=place))


def discover(
    config: Config,
    given: Mapping[str, object] | Sequence[object] | None = None,
    *,
    found: Sequence[Found] | None = None,
    load: Callable[[Any], Any] | None = None,
) -> Discovered:
    """The plugins of one host.

    *given* are the program's own, by name or with the name they are installed under; they stand instead of the
    installed ones, and the allow and disable lists do not concern them.  A class among them is made with its table's
    settings.  *found* are the installed ones, by default :func:`~clippy_core.installed.scan`; *load* imports them.
    Nothing is raised for a plugin's sake; ``faults`` has what the host must not start with.
    """
    if found is None:  # a scan takes longer than the rest of a host that asks nothing of it
        found = scan() if given is None or given or _names_plugins(config) else ()
    installed = tuple(found)
    plugins: list[Plugin] = []
    faults: list[str] = []
    if given is not None:
        named = names_of(given, installed)
        counts = Counter(name for name, _ in named)
        for name, one in named:
            plugin, wrong_settings = _from_program(name, one, config, installed, counts[name])
            plugins.append(plugin)
            if plugin.status == "quarantined":
                faults += wrong_settings or [plugin.reason]
    else:
        verdicts, faults, shut = let_in(installed, config)
        contract = core_fault()
        faults += [contract] if contract else []
        told: list[tuple[str, list[str]]] = []
        for verdict in verdicts:
            plugin, wrong_settings = _from_entry_point(verdict, config, load)
            plugins.append(plugin)
            said_by = _named_by(plugin.name, config)
            if plugin.status == "quarantined" and said_by and not shut:
                told.append((plugin.name, wrong_settings or [f"{plugin.reason} (named by {said_by})"]))
        # Of two distributions under one name the lock may have let in one, and then the name is served.
        loaded = {plugin.name for plugin in plugins if plugin.status == "loaded"}
        faults += [what for name, some in told if name not in loaded for what in some]
    faults += _unknown_names(config, {one.name for one in installed} | {plugin.name for plugin in plugins})
    plugins.sort(key=lambda plugin: (plugin.name, plugin.distribution))
    # A fault of two distributions under one name is one fault.
    return Discovered(tuple(plugins), tuple(dict.fromkeys(faults)), config.host.order, config.host.on_failure)


def _names_plugins(config: Config) -> bool:
    """Whether the configuration names any plugin."""
    host = config.host
    return bool(config.tables or host.allow or host.disable or host.order != Order() or host.on_failure)


def _named_by(name: str, config: Config) -> str:
    """The source that names a plugin: its table, or the allow list; "" if none does."""
    if name in config.tables:
        return config.origin(f"plugins.{name}")
    allow = config.host.allow
    return config.origin("allow") if isinstance(allow, tuple) and name in allow else ""


def _unknown_names(config: Config, known: set[str]) -> list[str]:
    """Names in the configuration that no plugin has.

    One that is only disabled may be gone; but a name so near to an installed one is a slip that leaves that one active.
    """
    host = config.host
    if host.allow == "off":
        return []
    wanted = [(f"plugins.{name}", name) for name in config.tables]
    wanted += [("allow", name) for name in host.allow or ()]
    wanted += [("order.default", name) for name in host.order.default]
    wanted += [(f"order.{hook}", name) for hook, names in host.order.hooks.items() for name in names]
    wanted += [("on_failure", name) for name in host.on_failure if name not in config.tables]
    wanted += [("disable", name) for name in host.disable if near_names(name, known)]
    return [
        f"{config.origin(path)}: {path}: no plugin called {name} is installed{did_you_mean(name, known, 'there are')}"
        for path, name in wanted
        if name not in known
    ]


# --- installed plugins -----------------------------------------------------------------------------------------------


def _from_entry_point(verdict: Verdict, config: Config, load: Callable[[Any], Any] | None) -> tuple[Plugin, list[str]]:
    found = verdict.found
    plugin = Plugin(found.name, found.distribution, found.version, status="disabled")
    if verdict.status == "disabled":
        return evolve(plugin, reason=verdict.reason), []
    if verdict.status == "quarantined":
        return _quarantine(plugin, "", verdict.reason), []
    try:
        cls = (load or imports.load)(found.entry_point)
    except (Exception, SystemExit) as error:
        what = f"cannot be imported from {found.entry_point.value!r}: {_said(error)}; reinstall {found.distribution}"
        return _quarantine(plugin, "", f"{what}, or disable the plugin", error), []
    plugin = evolve(plugin, deprecated=tuple(plugin.sentence("", use) for use in _former_names(found.module)))
    return _looked_at(plugin, lambda: _make(plugin, cls, config))


def _former_names(module: str) -> list[str]:
    """What a plugin's package uses of the contract under former names, as far as importing it showed."""
    above = sys.modules.get(module.rpartition(".")[0])
    package = above.__name__ if above is not None and getattr(above, "__file__", None) else module
    return [use.sentence for use in name_uses(package)]


def _looked_at(plugin: Plugin, look: Callable[[], tuple[Plugin, list[str]]]) -> tuple[Plugin, list[str]]:
    """What *look* makes of a plugin; if its class raises wherever it is asked for anything, it is quarantined."""
    try:
        return look()
    except (Exception, SystemExit) as error:
        what = f"its class cannot be looked at: {_said(error)}; see its metaclass and its descriptors"
        return _quarantine(plugin, "", what, error), []


def _make(plugin: Plugin, cls: Any, config: Config) -> tuple[Plugin, list[str]]:
    """The plugin with its instance, made of the class and its table, or quarantined; faults of the table apart."""
    from .config_structure import setting_fields
    from .plugin_check import check_class

    checked = check_class(cls)
    if checked.faults:
        return _broken(plugin, checked), []
    plugin = evolve(plugin, cls=cls)
    try:
        setting_fields(cls)
    except Exception as error:
        what = f"the types of its settings cannot be read: {_said(error)}; import them outside of TYPE_CHECKING"
        return _quarantine(plugin, "", what, error), []
    try:
        instance = config.structure(cls, plugin.name)
    except ConfigError as error:
        faults = [*error.faults, *unknown_routes(cls, config.table(plugin.name), plugin.name, config)]
        return _quarantine(plugin, "", f"its settings are wrong: {'; '.join(faults)}"), faults
    except Exception as error:
        what = f"{cls.__name__} raised while it was made: {_said(error)}; open files and connections in lifespan"
        return _quarantine(plugin, "", what, error), []
    if unknown := unknown_routes(cls, instance, plugin.name, config):
        return _quarantine(plugin, "", f"its settings are wrong: {'; '.join(unknown)}"), unknown
    said = config.deprecated_settings(cls, plugin.name, plugin.distribution or plugin.name)
    plugin = evolve(plugin, deprecated=(*plugin.deprecated, *(plugin.sentence("", what) for what in said)))
    return _checked_object(plugin, instance, checked), []


def _checked_object(plugin: Plugin, instance: object, checked: Checked | None = None) -> Plugin:
    from .plugin_check import check_object

    checked = check_object(instance, checked)
    if checked.faults:
        return _broken(plugin, checked)
    warnings = tuple(plugin.sentence("", warning) for warning in checked.warnings)
    deprecated = (*plugin.deprecated, *(plugin.sentence("", what) for what in checked.deprecated))
    plugin = evolve(plugin, warnings=warnings, deprecated=deprecated)
    try:
        idle = instance.idle if hasattr(type(instance), "idle") else ""  # type: ignore[attr-defined]
    except Exception as error:
        return _quarantine(plugin, "", f"its property idle raised: {_said(error)}", error)
    found, idle = checked.implementations, idle if isinstance(idle, str) else ""
    if idle:  # its commands may be what it is configured with
        found = {hook: one for hook, one in found.items() if hook == "register_commands"}
    return evolve(plugin, object=instance, implementations=found, status="loaded", idle=idle)


def _broken(plugin: Plugin, checked: Checked) -> Plugin:
    (hook, what), *more = checked.faults
    also = "".join(f"; {hook} {what}" if hook else f"; {what}" for hook, what in more)
    return _quarantine(evolve(plugin, implementations=checked.implementations), hook, what + also)


def _quarantine(plugin: Plugin, hook: str, what: str, error: BaseException | None = None) -> Plugin:
    text = "".join(traceback.format_exception(error)) if error is not None else ""
    return evolve(plugin, status="quarantined", reason=plugin.sentence(hook, what), traceback=text)


def _said(error: BaseException) -> str:
    """An exception on one line, ``ImportError: no module named x``."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")


# --- plugins of the program ------------------------------------------------------------------------------------------


def _from_program(
    name: str, given: object, config: Config, installed: Sequence[Found], same_name: int
) -> tuple[Plugin, list[str]]:
    entry = entry_of(given if inspect.isclass(given) else type(given), installed)
    plugin = Plugin(name, entry.distribution if entry else "", entry.version if entry else "")
    if same_name > 1 and not isinstance(given, str):  # a name is no plugin, which is said below
        what = f"the program gives {same_name} plugins of this name; give them as a mapping, each with its own name"
        return _quarantine(plugin, "", what), []
    if inspect.isclass(given):
        return _looked_at(plugin, lambda: _make(plugin, given, config))
    return _looked_at(plugin, lambda: (_checked_object(evolve(plugin, cls=type(given)), given), []))
