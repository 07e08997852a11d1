"""What every plugin must be: made with defaults, documented, opened and closed at will, and nobody's business but its
host's."""

from __future__ import annotations

import ast
import gc
import importlib
import inspect
import os
import signal
import sys
import threading
import time
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import attrs

from ...plugin_check import check_object
from ..faults import Fault
from ..script import Reply, Script
from .base import require, vital
from .bench import Bench
from .plugin_use import PluginUse
from .remains import Remains, listening, state

PICKLES = ("pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle")
_OURS = {"clippy_hookspecs", "clippy_core", "builtins", "attr", "attrs", "typing", "abc", "object"}
SECRET = "sk-prompt-Zq8Zq8Zq8Zq8Zq8Zq8"  # noqa: S105 (made up, to be looked for)


class PluginContract(PluginUse):
    """For every plugin: settings, life, state of its own, no pickles, odd input, cancellation, threads, colours.

    Every check runs with the settings that :meth:`make` gives; those about defaults make the class without any.
    """

    about = "a good citizen: documented, isolated, unimpressed by odd input, cancellable"

    # --- what it is ---------------------------------------------------------------------------------------------------

    @vital
    def test_it_keeps_the_contract(self) -> None:
        """The host's own check finds nothing wrong: an attrs class, marked hooks with right arguments."""
        checked = check_object(self.make())
        faults = [f"{hook} {what}".strip() for hook, what in checked.faults]
        require(not faults, "; ".join(faults))
        require(not checked.warnings, "; ".join(checked.warnings))

    def test_it_works_with_its_defaults(self) -> None:
        """Installed means active: the class is made without settings, and writes nothing while it is made."""
        cls = type(self.make())
        left = set(self.folder.rglob("*"))
        try:
            plugin = cls()
        except Exception as error:
            raise AssertionError(
                f"{cls.__name__}() raised {type(error).__name__}: {error}; give settings defaults"
            ) from error
        new = [str(path.relative_to(self.folder)) for path in set(self.folder.rglob("*")) - left]
        require(not new, f"making it wrote {', '.join(new)}; open files in lifespan")
        bench = self.bench(plugin, Reply("fine"))
        require(bench.chat().error is None, f"with its defaults a plain call fails: {bench.chat().error!r}")

    def test_it_is_documented(self) -> None:
        """The class says in its docstring what it is for, and every setting has a default and a ``doc``."""
        cls: Any = type(self.make())
        own = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
        require(own, f"{cls.__name__} has no docstring; say in a sentence what it is for")
        if not attrs.has(cls):
            return
        fields = [one for one in attrs.fields(cls) if one.init]
        without = [one.alias for one in fields if not one.metadata.get("doc")]
        require(not without, f"no metadata 'doc' says what {', '.join(map(str, without))} is")
        required = [one.alias for one in fields if one.default is attrs.NOTHING]
        require(not required, f"no default for {', '.join(map(str, required))}")

    # --- its life -----------------------------------------------------------------------------------------------------

    @vital
    def test_its_host_opens_and_closes_twice(self) -> None:
        """It works, is closed, works again, and closing twice is closing once; sync and in an event loop."""
        bench = self.bench(script=Reply(echo=True))
        expected = bench.chat("first").outcome
        bench.close()
        bench.close()
        got = bench.chat("first").outcome
        require(got == expected, f"after its host was closed and opened again {expected} became {got}")
        bench.close()
        bench = self.bench(self._anew(), Reply(echo=True))
        for _ in range(2):
            got = bench.run(self._in_loop, bench)
            require(got == expected[0], f"in an event loop {expected[0]!r} became {got!r}")
        self._unblamed(bench, "opening and closing")

    async def _in_loop(self, bench: Bench) -> str:
        from ...client import AsyncClient

        async with bench.host, AsyncClient(bench.host, bench.provider.async_client()) as client:
            response = await client.chat("first")
        await bench.host.aclose()
        return response.text

    def test_nothing_runs_on_after_it_was_closed(self) -> None:
        """No thread is left."""
        before = set(threading.enumerate())
        bench = self.bench(script=Reply(echo=True))
        bench.chat()
        bench.stream()
        bench.close()
        left = self._new_threads(before)
        until = time.monotonic() + 2.0
        while left and time.monotonic() < until:
            left[0].join(0.05)
            left = self._new_threads(before)
        require(not left, f"after closing these threads still run: {', '.join(thread.name for thread in left)}")

    # --- what is its own ----------------------------------------------------------------------------------------------

    @vital
    def test_two_hosts_do_not_touch_each_other(self) -> None:
        """What one plugin sees leaves no trace in another one, in its module or in its class."""
        one, two = self.make(), self.make()
        require(one is not two, "it is made as one and the same object twice")
        busy, idle = self.bench(one, Script(then=_any_fate)), self.bench(two, Reply(echo=True))
        busy.host.open()
        idle.host.open()
        busy.chat("Hello")  # what is made once for all, on first use, is no trace of a request
        gc.collect()
        before, shared = state(two), dict(_shared_state(type(two)))
        for number in range(6):
            busy.chat(f"Hello {number}")
            busy.stream(f"Hello {number}", stop_after=number % 3 or None)
        gc.collect()
        after, shared_after = state(two), dict(_shared_state(type(two)))
        changed = [name for name in shared_after if shared.get(name) != shared_after[name]]
        require(not changed, f"requests of one host changed {', '.join(changed[:3])}, which all hosts share")
        require(before == after, f"requests of one host changed the plugin of another: {_difference(before, after)}")

    @vital
    def test_it_pickles_nothing(self) -> None:
        """Neither its sources, nor what it calls, nor its files: what is read back could be anybody's."""
        cls = type(self.make())
        for where, name in _pickles_named(cls):
            raise AssertionError(f"{where} uses {name}; store JSON")
        with self._watching_pickle() as called, listening() as heard:
            plugin = self._anew()
            bench = self.bench(plugin, Script(then=_any_fate))
            for number in range(4):
                bench.chat(f"Hello {number % 2}")
                bench.stream(f"Hello {number % 2}")
            bench.close()
            remains = Remains(plugin, self.folder, heard)
        require(not called, f"it calls {', '.join(sorted(set(called)))}; store JSON")
        for place, things in remains.places().items():
            pickled = any(_is_pickle(thing.encode("latin-1", "replace")) for thing in things)
            require(not pickled, f"{place} holds a pickle; store JSON")
        for file in self.folder.rglob("*"):
            if file.is_file():
                require(not _is_pickle(file.read_bytes()), f"{file.name} holds a pickle; store JSON")

    def test_it_leaves_the_process_alone(self) -> None:
        """Environment, working directory, signals, warnings, import path and context variables stay as they are."""
        before, context = _process(), copy_context()
        bench = self.bench(script=Script(then=_any_fate))
        for number in range(3):
            bench.chat(f"Hello {number}")
            bench.stream(f"Hello {number}")
        bench.close()
        after = _process()
        changed = [name for name, value in before.items() if after[name] != value]
        require(not changed, f"it changed {', '.join(changed)} of the whole process")
        now = copy_context()
        leaked = [
            variable.name for variable in now if variable not in context or context[variable] is not now[variable]
        ]
        require(not leaked, f"it set the context variable {', '.join(leaked)} and left it so")

    @vital
    def test_no_log_line_has_a_prompt_a_key_or_an_answer(self) -> None:
        """Whatever goes wrong: logs travel further than the program."""
        with listening() as heard:
            script = Script(
                Reply(f"answer {SECRET}"), Fault.status(400, body=f'{{"error": {{"message": "{SECRET}"}}}}'),
                Fault.status(503), [Fault.reset(at_delta=1), Reply(f"answer {SECRET} more")], then=Reply(f"{SECRET}"),
            )  # fmt: skip
            bench = self.bench(script=script)
            for number in range(4):
                bench.chat(f"prompt {number} {SECRET}")
                bench.stream(f"prompt {number} {SECRET}")
                bench.post("/chat/completions", {"model": "m", "messages": [{"role": "user", "content": SECRET}]})
            bench.close()
        for word in (SECRET, "sk-of-the-route", "sk-of-the-caller"):
            lines = [line for line in heard.records if word in line]
            require(not lines, f"a log line has it: {lines[0][:60] if lines else ''}...")

    # --- how the checks are made --------------------------------------------------------------------------------------

    def _new_threads(self, before: set[threading.Thread]) -> list[threading.Thread]:
        new = [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]
        return [thread for thread in new if thread.name not in ("clippy-watchdog", "clippy-portal")]  # the host's own

    @contextmanager
    def _watching_pickle(self) -> Iterator[list[str]]:
        called: list[str] = []
        real = []
        for name, functions in {"pickle": ("dumps", "dump"), "marshal": ("dumps", "dump")}.items():
            module = importlib.import_module(name)
            for function in functions:
                real.append((module, function, getattr(module, function)))
                setattr(module, function, _noting(getattr(module, function), f"{name}.{function}", called))
        try:
            yield called
        finally:
            for module, function, original in real:
                setattr(module, function, original)


