"""Whether a plugin keeps the contract; each broken rule in a sentence that says what to do.

pluggy alone accepts a misspelt hook, an ``async def`` whose coroutine it takes for the answer, arguments that fail at
the call, and two equal plugins as one; all of this is found here, before anything of the plugin runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import attrs
import pluggy
from attrs import frozen
from clippy_hookspecs import POLICIES, PROJECT, Deprecation, TextFilter, specs

from .config_names import did_you_mean
from .contract_version import CONTRACT

ARGUMENTS = {name: tuple(inspect.signature(getattr(specs, name)).parameters) for name in POLICIES}
"""The arguments of each hook, in their order."""

_INSTEAD = {
    "on_chunk": "it runs for every chunk; move what waits to on_response",
    "observe": "it runs for every event; move what waits to audit or post_attempt",
    "register_services": "it runs while the host is built; move what waits to lifespan",
    "register_commands": "it runs while the command line starts; move what waits into the command",
    "register_routes": "it runs while the gateway starts; move what waits into the handler",
    "lifespan": "it returns a context manager; put @asynccontextmanager below @hookimpl for one that awaits",
}


@frozen
class Implementation:
    """One hook method of a plugin: the hook, the method's name, and where it wants to stand in the onion."""

    hook: str
    method: str
    tryfirst: bool = False
    trylast: bool = False


@frozen
class Checked:
    """What was found: the implementations by hook in calling order, what is broken, and what is only odd.

    A fault is (hook or "", sentence without the plugin's name).  ``deprecated`` is what works now and will not.
    """

    implementations: Mapping[str, Implementation]
    faults: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    deprecated: tuple[str, ...] = ()


@attrs.define(eq=False)
class _Empty:
    """What every plugin is before it is anything of its own."""


_OF_EVERY_PLUGIN = frozenset(dir(_Empty()))
_MARK = f"{PROJECT}_impl"
_MAY_BE_MARKED = (FunctionType, MethodType, classmethod, staticmethod)


class _Manager(pluggy.PluginManager):
    """Asks pluggy about nothing that carries no mark: to be told so takes longer than all the rest of a check."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        if name in _OF_EVERY_PLUGIN:
            return None
        stored = _stored(plugin, name)
        if not isinstance(stored, _MAY_BE_MARKED):
            return None
        marked = hasattr(stored, _MARK) or hasattr(getattr(stored, "__func__", None), _MARK)
        return super().parse_hookimpl_opts(plugin, name) if marked else None


def _stored(plugin: Any, name: str) -> object:
    """What an object or a class has under *name*, as it is stored: only a slot is read, which runs nothing of it."""
    kinds: tuple[Any, ...] = plugin.__mro__ if inspect.isclass(plugin) else type(plugin).__mro__
    stored = next((vars(kind)[name] for kind in kinds if name in vars(kind)), None)
    if kinds[0] is plugin:
        return stored
    try:
        if inspect.ismemberdescriptor(stored):
            return stored.__get__(plugin)
        return object.__getattribute__(plugin, "__dict__").get(name, stored)
    except AttributeError:  # a slot that nothing was put into, or an object of slots alone
        return stored


def new_manager() -> pluggy.PluginManager:
    """A pluggy manager that knows the contract.  It validates and finds; nothing is ever called through it."""
    manager = _Manager(PROJECT)
    manager.add_hookspecs(specs)
    for name, policy in POLICIES.items():
        spec = getattr(manager.hook, name).spec
        spec.argnames = (*spec.argnames, *policy.arguments)
    return manager


def check_class(cls: Any) -> Checked:
    """Check a plugin's class; nothing of it runs."""
    if not inspect.isclass(cls):
        return Checked({}, (("", f"is a {type(cls).__name__}, not a class; name an attrs class as the plugin"),))
    faults = [("", what) for what in _class_faults(cls)]
    found: dict[str, Implementation] = {}
    warnings: list[str] = []
    deprecated: list[str] = []
    for name, options in _marked(cls):
        said = options.get("specname") or name
        hook, sentence = _present(said, cls, name)
        deprecated += sentence
        if hook not in POLICIES:
            if not options.get("optionalhook"):
                hint = did_you_mean(hook, POLICIES, "the hooks are")
                faults.append((hook, f"is marked @hookimpl, but there is no hook of this name{hint}"))
            continue
        faults += [(hook, what) for what in _method_faults(cls, name, hook, options)]
        deprecated += _former_arguments(cls, name, hook)
        if hook in found:
            faults.append((hook, f"is implemented twice, by {found[hook].method} and {name}; make them one method"))
        found[hook] = Implementation(hook, name, bool(options.get("tryfirst")), bool(options.get("trylast")))
    warnings += _unmarked(cls, {one.method for one in found.values()})
    if not found and not faults and not warnings:
        warnings.append("implements no hook; mark its methods with @hookimpl")
    return Checked(found, tuple(faults), tuple(warnings), tuple(deprecated))


