"""Plugins: found without being imported, checked before they run, and set aside with a reason when they are broken."""

from __future__ import annotations

import functools
import importlib
import itertools
import logging
import sys
import textwrap
import weakref
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import MethodType
from typing import Any

import importlib_metadata
import pluggy
import pytest
from attrs import define, field
from clippy_hookspecs import POLICIES, ConfigError, TextFilter, hookimpl
from hypothesis import given, settings
from hypothesis import strategies as st

from clippy_core import Host
from clippy_core.config import Config, Order, read_config
from clippy_core.contract_version import mismatch
from clippy_core.discovery import Discovered, Found, Plugin, discover, ordered, rescan, scan
from clippy_core.plugin_check import ARGUMENTS, Implementation, check_class, check_object, new_manager
from clippy_core.plugin_names import kebab

NUMBERS = itertools.count()
GOOD = """
    @define(eq=False)
    class Plugin:
        ttl: float = 1.0

        @hookimpl
        def pre_request(self, request, ctx):
            return None
"""


class Site:
    """A folder on sys.path that distributions are put into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.distributions: set[str] = set()
        self.modules: list[str] = []

    def add(
        self,
        name: str,
        source: str = GOOD,
        *,
        value: str = "",
        version: str = "1.2",
        requires: str = "",
        distribution: str = "",
    ) -> str:
        """Install a distribution with one plugin; its module is written with the usual imports."""
        module = f"temporary_plugin_{next(NUMBERS)}"
        header = "from attrs import define, field\nimport pluggy\nfrom clippy_hookspecs import hookimpl, TextFilter\n"
        (self.folder / f"{module}.py").write_text(header + textwrap.dedent(source))
        distribution = distribution or f"temporary-{name}"
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata + (f"Requires-Dist: {requires}\n" if requires else ""))
        (info / "entry_points.txt").write_text(f"[clippy]\n{name} = {value or module + ':Plugin'}\n")
        self.distributions.add(distribution)
        self.modules.append(module)
        return module

    def found(self) -> list[Found]:
        """What a scan finds of this folder."""
        importlib.invalidate_caches()
        importlib_metadata.MetadataPathFinder.invalidate_caches()
        return [one for one in rescan() if one.distribution in self.distributions]

    def discover(self, environ: dict[str, str] | None = None, **settings: Any) -> Discovered:
        found = self.found()
        return discover(configured(found, environ, **settings), found=found)


def configured(found: list[Found], environ: dict[str, str] | None = None, **settings: Any) -> Config:
    config = read_config(None, environ or {}, settings, cwd=Path(__file__).parent, known=[one.name for one in found])
    assert config.faults == ()
    return config


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    site = Site(tmp_path)
    yield site
    for module in site.modules:
        sys.modules.pop(module, None)
    monkeypatch.undo()
    rescan()


def only(discovered: Discovered) -> Plugin:
    assert len(discovered.plugins) == 1
    return discovered.plugins[0]


# --- finding ---------------------------------------------------------------------------------------------------------


def test_installed_plugins_are_found_by_name_and_not_imported(site: Site) -> None:
    """Distribution and version come from the metadata; a listing runs no plugin's code."""
    module = site.add("b", requires="clippy-hookspecs>=0.1")
    site.add("a", version="3.0rc1")
    first, second = site.found()
    assert (first.name, first.distribution, first.version) == ("a", "temporary-a", "3.0rc1")
    assert (second.name, second.requires) == ("b", ("clippy-hookspecs>=0.1",))
    assert module not in sys.modules


def test_a_scan_happens_once_until_it_is_asked_for_again(site: Site) -> None:
    """Reading the metadata of every distribution costs as much as importing an HTTP client."""
    site.add("a")
    site.found()
    before = scan()
    site.add("b")
    assert before is scan()
    assert {one.name for one in site.found()} == {"a", "b"}