def _noting(function: Any, name: str, called: list[str]) -> Any:
    def noted(*arguments: Any, **named: Any) -> Any:
        called.append(name)
        return function(*arguments, **named)

    return noted


def _any_fate(seen: Any) -> Any:
    reply = Reply(f"an answer to {seen.last_user_text}"[:100])
    return [(), (Fault.status(503),), (Fault.reset(at_delta=1),)][seen.number % 3] + (reply,)


def _own_modules(cls: type[Any]) -> list[types.ModuleType]:
    """The modules of a plugin: its package's, or only its own if that is part of something larger."""
    found: dict[str, types.ModuleType] = {}
    for one in cls.__mro__:
        top = one.__module__.partition(".")[0]
        if top in _OURS:
            continue
        whole = top not in {"tests", "__main__", "conftest"} and hasattr(sys.modules.get(top), "__path__")
        for name, module in list(sys.modules.items()):
            if isinstance(module, types.ModuleType) and (
                name == one.__module__ or (whole and name.startswith(f"{top}."))
            ):
                found[name] = module
        if whole and top in sys.modules:
            found[top] = sys.modules[top]
    return list(found.values())


def _is_pickle(content: bytes) -> bool:
    """Whether bytes are a pickle of protocol 2 or newer, or have one of protocol 4 or 5 in them."""
    whole = content[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") and content.strip()[-1:] == b"."
    return whole or b"\x80\x04\x95" in content or b"\x80\x05\x95" in content


def _pickles_named(cls: type[Any]) -> Iterator[tuple[str, str]]:
    """Where the sources of a plugin name a module that pickles: its methods, and all of its package if it has one."""
    for one in cls.__mro__:
        functions = [value for value in vars(one).values() if isinstance(value, types.FunctionType)]
        for function in functions if one.__module__.partition(".")[0] not in _OURS else ():
            for name in function.__code__.co_names:
                value = function.__globals__.get(name)
                home = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
                if home in PICKLES:
                    yield f"{one.__name__}.{function.__name__}", str(home)
    modules = _own_modules(cls)
    for module in modules if any(hasattr(module, "__path__") for module in modules) else ():
        for name in _imports(module):
            if name in PICKLES:
                yield module.__name__, name


def _imports(module: types.ModuleType) -> Iterator[str]:
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def _shared_state(cls: type[Any]) -> Iterator[tuple[str, str]]:
    """What is shared by all plugins of a class: values of its modules and classes, and defaults of its functions."""
    modules = {module.__name__: module for module in _own_modules(cls)}
    for name, module in modules.items():
        for key, value in list(vars(module).items()):
            if not key.startswith("__"):
                yield f"{name}.{key}", _shared(value)
    classes = {one for one in cls.__mro__ if one.__module__ in modules}
    classes |= {
        value for module in modules.values() for value in vars(module).values() if _is_own_class(value, modules)
    }
    for one in classes:
        for key, value in list(vars(one).items()):
            if key not in ("__dict__", "__weakref__", "__doc__", "__attrs_attrs__", "__annotations__", "__module__"):
                yield f"{one.__module__}.{one.__qualname__}.{key}", _shared(value)


def _is_own_class(value: object, modules: dict[str, types.ModuleType]) -> bool:
    return isinstance(value, type) and value.__module__ in modules


def _shared(value: object) -> str:
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        return state([value.__defaults__, value.__kwdefaults__, cells])
    if isinstance(value, (type, types.ModuleType, staticmethod, classmethod, property, types.MemberDescriptorType)):
        return ""
    # What only points to objects that others keep alive holds nothing itself.
    return "" if type(value).__name__.startswith(("WeakSet", "WeakKey", "WeakValue")) else state(value)


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _process() -> dict[str, Any]:
    return {
        "os.environ": dict(os.environ),
        "the working directory": str(os.getcwd()),  # noqa: PTH109
        "the signal handlers": [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)],
        "warnings.filters": list(warnings.filters),
        "sys.path": list(sys.path),
        "sys.excepthook": sys.excepthook,
    }


def _difference(before: str, after: str) -> str:
    lines = set(before.splitlines())
    return next((line[:100] for line in after.splitlines() if line not in lines), "something is gone")
