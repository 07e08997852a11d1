"""What is deprecated still works, and whoever uses it is told once: who, where, until when, and what to write."""

from __future__ import annotations

import importlib
import json
import logging
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import clippy_hookspecs
import importlib_metadata
import jsonschema
import pytest
from attrs import define, field
from clippy_hookspecs import POLICIES, UNKNOWN_ERROR, ConfigError, Deprecation, former_names, hookimpl
from clippy_hookspecs.deprecation import name_uses

import clippy_core
from clippy_core import config as config_module
from clippy_core import deprecations
from clippy_core.cli import command_line
from clippy_core.config_schema import class_schema
from clippy_core.discovery import discover
from clippy_core.installed import rescan
from clippy_core.testing import FakeProvider, Reply

OLD = Deprecation("0.1.1", "0.2", "")
UNTIL = "is deprecated since clippy-hookspecs 0.1.1 and removed in 0.2; write"


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has said nothing yet."""
    monkeypatch.setattr(deprecations, "_told", set())
    monkeypatch.setattr("clippy_hookspecs.deprecation._uses", {})


def change(monkeypatch: pytest.MonkeyPatch, hook: str, **changes: Any) -> None:
    monkeypatch.setitem(POLICIES, hook, attrs.evolve(POLICIES[hook], **changes))


def ask(host: clippy_core.Host) -> Any:
    import httpx

    client = host.wrap(httpx.Client(transport=FakeProvider(Reply("Hi")).transport()))
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    with host, client:
        return client.post("http://fake.test/v1/chat/completions", json=body)


# --- hooks and arguments ---------------------------------------------------------------------------------------------


@define(eq=False)
class Early:
    """Written when pre_request was called before_request and its ctx was called context."""

    calls: list[Any] = field(init=False, factory=list)

    @hookimpl
    def before_request(self, context: Any) -> None:
        self.calls.append(context)


def test_a_hook_and_an_argument_by_their_former_names_are_called(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the order and with the values of the present ones; the program is told about each, once."""
    former = {"before_request": attrs.evolve(OLD, instead="pre_request")}
    change(monkeypatch, "pre_request", former=former, arguments={"context": attrs.evolve(OLD, instead="ctx")})
    early = Early()
    with caplog.at_level(logging.WARNING, "clippy"):
        host = clippy_core.Host({"early": early})
        clippy_core.Host({"early": early})
    ask(host)
    assert [context.attempt for context in early.calls] == [1]
    place = rf"test_contract_deprecation.py:{Early.before_request.__code__.co_firstlineno}"
    assert [record.getMessage() for record in caplog.records] == [
        f"plugin early: the hook before_request ({place}) {UNTIL} pre_request",
        f"plugin early: the argument context of pre_request ({place}) {UNTIL} ctx",
    ]


def test_the_present_and_the_former_name_of_one_hook_are_two_implementations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that has both would be called twice; it is told to keep one."""
    change(monkeypatch, "pre_request", former={"before_request": attrs.evolve(OLD, instead="pre_request")})

    @define(eq=False)
    class Both:
        @hookimpl
        def before_request(self) -> None: ...

        @hookimpl
        def pre_request(self) -> None: ...

    with pytest.raises(ConfigError, match="is implemented twice, by before_request and pre_request"):
        clippy_core.Host({"both": Both()})


def test_an_argument_by_both_its_names_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them would get the value?"""
    change(monkeypatch, "on_error", arguments={"failure": attrs.evolve(OLD, instead="error")})

    @define(eq=False)
    class Both:
        @hookimpl
        def on_error(self, failure: Any, error: Any) -> None: ...

    with pytest.raises(ConfigError, match="takes error and its former name failure; keep the first"):
        clippy_core.Host({"both": Both()})