def test_broken_metadata_of_a_stranger_hides_nobody(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """One unreadable entry_points.txt anywhere makes the whole listing of importlib.metadata fail."""
    site.add("good")
    for name, content in (("novalue", b"[clippy]\nnovalue\n"), ("bytes", b"[clippy]\na = b\xff\n")):
        info = site.folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_bytes(content)
    with caplog.at_level(logging.WARNING, "clippy"):
        assert [one.name for one in site.found()] == ["good"]
    assert "passing over a distribution" in caplog.text


def test_a_distribution_without_metadata_still_has_its_plugin(site: Site) -> None:
    """Its version is unknown, and that is all."""
    site.add("a")
    (site.folder / "temporary_a-1.2.dist-info" / "METADATA").unlink()
    site.distributions.add("unknown")
    site.distributions.add("temporary-a")
    (found,) = (one for one in site.found() if one.name == "a")
    assert found.version == "unknown"
    assert only(discover(configured([found]), found=[found])).status == "loaded"


# --- loading ---------------------------------------------------------------------------------------------------------


def test_an_installed_plugin_is_active_with_its_settings(site: Site) -> None:
    """Entry point to class to instance, filled from its table."""
    site.add("good")
    plugin = only(site.discover(plugins={"good": {"ttl": 5}}))
    assert (plugin.status, plugin.reason, plugin.version, plugin.hooks) == ("loaded", "", "1.2", ("pre_request",))
    assert plugin.object.ttl == 5.0
    assert plugin.method("pre_request") == plugin.object.pre_request


BROKEN = {
    "import": ("import nothing_of_this_name", "cannot be imported from", "No module named 'nothing_of_this_name'"),
    "syntax": ("def (:", "cannot be imported from", "SyntaxError"),
    "exit": ("raise SystemExit(3)", "cannot be imported from", "SystemExit: 3"),
    "absent": ("class Other: pass", "cannot be imported from", "AttributeError"),
    "instance": ("Plugin = 3", "is a int, not a class", "attrs class"),
    "plain": ("class Plugin: pass", "is not an attrs class", "@define(eq=False)"),
    "inherits": (
        "@define(eq=False)\nclass A: pass\nclass Plugin(A): pass",
        "is not an attrs class",
        "@define(eq=False)",
    ),
    "equal": ("@define\nclass Plugin: pass", "compares by value", "@define(eq=False)"),
    "types": (
        "@define(eq=False)\nclass Plugin:\n    a: 'Nowhere' = 1",
        "the types of its settings cannot be read",
        "TYPE_CHECKING",
    ),
    "constructor": (
        "@define(eq=False)\nclass Plugin:\n    def __attrs_post_init__(self): raise OSError('disk full')",
        "raised while it was made: OSError: disk full",
        "lifespan",
    ),
    "filter": ("@define(eq=False)\nclass Plugin(TextFilter): pass", "without a filter", "write filter"),
    "failure": (
        "@define(eq=False)\nclass Plugin:\n    on_failure: str = 'never'",
        "says on_failure = 'never'",
        "write raise, skip or disable",
    ),
}


IDLE = """
    @define(eq=False)
    class Plugin:
        url: str = ""

        @property
        def idle(self):
            return None if self.url else "no url is set"

        @hookimpl
        def pre_request(self, request, ctx):
            return None

        @hookimpl
        def register_commands(self, cli):
            return None
"""


def test_a_plugin_that_says_it_is_idle_takes_no_part_but_keeps_its_commands(site: Site) -> None:
    site.add("waiting", IDLE)
    plugin = only(site.discover())
    assert (plugin.status, plugin.idle, plugin.hooks) == ("loaded", "no url is set", ("register_commands",))
    plugin = only(site.discover(plugins={"waiting": {"url": "http://x.test"}}))
    assert (plugin.idle, plugin.hooks) == ("", ("register_commands", "pre_request"))


def test_a_plugin_that_cannot_say_whether_it_is_idle_is_set_aside(site: Site) -> None:
    site.add("broken", IDLE.replace("if self.url", "if self.nothing"))
    broken = only(site.discover())
    assert broken.status == "quarantined"
    assert "its property idle raised: AttributeError" in broken.reason


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_set_aside_with_a_reason_and_takes_nobody_down(site: Site, kind: str) -> None:
    """The sentence names plugin and version, says what is wrong and what to do; the others work."""
    source, wrong, remedy = BROKEN[kind]
    site.add("broken", source)
    site.add("good")
    discovered = site.discover()
    broken, good = discovered.plugins
    assert broken.status == "quarantined"
    assert None is broken.object
    assert broken.reason.startswith("plugin broken 1.2: ")
    assert wrong in broken.reason
    assert remedy in broken.reason
    assert (good,) == discovered.loaded
    assert discovered.faults == ()


@pytest.mark.parametrize("kind", ["import", "constructor", "plain"])
@pytest.mark.parametrize(
    ("settings", "environ", "source"),
    [
        ({"plugins": {"broken": {}}}, {}, "argument"),
        ({"allow": ["broken"]}, {}, "argument"),
        ({}, {"CLIPPY_PLUGINS": "broken,good"}, "environment CLIPPY_PLUGINS"),
    ],
)
def test_a_broken_plugin_that_the_configuration_names_stops_the_start(
    site: Site, kind: str, settings: dict[str, Any], environ: dict[str, str], source: str
) -> None:
    """With its reason and with who named it."""
    site.add("broken", BROKEN[kind][0])
    site.add("good")
    discovered = site.discover(environ, **settings)
    broken = discovered.plugins[0]
    assert (f"{broken.reason} (named by {source})",) == discovered.faults


def test_the_traceback_of_a_broken_plugin_is_kept(site: Site) -> None:
    """For ``clippy doctor``; the reason stays one line."""
    site.add("broken", "def f():\n    raise ValueError('two\\nlines')\nf()")
    plugin = only(site.discover())
    assert "in f" in plugin.traceback
    assert "\n" not in plugin.reason


def test_an_interrupt_while_a_plugin_is_imported_is_not_swallowed(site: Site) -> None:
    """Ctrl-C is for the program."""
    site.add("broken", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.discover()


def test_wrong_settings_are_all_named(site: Site) -> None:
    """They stop the start, each with its path and source."""
    site.add("good")
    discovered = site.discover({"CLIPPY_GOOD__TTL": "abc"}, plugins={"good": {"tl": 1}})
    assert only(discovered).status == "quarantined"
    assert {
        "environment CLIPPY_GOOD__TTL: plugins.good.ttl: expected float, got 'abc'",
        "argument: plugins.good.tl: unknown setting; did you mean ttl?",
    } == set(discovered.faults)


def test_a_missing_setting_only_sets_the_plugin_aside(site: Site) -> None:
    """Nobody named it, so the program starts without it."""
    site.add("needy", "@define(eq=False)\nclass Plugin:\n    url: str")
    discovered = site.discover()
    assert "plugins.needy.url: is required: str" in only(discovered).reason
    assert discovered.faults == ()


def test_two_plugins_of_one_name_are_both_set_aside(site: Site) -> None:
    """Which of them is first on the path is chance."""
    site.add("twin", distribution="temporary-one")
    site.add("twin", distribution="temporary-two", version="2.0")
    discovered = site.discover()
    assert [plugin.status for plugin in discovered.plugins] == ["quarantined"] * 2
    assert "temporary-one 1.2 and temporary-two 2.0 both bring a plugin of this name" in discovered.plugins[0].reason


def test_a_plugin_made_for_another_contract_is_not_imported(site: Site) -> None:
    """The sentence says which contract it wants and which there is."""
    module = site.add("old", requires="clippy-hookspecs<0.1,>=0.0.5")
    plugin = only(site.discover())
    assert "was made for clippy-hookspecs<0.1,>=0.0.5, and " in plugin.reason
    assert "install a temporary-old for it" in plugin.reason
    assert module not in sys.modules


@pytest.mark.parametrize(
    ("specifier", "version", "fits"),
    [
        (">=0.1,<0.2", "0.1.0", True),
        (">=0.1,<0.2", "0.2.0", False),
        (">=0.1,<0.2", "0.2.0rc1", False),
        (">=0.1", "0.1.0rc1", False),
        (">=0.1", "0.1.post1", True),
        (" (>=0.1,<0.2)", "0.1.7", True),
        ("~=1.2", "1.9", True),
        ("~=1.2", "2.0", False),
        ("~=1.2.3", "1.3", False),
        ("==1.*", "1.4", True),
        ("==1.*", "2.0", False),
        ("==1.0", "1", True),
        ("!=1.0", "1.0.0", False),
        ("[extra]>=2", "1.0", False),
        (" @ https://example.org/x", "1.0", True),
        ('>=2; extra == "x"', "1.0", True),
        (">1.0", "1.0", False),
        ("<=1.0", "1.0.1", False),
        ("===x", "1.0", False),
        (">=one", "1.0", True),
        ('>=2; os_name ~= "posix"', "1.0", True),
        ('>=2; "x" in extras', "1.0", True),
        ("", "1.0", True),
    ],
)
def test_requirements_on_the_contract_are_compared_as_installers_do(specifier: str, version: str, fits: bool) -> None:
    """Pre-releases come before their release, trailing zeros do not count, extras are the installer's business."""
    assert fits == (mismatch([f"clippy-hookspecs{specifier}"], version) is None)
    assert None is mismatch([f"attrs{specifier}"], version)
    assert None is mismatch([f"Clippy_HookSpecs{specifier}"], None)


# --- which of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "settings", "loaded", "why"),
    [
        ({}, {}, ["a", "b"], ""),
        ({}, {"disable": ["a"]}, ["b"], "disabled (argument)"),
        ({}, {"allow": ["a"]}, ["a"], "not in the allow list (argument)"),
        ({"CLIPPY_PLUGINS": "b"}, {}, ["b"], "not in the allow list (environment CLIPPY_PLUGINS)"),
        ({"CLIPPY_PLUGINS": "off"}, {}, [], "all plugins are off (environment CLIPPY_PLUGINS)"),
        ({"CLIPPY_DISABLE": "a,b", "CLIPPY_PLUGINS": "a"}, {}, [], "disabled (environment CLIPPY_DISABLE)"),
    ],
)
def test_lists_say_which_plugins_are_active(
    site: Site, environ: dict[str, str], settings: dict[str, Any], loaded: list[str], why: str
) -> None:
    """What is not active is not imported, and says who decided it."""
    modules = {name: site.add(name) for name in ("a", "b")}
    discovered = site.discover(environ, **settings)
    assert loaded == [plugin.name for plugin in discovered.loaded]
    assert set(loaded) == {name for name, module in modules.items() if module in sys.modules}
    reasons = {plugin.reason for plugin in discovered.plugins if plugin.status == "disabled"}
    assert why in reasons or not why
    assert discovered.faults == ()


def test_a_disabled_plugin_may_be_broken(site: Site) -> None:
    """That is what disabling is for, even when it has a table."""
    site.add("broken", BROKEN["import"][0])
    assert site.discover(disable=["broken"], plugins={"broken": {"x": 1}}).faults == ()


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"plugins": {"goud": {"x": 1}}}, "plugins.goud: no plugin called goud is installed; did you mean good?"),
        ({"allow": ["good", "nobody"]}, "allow: no plugin called nobody is installed; there are cache-sqlite, good"),
        ({"order": ["cache_sqlite"]}, "order.default: no plugin called cache_sqlite is installed; did you mean cache"),
        ({"order": {"on_error": ["godo"]}}, "order.on_error: no plugin called godo is installed; did you mean good?"),
        ({"on_failure": {"god": "skip"}}, "on_failure: no plugin called god is installed; did you mean good?"),
        ({"disable": ["goood"]}, "disable: no plugin called goood is installed; did you mean good?"),
    ],
)
def test_a_name_that_nobody_has_is_a_fault(site: Site, settings: dict[str, Any], fault: str) -> None:
    """A slip in a name would otherwise be a plugin without its settings, or one that stays active."""
    site.add("good")
    site.add("cache-sqlite")
    (found,) = site.discover(**settings).faults
    assert found.startswith(f"argument: {fault}")