def _class_faults(cls: type[Any]) -> Iterator[str]:
    if issubclass(cls, str):
        yield (
            "a name is no plugin; give the plugin itself, as in Host({'retry': Retry()}), "
            "or make the host of the configuration, which finds it by its name: Host.from_config()"
        )
    elif "__attrs_attrs__" not in vars(cls):
        yield f"{cls.__name__} is not an attrs class; put @define(eq=False) above it"
    elif inspect.getattr_static(cls, "__eq__") is not object.__eq__ or inspect.getattr_static(cls, "__hash__") is None:
        yield (
            f"{cls.__name__} compares by value, so two with equal settings would be taken for one; "
            "write @define(eq=False)"
        )
    if issubclass(cls, TextFilter) and cls.filter is TextFilter.filter:
        yield f"{cls.__name__} is a TextFilter without a filter; write filter(self, text, final, ctx)"
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        yield f"{cls.__name__} is abstract; write {missing}"


def _marked(cls: type[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The methods that carry pluggy's mark for this project, with its options; no property is run."""
    manager = _Manager(PROJECT)
    for name in dir(cls):
        options = manager.parse_hookimpl_opts(cls, name)
        if options is not None:
            yield name, dict(options)


def _unmarked(cls: type[Any], marked: set[str]) -> Iterator[str]:
    there = {*dir(cls)} - marked
    for name in POLICIES:
        if name in there and inspect.isfunction(inspect.getattr_static(cls, name, None)):
            yield f"{name} is named like a hook but not marked; put @hookimpl above it, or name it otherwise"


# --- methods ---------------------------------------------------------------------------------------------------------


def _method_faults(cls: type[Any], name: str, hook: str, options: Mapping[str, Any]) -> Iterator[str]:
    if options.get("wrapper") or options.get("hookwrapper"):
        yield (
            "is a pluggy wrapper, which cannot go around work that awaits; write the way in and the way out as two "
            "hooks (pre_request and audit, pre_attempt and post_attempt)"
        )
        return
    if options.get("tryfirst") and options.get("trylast"):
        yield "says tryfirst and trylast; keep one"
    static = inspect.getattr_static(cls, name)
    function = _function(cls, name)
    yield from _kind_faults(function, hook)
    yield from _argument_faults(function, hook, bound=not isinstance(static, staticmethod))


def _function(cls: type[Any], name: str) -> Callable[..., Any]:
    static = inspect.getattr_static(cls, name)
    function: Callable[..., Any] = getattr(static, "__func__", static)
    return function


def _kind_faults(function: Callable[..., Any], hook: str) -> Iterator[str]:
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        manager = "asynccontextmanager" if inspect.isasyncgenfunction(function) else "contextmanager"
        yield (
            f"yields, but has to return a context manager; put @{manager} between @hookimpl and it"
            if hook == "lifespan"
            else "yields, but a hook is called once and returns; replace yield by return"
        )
    elif inspect.iscoroutinefunction(function) and (hook == "lifespan" or not POLICIES[hook].may_await):
        yield f"must be a plain def, not async def ({_INSTEAD[hook]})"


def _argument_faults(function: Callable[..., Any], hook: str, *, bound: bool) -> Iterator[str]:
    known, former = ARGUMENTS[hook], POLICIES[hook].arguments
    allowed = f"its arguments are {', '.join(known)}, or fewer of them"
    parameters = list(inspect.signature(function).parameters.values())
    names = {parameter.name for parameter in parameters}
    if bound:
        if not parameters or parameters[0].name in (*known, *former):
            yield f"has no self; write {hook}(self, {', '.join(known)})"
            return
        parameters = parameters[1:]
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            yield f"takes {stars}{parameter.name}, which stays empty; {allowed}"
        elif parameter.name in former and former[parameter.name].instead in names:
            yield f"takes {former[parameter.name].instead} and its former name {parameter.name}; keep the first"
        elif parameter.name not in known and parameter.name not in former:
            hint = did_you_mean(parameter.name, known)
            yield f"has an argument {parameter.name!r} that this hook does not have{hint}; {allowed}"
        elif parameter.kind is parameter.KEYWORD_ONLY:
            yield f"takes {parameter.name} by keyword only, but hooks are called by position; remove the *"


# --- what is deprecated ----------------------------------------------------------------------------------------------


def _present(hook: str, cls: type[Any], method: str) -> tuple[str, list[str]]:
    """What a hook is called now, and what there is to say about that."""
    present = next((name for name, policy in POLICIES.items() if hook in policy.former), hook)
    told: list[Deprecation] = []
    if present != hook:
        told.append(POLICIES[present].former[hook])
    elif present in POLICIES and (going := POLICIES[present].deprecated):
        told.append(going)
    place = _place(_function(cls, method))
    return present, [said.sentence(f"the hook {hook} ({place})", CONTRACT) for said in told]


def _former_arguments(cls: type[Any], method: str, hook: str) -> Iterator[str]:
    function = _function(cls, method)
    for name in inspect.signature(function).parameters:
        said = POLICIES[hook].arguments.get(name)
        if said is not None:
            yield said.sentence(f"the argument {name} of {hook} ({_place(function)})", CONTRACT)


def _place(function: Callable[..., Any]) -> str:
    """file:line, by which the author finds it."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename.rpartition('/')[2]}:{code.co_firstlineno}" if code else "an unknown place"


# --- objects ---------------------------------------------------------------------------------------------------------


def check_object(plugin: object, checked: Checked | None = None) -> Checked:
    """Check a plugin that was already made, and its class unless that was *checked*; pluggy has the last word."""
    checked = checked or check_class(type(plugin))
    if checked.faults:
        return checked
    said = getattr(plugin, "on_failure", None)
    if said not in (None, "raise", "skip", "disable"):
        return attrs.evolve(checked, faults=(("", f"says on_failure = {said!r}; write raise, skip or disable"),))
    try:
        _register(plugin)
    except (pluggy.PluginValidationError, ValueError, TypeError) as error:
        return attrs.evolve(checked, faults=(("", f"is refused by pluggy: {error}"),))
    return checked


_CHECKED = "the plugin that is checked"
_resting: list[pluggy.PluginManager] = []
"""Managers between two checks, with the contract read and no plugin in them: reading it takes longer than a check."""


def _register(plugin: object) -> None:
    """Let pluggy register *plugin*, in a manager that has no other and afterwards none again.

    One check has it at a time, whichever threads make hosts, without a lock that a fork could leave locked.
    """
    try:
        manager = _resting.pop()
    except IndexError:
        manager = new_manager()
    manager.register(plugin, _CHECKED)
    manager.unregister(plugin, _CHECKED)
    if len(vars(manager.hook)) == len(POLICIES):  # no hook of the plugin's own, nor was it refused: as it was made
        _resting.append(manager)