def test_a_hook_and_an_argument_that_go_without_replacement_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand in the contract until they go."""
    change(
        monkeypatch,
        "compress_context",
        deprecated=attrs.evolve(OLD, instead="pre_request"),
        arguments={"budget": attrs.evolve(OLD, instead="ctx.services")},
    )

    @define(eq=False)
    class Uses:
        @hookimpl
        def compress_context(self, request: Any, budget: Any) -> None: ...

    host = clippy_core.Host({"uses": Uses()})
    (plugin,) = host.discovered.plugins
    assert [what.partition(" (")[0] for what in plugin.deprecated] == [
        "plugin uses: the hook compress_context",
        "plugin uses: the argument budget of compress_context",
    ]
    assert plugin.status == "loaded"
    assert plugin.deprecated[1].endswith(f"{UNTIL} ctx.services")


def test_without_a_deprecation_a_former_name_is_a_fault() -> None:
    """As on the day after it was removed; the plugin is told what there is."""
    with pytest.raises(ConfigError, match="before_request is marked @hookimpl, but there is no hook of this name"):
        clippy_core.Host({"early": Early()})


# --- settings --------------------------------------------------------------------------------------------------------

RENAMED = Deprecation("1.2", "2.0", "attempts")
GOING = Deprecation("1.2", "2.0", "nothing; it has no effect")


@define(eq=False)
class Settings:
    """A plugin that renamed a setting and will drop another."""

    attempts: int = field(default=1, metadata={"doc": "how often", "former": {"tries": RENAMED}})
    careful: bool = field(default=False, metadata={"doc": "no effect", "deprecated": GOING})

    @hookimpl
    def pre_request(self) -> None: ...


def test_a_setting_by_its_former_name_is_set_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the place where it stands; one that goes is told as well, but not its default."""
    with caplog.at_level(logging.WARNING, "clippy"):
        for _ in range(2):
            config = {"plugins": {"settings": {"tries": 3, "careful": True}}}
            host = clippy_core.Host({"settings": Settings}, config=config)
    assert host.plugins["settings"].attempts == 3  # type: ignore[attr-defined]
    until = "is deprecated since settings 1.2 and removed in 2.0; write"
    assert [record.getMessage() for record in caplog.records] == [
        f"plugin settings: the setting tries (argument: plugins.settings.tries) {until} attempts",
        f"plugin settings: the setting careful (argument: plugins.settings.careful) {until} nothing; it has no effect",
    ]


def test_a_setting_by_its_present_name_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """Who has moved hears nothing."""
    with caplog.at_level(logging.WARNING, "clippy"):
        clippy_core.Host({"settings": Settings}, config={"plugins": {"settings": {"attempts": 3}}})
    assert caplog.records == []


def test_a_setting_by_both_names_is_a_fault() -> None:
    """Nobody knows which was meant."""
    with pytest.raises(
        ConfigError, match=r"plugins\.settings\.tries: is the former name of plugins\.settings\.attempts"
    ):
        clippy_core.Host({"settings": Settings}, config={"plugins": {"settings": {"attempts": 3, "tries": 4}}})


def test_the_schema_takes_former_names_and_marks_them() -> None:
    """Editors strike them through."""
    schema = class_schema(Settings)
    assert {name for name, one in schema["properties"].items() if one.get("deprecated")} == {"tries", "careful"}
    jsonschema.Draft202012Validator(schema).validate({"tries": 3})
    assert not jsonschema.Draft202012Validator(schema).is_valid({"tries": "many"})


@pytest.mark.parametrize("how", ["file", "environment"])
def test_a_setting_of_the_host_by_its_former_name_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """In every source, with that source's precedence."""
    monkeypatch.setattr(config_module, "_FORMER", {"stopwatch": ("trace", attrs.evolve(OLD, instead="trace"))})
    file = tmp_path / "clippy.toml"
    file.write_text("stopwatch = true\n" if how == "file" else "trace = false\n")
    environ = {"CLIPPY_STOPWATCH": "true"} if how == "environment" else {}
    config = config_module.load_config(file, environ)
    assert config.host.trace
    origin = "clippy.toml" if how == "file" else "environment CLIPPY_STOPWATCH"
    with caplog.at_level(logging.WARNING, "clippy"):
        clippy_core.Host([], config=config)
    until = UNTIL.replace("clippy-hookspecs", "clippy-core")
    assert [record.getMessage() for record in caplog.records] == [f"the setting stopwatch ({origin}) {until} trace"]