def test_a_plugin_that_is_gone_may_stay_disabled(site: Site) -> None:
    """Nothing of the configuration is lost by it."""
    site.add("good")
    assert site.discover(disable=["telemetry"]).faults == ()


def test_off_is_a_way_out_of_every_fault_of_plugins(site: Site) -> None:
    """With all plugins off nothing about plugins stops a program."""
    site.add("broken", BROKEN["import"][0])
    discovered = site.discover({"CLIPPY_PLUGINS": "off"}, order=["nobody"], plugins={"broken": {}, "gone": {"x": 1}})
    assert discovered.faults == ()


# --- the contract ----------------------------------------------------------------------------------------------------


def checked(**methods: Any) -> Any:
    """The check of an attrs class with these members."""
    return check_class(define(eq=False)(type("Probe", (), methods)))


def fault(**methods: Any) -> str:
    faults = checked(**methods).faults
    assert len(faults) == 1
    hook, what = faults[0]
    return f"{hook} {what}"


RAW = pluggy.HookimplMarker("clippy")


def test_wrong_arguments_are_told_with_the_right_ones() -> None:
    """An implementation may name fewer arguments than the hook has, not others."""

    @hookimpl
    def on_chunk(self: Any, chunk: Any, context: Any) -> None: ...

    assert fault(on_chunk=on_chunk) == (
        "on_chunk has an argument 'context' that this hook does not have; "
        "its arguments are chunk, ctx, or fewer of them"
    )

    @hookimpl
    def pre_request(self: Any, requst: Any) -> None: ...

    assert "'requst' that this hook does not have; did you mean request?" in fault(pre_request=pre_request)


