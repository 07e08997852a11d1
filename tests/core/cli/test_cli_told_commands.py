"""Commands that a plugin's metadata tells of: they are listed and found without importing what nobody asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import importlib_metadata
import pytest

from clippy_core.cli import command_line
from clippy_core.cli.help_of import help_of
from clippy_core.cli.root import OWN
from clippy_core.installed import COMMANDS

Run = Callable[..., Any]
Install = Callable[..., str]

GREETS = """
    @define(eq=False)
    class Plugin:
        @hookimpl
        def register_commands(self, cli):
            'Say hello.'
            @cli.command(help=Plugin.register_commands.__doc__)
            def greet():
                click.echo("hello")
"""
TELLS = {"greet": "Plugin.register_commands"}
WAVES = GREETS.replace("greet", "wave").replace("hello", "goodbye")
NEW = "clippy-hookspecs>=0.1.2,<0.2"
"""What a plugin requires that was made for the contract in which plugins tell of their commands."""


def test_the_help_has_the_line_of_a_command_that_was_not_imported(run: Run, install: Install) -> None:
    """It is read from where the metadata says that it stands; running the command imports it."""
    module = install("greets", GREETS, tells=TELLS)
    assert "  greet       Say hello.\n" in run("--help", only="greets").stdout
    assert module not in sys.modules
    assert run("greet", only="greets").stdout == "hello\n"
    assert module in sys.modules


def test_a_command_imports_no_plugin_but_its_own(run: Run, install: Install) -> None:
    """Neither others that tell of commands, nor one that may have some."""
    others = [install("waves", WAVES, tells={"wave": "Plugin"}), install("silent", WAVES)]
    install("greets", GREETS, tells=TELLS)
    assert run("greet", only="greets,waves,silent").stdout == "hello\n"
    assert not {*others} & {*sys.modules}


def test_an_older_plugin_is_asked_for_what_it_does_not_tell(run: Run, install: Install) -> None:
    """Its commands are listed and run as they always were."""
    install("greets", GREETS, needs="clippy-hookspecs>=0.1,<0.2")
    assert "  greet       Say hello.\n" in run("--help", only="greets").stdout
    assert run("greet", only="greets").stdout == "hello\n"


def test_a_newer_plugin_that_tells_of_no_command_is_not_imported_for_a_list(run: Run, install: Install) -> None:
    """What it forgot to tell of is found when it is named."""
    module = install("greets", GREETS, needs=NEW)
    assert "greet" not in run("--help", only="greets").stdout
    assert module not in sys.modules
    assert run("greet", only="greets").stdout == "hello\n"


def test_help_that_cannot_be_read_is_asked_for(run: Run, install: Install) -> None:
    """Where the function is not where the metadata says, the plugin is imported for its line."""
    install("greets", GREETS, tells={"greet": "nowhere"})
    assert "  greet       Say hello.\n" in run("--help", only="greets").stdout


def test_a_command_that_was_told_of_and_is_not_added_is_none(run: Run, install: Install) -> None:
    """As any word that is no command; what is listed is what the metadata says."""
    install("greets", GREETS, tells={"grin": "Plugin.register_commands"}, needs=NEW)
    result = run("grin", only="greets")
    assert result.exit_code == 2
    assert "No such command 'grin'" in result.stderr


def test_the_command_that_was_meant_is_named(run: Run) -> None:
    assert "No such command 'doktor'; did you mean doctor?" in run("doktor").stderr


def test_the_command_of_a_plugin_that_was_meant_is_named_once(run: Run, install: Install) -> None:
    """Newer versions of click name some by themselves."""
    install("greets", GREETS)
    assert "No such command 'greeet'; did you mean greet?" in run("greeet", only="greets").stderr


def test_why_a_plugin_cannot_add_its_command_is_told_before_that_there_is_none(run: Run, install: Install) -> None:
    """Whoever names the command wants to know what to mend."""
    install("greets", "raise ImportError('no module named red')", tells=TELLS)
    result = run("greet", CLIPPY_PLUGINS="", only="")
    assert result.exit_code == 2
    why, consequence = result.stderr.splitlines()
    assert "cannot be imported" in why
    assert "no module named red" in why
    assert consequence == "No such command 'greet': because of what is said above the commands of greets are not there"


def test_a_plugin_that_is_off_tells_of_no_commands(run: Run, install: Install) -> None:
    """They are not listed, and not found."""
    module = install("greets", GREETS, tells=TELLS)
    assert "greet" not in run("--help", only="off").stdout
    assert run("greet", only="off").exit_code == 2
    assert module not in sys.modules


def test_of_two_commands_of_one_name_the_outer_plugin_has_it(run: Run, install: Install) -> None:
    """The other one is told of in a line."""
    install("greets", GREETS, tells=TELLS)
    install("second", GREETS.replace("hello", "again"), tells=TELLS)
    result = run("greet", only="greets,second")
    assert result.stdout == "hello\n"
    assert "plugin second 1.2: register_commands" in result.stderr
    assert "there is a command 'greet' already" in result.stderr


@pytest.mark.parametrize(
    "place", ["nowhere:x", "json:nothing", "json", "", ":", "sys:exit", "json.decoder:JSONDecoder"]
)
def test_a_place_without_a_docstring_to_read_has_no_help(place: str) -> None:
    """No such module, no such function, no code that could be read: nothing is raised."""
    assert help_of(place) is None


def test_the_help_of_a_method_and_a_function_are_their_docstrings() -> None:
    """With what a decorator or a class around them makes of them left aside."""
    assert help_of("json:dumps") == json.dumps.__doc__
    assert help_of("json.decoder:JSONDecoder.decode [extra]") == json.JSONDecoder.decode.__doc__


def test_every_command_of_this_repository_is_told_of_with_its_own_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list that imports nothing says what one that imports everything would."""
    finders = [one for one in sys.meta_path if "assertion" not in type(one).__module__]  # pytest's shows no code
    monkeypatch.setattr(sys, "meta_path", finders)
    group = command_line()
    (tmp_path / "clippy.toml").touch()
    ctx = group.make_context("clippy", ["--config", str(tmp_path / "clippy.toml"), "plugins"])
    told = {one.name: one.value for one in importlib_metadata.entry_points(group=COMMANDS)} | OWN
    real = {name: group.get_command(ctx, name) for name in group.list_commands(ctx)}
    assert [name for name, command in group.commands.items() if name not in told and _is_ours(command)] == []
    for name, place in told.items():
        command = real[name]
        assert command is not None
        assert command.get_short_help_str() == click.Command(name, help=help_of(place)).get_short_help_str()


def _is_ours(command: click.Command) -> bool:
    return str(command.callback.__module__).startswith("clippy_")


def test_a_process_imports_only_what_its_command_is_made_of() -> None:
    """Counted by the modules of plugins that are there when it ends."""
    code = (
        "import sys\nfrom clippy_core.cli import command_line\n"
        "command_line().main({}, standalone_mode=False)\n"
        "print(sorted({{name for name in sys.modules if name.startswith('clippy_') and '.' not in name}}))\n"
        "print([name for name in {} if name in sys.modules])"
    )
    needless = ["packaging", "email.parser", "html", "clippy_core.cli.bench", "clippy_core.cli.demo"]
    for words, mine in (["--help"], []), (["cache", "stats"], ["clippy_cache", "clippy_lines", "clippy_sqlite"]):
        done = subprocess.run(
            [sys.executable, "-c", code.format(words, needless)], capture_output=True, text=True, timeout=60, check=True
        )
        *_, plugins, others = done.stdout.splitlines()
        assert plugins == str(sorted(["clippy_core", "clippy_hookspecs", *mine]))
        assert others == "[]"