def test_an_order_for_a_hook_by_its_former_name_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who renamed a hook renames it in the users' files as well."""
    change(monkeypatch, "pre_request", former={"before_request": attrs.evolve(OLD, instead="pre_request")})
    config = config_module.config_of({"order": {"before_request": ["b", "a"]}})
    assert config.host.order.of("pre_request") == ("b", "a")
    assert config.deprecated == (f"the hook before_request (argument: order.before_request) {UNTIL} pre_request",)


# --- public names ----------------------------------------------------------------------------------------------------


def test_a_renamed_constant_of_the_contract_is_there_by_its_former_name() -> None:
    """The one that was renamed: UNKNOWN is UNKNOWN_ERROR.  The warning comes from the line that asks, once a line."""
    with pytest.warns(DeprecationWarning, match="UNKNOWN") as told:
        found = [clippy_hookspecs.UNKNOWN for _ in range(2)]
    assert found == [UNKNOWN_ERROR, UNKNOWN_ERROR]
    (warning,) = told
    assert warning.filename == __file__
    assert str(warning.message).startswith("clippy_hookspecs.UNKNOWN (test_contract_deprecation.py:")
    assert str(warning.message).endswith(f"{UNTIL} UNKNOWN_ERROR")
    (use,) = name_uses(__name__)
    assert use.name == "UNKNOWN"


def test_a_name_that_never_was_is_still_an_error() -> None:
    """A slip is not taken for something deprecated."""
    with pytest.raises(AttributeError, match="has no attribute 'UNKNWON'"):
        _ = clippy_hookspecs.UNKNWON  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="UNKNWON"):
        exec("from clippy_hookspecs import UNKNWON")


def test_a_module_of_a_plugin_can_rename_its_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machinery is the contract's, for everybody."""
    module = types.ModuleType("acme_plugin")
    module.NEW = 3  # type: ignore[attr-defined]
    module.__getattr__ = former_names("acme_plugin", {"OLD": Deprecation("3", "4", "NEW")})  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "acme_plugin", module)
    with pytest.warns(DeprecationWarning, match="deprecated since acme-plugin 3 and removed in 4; write NEW"):
        assert module.OLD == 3


SOURCE = """
from attrs import define
from clippy_hookspecs import UNKNOWN, hookimpl

@define(eq=False)
class Plugin:
    @hookimpl
    def classify_error(self, failure):
        return UNKNOWN
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution whose plugin imports a former name."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "acme_classifier.py").write_text(SOURCE)
    info = tmp_path / "acme_classifier-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-classifier\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text("[clippy]\nacme = acme_classifier:Plugin\n")
    importlib.invalidate_caches()
    importlib_metadata.MetadataPathFinder.invalidate_caches()
    rescan()
    with pytest.warns(DeprecationWarning, match="UNKNOWN"):
        yield
    sys.modules.pop("acme_classifier", None)
    monkeypatch.undo()
    rescan()


@pytest.mark.usefixtures("installed")
def test_an_installed_plugin_that_imports_a_former_name_is_named_with_version_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works, and ``clippy doctor`` and the log say who must move; that is nothing wrong."""
    from click.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    environ = {"CLIPPY_PLUGINS": "acme"}
    config = config_module.load_config(None, environ)
    (plugin,) = [one for one in discover(config).plugins if one.name == "acme"]
    sentence = f"plugin acme 2.1: clippy_hookspecs.UNKNOWN (acme_classifier.py:3) {UNTIL} UNKNOWN_ERROR"
    assert (plugin.status, plugin.deprecated) == ("loaded", (sentence,))
    result = CliRunner(env=environ).invoke(command_line(), ["doctor", "--json"])
    assert sentence in json.loads(result.stdout)["deprecated"]