def test_arguments_that_the_host_cannot_fill_are_refused() -> None:
    """By keyword only, starred, defaulted under another name, or without self."""

    @hookimpl
    def keyword(self: Any, chunk: Any, *, ctx: Any) -> None: ...

    @hookimpl
    def stars(self: Any, *args: Any) -> None: ...

    @hookimpl
    def more(self: Any, chunk: Any, **kwargs: Any) -> None: ...

    @hookimpl
    def default(self: Any, chunk: Any, user: Any = None) -> None: ...

    @hookimpl
    def selfless(chunk: Any, ctx: Any) -> None: ...

    @hookimpl
    def nothing() -> None: ...

    assert "takes ctx by keyword only" in fault(on_chunk=keyword)
    assert "takes *args, which stays empty" in fault(on_chunk=stars)
    assert "takes **kwargs, which stays empty" in fault(on_chunk=more)
    assert "has an argument 'user'" in fault(on_chunk=default)
    assert "has no self; write on_chunk(self, chunk, ctx)" in fault(on_chunk=selfless)
    assert "has no self" in fault(on_chunk=nothing)


@settings(deadline=None)
@given(st.sampled_from(sorted(POLICIES)), st.data())
def test_any_subset_of_a_hooks_arguments_in_any_order_is_right(hook: str, data: st.DataObject) -> None:
    """pluggy passes them by name, and so does the host."""
    names = data.draw(
        st.permutations(ARGUMENTS[hook]).flatmap(
            lambda names: st.integers(0, len(names)).map(lambda count: names[:count])
        )
    )
    namespace: dict[str, Any] = {}
    exec(f"def method(self, {', '.join(names)}): return None", namespace)
    found = checked(**{hook: hookimpl(namespace["method"])})
    assert found.faults == ()
    assert {hook} == set(found.implementations)


def test_static_and_class_methods_are_methods() -> None:
    """A static method has no self, and needs none."""

    @define(eq=False)
    class Probe:
        @hookimpl
        @staticmethod
        def observe(event: Any) -> None: ...

        @hookimpl
        @classmethod
        def audit(cls, record: Any) -> None: ...

    found = check_object(Probe())
    assert found.faults == ()
    assert {"observe", "audit"} == set(found.implementations)


def test_a_misspelt_hook_is_told_with_the_nearest() -> None:
    """pluggy would never call it and never say so."""

    @hookimpl
    def method(self: Any, chunk: Any) -> None: ...

    assert fault(on_chunks=method) == (
        "on_chunks is marked @hookimpl, but there is no hook of this name; did you mean on_chunk?"
    )
    assert "there is no hook of this name; the hooks are audit, cache_invalidate" in fault(frobnicate=method)


def test_a_specname_gives_a_method_another_name() -> None:
    """The method is found by its own name; two for one hook are one too many."""

    @hookimpl(specname="on_chunk", tryfirst=True)
    def shout(self: Any, chunk: Any) -> None: ...

    @hookimpl
    def on_chunk(self: Any, chunk: Any) -> None: ...

    assert Implementation("on_chunk", "shout", tryfirst=True) == checked(shout=shout).implementations["on_chunk"]
    assert "is implemented twice, by on_chunk and shout" in fault(on_chunk=on_chunk, shout=shout)


def test_an_optional_hook_of_a_later_contract_is_left_alone() -> None:
    """pluggy's ``optionalhook`` says that it may not exist."""

    @RAW(optionalhook=True)
    def on_moon(self: Any) -> None: ...

    assert checked(on_moon=on_moon).faults == ()


@pytest.mark.parametrize("hook", sorted(POLICIES))
def test_async_def_is_refused_where_a_hook_may_not_await(hook: str) -> None:
    """The hot path and what runs while the host is built; lifespan returns a context manager."""

    async def method(self: Any) -> None: ...

    found = checked(**{hook: hookimpl(method)}).faults
    if POLICIES[hook].may_await and hook != "lifespan":
        assert found == ()
    else:
        assert found[0][0] == hook
        assert "must be a plain def, not async def (" in found[0][1]
        assert "@asynccontextmanager" in found[0][1] or "move what waits" in found[0][1]


def test_generators_are_refused() -> None:
    """A hook is called once; lifespan wants the decorator that makes a context manager of it."""

    async def agen(self: Any) -> Any:
        yield

    def gen(self: Any) -> Any:
        yield

    assert "yields, but a hook is called once and returns" in fault(on_response=hookimpl(agen))
    assert "yields, but a hook is called once and returns" in fault(pre_request=hookimpl(gen))
    assert "put @contextmanager between" in fault(lifespan=hookimpl(gen))
    assert "put @asynccontextmanager between" in fault(lifespan=hookimpl(agen))
    assert checked(lifespan=hookimpl(contextmanager(gen))).faults == ()
    assert checked(lifespan=hookimpl(asynccontextmanager(agen))).faults == ()


@pytest.mark.parametrize("options", [{"wrapper": True}, {"hookwrapper": True}])
def test_pluggy_wrappers_are_refused(options: dict[str, bool]) -> None:
    """The part after their yield would run before the work has been awaited."""

    def on_response(self: Any, response: Any) -> Any:
        yield

    assert "on_response is a pluggy wrapper" in fault(on_response=RAW(**options)(on_response))


def test_tryfirst_and_trylast_exclude_each_other() -> None:
    """pluggy takes both and means one."""

    def audit(self: Any) -> None: ...

    assert "says tryfirst and trylast; keep one" in fault(audit=RAW(tryfirst=True, trylast=True)(audit))


def test_an_unmarked_method_with_a_hooks_name_is_a_warning() -> None:
    """It may be meant, so the plugin works; the sentence says how to end the doubt."""

    @define(eq=False)
    class Probe(TextFilter):
        def filter(self, text: str, final: bool, ctx: Any) -> tuple[str, str]:
            return text, ""

        def on_response(self, response: Any, ctx: Any) -> None: ...

        def helper(self) -> None: ...

    (plugin,) = discover(configured([]), [Probe()], found=[]).plugins
    assert (plugin.status, plugin.hooks) == ("loaded", ("on_chunk",))
    assert plugin.warnings == (
        "plugin probe: on_response is named like a hook but not marked; put @hookimpl above it, or name it otherwise",
    )
    assert "implements no hook" in checked().warnings[0]


def test_no_property_of_a_plugin_is_run_by_the_check() -> None:
    """A check looks, it does not touch."""

    @define(eq=False)
    class Probe:
        @property
        def boom(self) -> None:
            raise AssertionError("was run")

        @hookimpl
        def audit(self, record: Any) -> None: ...

    assert check_object(Probe()).faults == ()


def test_every_mark_that_pluggy_finds_is_found() -> None:
    """Attributes without a mark are passed over in front of pluggy, wherever and however a marked one is stored."""

    def marked(*given: Any) -> None: ...

    class Base:
        inherited = hookimpl(marked)

    @define(eq=False)
    class Probe(Base):
        slot: Any
        unset: Any = field(init=False)
        below = staticmethod(hookimpl(marked))
        above = hookimpl(classmethod(marked))
        bound = MethodType(hookimpl(marked), Base())
        part = functools.partialmethod(hookimpl(marked))
        cached = functools.cached_property(hookimpl(marked))
        unmarked = staticmethod(len)

        @hookimpl
        def plain(self) -> None: ...

    one = Probe(hookimpl(lambda: None))
    vars(one)["own"] = MethodType(hookimpl(marked), one)
    ours, theirs = new_manager(), pluggy.PluginManager("clippy")
    for plugin in (Probe, one, Probe(1), Base(), Base):
        names = {name for name in dir(plugin) if theirs.parse_hookimpl_opts(plugin, name)}
        assert names == {name for name in dir(plugin) if ours.parse_hookimpl_opts(plugin, name)}
        assert names


def test_a_check_knows_nothing_of_the_checks_before_it() -> None:
    """Hosts of one process must not see each other's plugins, and a mended plugin is checked as it is now."""

    @define(eq=False, slots=False)
    class Probe:
        @hookimpl
        def audit(self, record: Any) -> None: ...

        @RAW(optionalhook=True)
        def of_its_own(self, anything: Any) -> None: ...

    def pre_request(misspelt: Any) -> None: ...

    first, other = Probe(), Probe()
    vars(first)["pre_request"] = hookimpl(pre_request)
    for _ in range(2):
        assert "is refused by pluggy" in check_object(first).faults[0][1]
        assert check_object(other).faults == ()
    del vars(first)["pre_request"]
    assert [check_object(one).faults for one in (first, first, other)] == [(), (), ()]
    kept = weakref.ref(first)
    del first
    assert kept() is None


def test_every_fault_of_a_plugin_is_in_its_reason(site: Site) -> None:
    """Its author mends them in one go."""
    source = """
    @define(eq=False)
    class Plugin:
        @hookimpl
        async def on_chunk(self, chunk, context): ...

        @hookimpl
        def on_eror(self, error): ...
    """
    site.add("broken", source)
    reason = only(site.discover()).reason
    assert reason.startswith("plugin broken 1.2: on_chunk must be a plain def")
    assert "on_chunk has an argument 'context'" in reason
    assert "did you mean on_error?" in reason


ODD = """
class Odd(type):
    def __getattribute__(cls, name):
        if name == asked:
            raise SystemExit(3)
        return super().__getattribute__(name)

    def __dir__(cls):
        return cls.names

asked = ""
{}class Plugin(metaclass=Odd):
    names = ["audit"]

    @hookimpl
    def audit(self): ...

    def pre_request(self): ...

asked = {!r}
"""


@pytest.mark.parametrize(
    ("asked", "broken"),
    [("__name__", "odd-plain"), ("__attrs_attrs__", "odd-made"), ("__mro__", "odd-made odd-plain"),
     ("__dict__", "odd-made odd-plain"), ("names", "odd-made odd-plain")],
)  # fmt: skip
def test_a_class_that_cannot_be_looked_at_is_its_plugins_fault(site: Site, asked: str, broken: str) -> None:
    """Whatever its metaclass raises at, the sentence has the plugin's name, and all others go on."""
    for name, above in {"made": "@define(eq=False)\n", "plain": ""}.items():
        site.add(f"odd-{name}", ODD.format(above, asked))
    site.add("good")
    found = site.discover()
    why = "its class cannot be looked at: SystemExit: 3; see its metaclass and its descriptors"
    assert [f"plugin {name} 1.2: {why}" for name in broken.split()] == [
        plugin.reason for plugin in found.plugins if why in plugin.reason
    ]
    assert found.faults == ()
    assert "good" in [one.name for one in found.loaded]


def test_a_class_of_the_program_keeps_its_name_whatever_its_metaclass_says() -> None:
    """A fault needs a name to be told with."""
    namespace: dict[str, Any] = {"hookimpl": hookimpl, "__name__": "program"}
    exec(ODD.format("", "__name__"), namespace)
    (fault,) = discover(configured([]), [namespace["Plugin"]], found=[]).faults
    assert fault.startswith("plugin plugin: its class cannot be looked at: SystemExit: 3")


# --- plugins of the program ------------------------------------------------------------------------------------------


@define(eq=False)
class HTTPProbe:
    """A plugin that a program brings."""

    size: int = 1
    on_failure: str | None = None

    @hookimpl
    def audit(self, record: Any) -> None: ...


@define(eq=False)
class Named(HTTPProbe):
    name = "my-name"


def test_given_objects_get_their_names_from_whoever_has_one(site: Site) -> None:
    """The mapping, the class attribute ``name``, the entry point, the class."""
    module = site.add("installed-name")
    found = site.found()
    cls = importlib.import_module(module).Plugin
    discovered = discover(configured(found), [HTTPProbe(), Named(), cls()], found=found)
    assert [plugin.name for plugin in discovered.loaded] == ["http-probe", "installed-name", "my-name"]
    installed = discovered.plugins[1]
    assert (installed.distribution, installed.version) == ("temporary-installed-name", "1.2")
    assert [plugin.name for plugin in discover(configured([]), {"x": HTTPProbe()}, found=[]).loaded] == ["x"]


@settings(deadline=None)
@given(st.text(alphabet="abAB_1", min_size=1, max_size=12))
def test_names_made_of_class_names_are_kebab_case(name: str) -> None:
    """Small letters, no hyphen at the ends or twice, every letter kept."""
    made = kebab(name)
    assert made == made.lower()
    assert "" not in made.split("-") or not made
    assert name.lower().replace("_", "") == made.replace("-", "")


def test_given_objects_stand_instead_of_the_installed(site: Site) -> None:
    """Lists and switches are about what is installed; the program's own plugins are arguments, which win."""
    site.add("good")
    found = site.found()
    config = configured(found, {"CLIPPY_PLUGINS": "off"}, disable=["http-probe"])
    assert [plugin.name for plugin in discover(config, [HTTPProbe()], found=found).plugins] == ["http-probe"]


def test_given_objects_are_checked_as_all_others() -> None:
    """A broken one stops the start: the program named it."""

    class Plain:
        @hookimpl
        def audit(self, record: Any) -> None: ...

    discovered = discover(configured([]), {"plain": Plain()}, found=[])
    assert discovered.faults == ("plugin plain: Plain is not an attrs class; put @define(eq=False) above it",)


@pytest.mark.parametrize("given", [["retry", "cache"], {"retry": "retry"}])
def test_a_name_where_a_plugin_is_asked_for_is_said_to_be_none(given: Any) -> None:
    """Nobody can put a decorator above str, nor give two texts names of their own."""
    with pytest.raises(ConfigError) as caught:
        Host(given)
    for fault in caught.value.faults:
        assert "a name is no plugin; give the plugin itself, as in Host({'retry': Retry()})" in fault
        assert "Host.from_config()" in fault
    twice = discover(configured([]), [HTTPProbe(), HTTPProbe()], found=[])
    assert "the program gives 2 plugins of this name" in twice.faults[0]


def test_a_given_class_is_made_with_its_table() -> None:
    """``Host(plugins=[SqliteCache])`` needs no instance."""
    config = configured([], plugins={"http-probe": {"size": 4}})
    assert only(discover(config, [HTTPProbe], found=[])).object.size == 4
    config = configured([], plugins={"http-probe": {"size": "x"}})
    assert discover(config, [HTTPProbe], found=[]).faults == (
        "argument: plugins.http-probe.size: expected int, got 'x'",
    )


def test_what_happens_on_failure_is_said_by_the_configuration_before_the_plugin() -> None:
    """And by neither, then the hook's own policy holds."""
    given = {"a": HTTPProbe(), "b": HTTPProbe(on_failure="raise"), "c": HTTPProbe(on_failure="raise")}
    discovered = discover(configured([], on_failure={"c": "disable"}), given, found=[])
    assert [discovered.on_failure(plugin) for plugin in discovered.loaded] == [None, "raise", "disable"]


# --- order -----------------------------------------------------------------------------------------------------------


def placed(wishes: dict[str, str], hook: str = "pre_request") -> list[Plugin]:
    return [
        Plugin(name, implementations={hook: Implementation(hook, hook, wish == "tryfirst", wish == "trylast")})
        for name, wish in wishes.items()
    ]


def test_chains_read_a_to_z_between_what_wants_to_be_outside_and_inside() -> None:
    """tryfirst outermost, trylast innermost, the user's order before all of it."""
    plugins = placed({"d": "", "b": "", "c": "tryfirst", "a": "trylast", "e": "tryfirst"})
    assert [one.name for one in ordered(plugins, "pre_request", Order())] == ["c", "e", "b", "d", "a"]
    assert [one.name for one in ordered(plugins, "pre_request", Order(("a", "d")))] == ["a", "d", "c", "e", "b"]


def test_a_hook_may_have_an_order_of_its_own() -> None:
    """It stands instead of the default one; plugins without the hook are not in its chain."""
    plugins = placed({"a": "", "b": ""}, "on_error") + placed({"c": ""})
    order = Order(("b", "a"), {"on_error": ("a",)})
    assert [one.name for one in ordered(plugins, "on_error", order)] == ["a", "b"]
    assert [one.name for one in ordered(plugins, "pre_request", order)] == ["c"]


_wishes = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.sampled_from(["", "tryfirst", "trylast"]))


@settings(deadline=None)
@given(_wishes, st.lists(st.text("abcdef", min_size=1, max_size=2)), st.randoms())
def test_order_is_total_and_does_not_depend_on_the_order_of_discovery(
    wishes: dict[str, str], named: list[str], random: Any
) -> None:
    """Every plugin once; what the user named comes first, as the user named it."""
    plugins = placed(wishes)
    first = [one.name for one in ordered(plugins, "pre_request", Order(tuple(named)))]
    random.shuffle(plugins)
    assert first == [one.name for one in ordered(plugins, "pre_request", Order(tuple(named)))]
    assert sorted(wishes) == sorted(first)
    known = [name for name in dict.fromkeys(named) if name in wishes]
    assert known == first[: len(known)]


@settings(deadline=None)
@given(_wishes.filter(lambda wishes: list(wishes.values()).count("trylast") < 2))
def test_order_without_the_users_is_pluggys_own(wishes: dict[str, str]) -> None:
    """Registered z to a, pluggy calls them in this order; among several trylast it reads z to a, we a to z."""
    manager = new_manager()
    for name in sorted(wishes, reverse=True):
        options = {wishes[name]: True} if wishes[name] else {}

        def pre_request(self: Any, request: Any) -> None: ...

        cls = define(eq=False)(type("Probe", (), {"pre_request": RAW(**options)(pre_request)}))
        manager.register(cls(), name)
    theirs = [one.plugin_name for one in reversed(manager.hook.pre_request.get_hookimpls())]
    assert theirs == [one.name for one in ordered(placed(wishes), "pre_request", Order())]


def test_the_order_of_the_configuration_reaches_the_chains(site: Site) -> None:
    """From the file's list to the chain of a hook."""
    for name in ("a", "b", "c"):
        site.add(name)
    assert [one.name for one in site.discover(order=["c"]).chain("pre_request")] == ["c", "a", "b"]
    assert site.discover(order=["c"]).chain("on_chunk") == ()


def test_the_installed_plugins_of_this_project_keep_the_contract() -> None:
    """None of them is set aside."""
    installed = [one for one in rescan() if one.distribution.startswith("clippy-")]
    if not installed:
        pytest.skip("no plugin of this project is installed here")
    discovered = discover(configured(installed), found=installed)
    assert [plugin.reason for plugin in discovered.plugins if plugin.status != "loaded"] == []
    assert discovered.faults == ()
