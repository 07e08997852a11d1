"""The command line: what is installed, who is called, what is configured, and how it says that something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from clippy_hookspecs import POLICIES

Run = Callable[..., Any]
Install = Callable[..., None]

LIMITS = """
    @define(eq=False)
    class Plugin:
        limit: int = 3
        api_key: str = ""

        @hookimpl
        def pre_request(self, request, ctx):
            return None

        @hookimpl
        async def on_error(self, error, ctx):
            return None
"""
LAST = """
    @define(eq=False)
    class Plugin:
        on_failure = "disable"

        @hookimpl
        def on_error(self, error, ctx):
            return None
"""
UNIMPORTABLE = "raise ImportError('no module named \\x1b[31mred')"


# --- plugins list ----------------------------------------------------------------------------------------------------


def test_the_list_names_version_status_and_hooks(run: Run, install: Install) -> None:
    """One line for each plugin, its hooks in calling order."""
    install("limits", LIMITS)
    result = run("plugins", "list", only="limits")
    assert result.exit_code == 0
    words = result.stdout.splitlines()[1].split(maxsplit=3)
    assert words == ["limits", "1.2", "loaded", "pre_request, on_error"]


def test_a_broken_plugin_is_listed_with_its_reason_and_is_no_failure(run: Run, install: Install) -> None:
    """The reason stands below it, its control characters written out: a terminal obeys what it is sent."""
    install("bad", UNIMPORTABLE)
    install("limits", LIMITS)
    result = run("plugins", "list", only="off", CLIPPY_PLUGINS="", CLIPPY_DISABLE='["nobody"]')
    assert result.exit_code == 0
    assert "quarantined" in result.stdout
    assert r"no module named \x1b[31mred" in result.stdout
    assert "\x1b" not in result.output


def test_disabled_plugins_are_counted_and_listed_on_request(run: Run, install: Install) -> None:
    """They are there, and the list says how to see them."""
    install("limits", LIMITS)
    hidden = run("plugins", "list")
    assert "limits" not in hidden.stdout
    assert "--all" in hidden.stdout
    shown = run("plugins", "list", "--all")
    assert "all plugins are off (environment CLIPPY_PLUGINS)" in shown.stdout


def test_the_list_can_be_one_json_document(run: Run, install: Install) -> None:
    """With distribution and reason, also for plugins that are off."""
    install("limits", LIMITS)
    (found,) = [one for one in json.loads(run("plugins", "list", "--all", "--json").stdout) if one["name"] == "limits"]
    assert found["distribution"] == "temporary-limits"
    assert found["status"] == "disabled"
    assert found["hooks"] == []


def test_the_list_can_be_narrowed_to_a_hook(run: Run, install: Install) -> None:
    """Only plugins that implement it; a hook that is not one is a usage error."""
    install("limits", LIMITS)
    install("last", LAST)
    listed = json.loads(run("plugins", "list", "--hook", "pre_request", "--json", only="limits,last").stdout)
    assert [one["name"] for one in listed] == ["limits"]
    assert run("plugins", "list", "--hook", "pre_requst").exit_code == 2


def test_a_wrong_environment_ends_the_list_with_its_lines(run: Run) -> None:
    """Exit 2 and the fault, no traceback: what is active is not known."""
    result = run("plugins", "list", CLIPPY_DISABLE="3")
    assert result.exit_code == 2
    assert "disable: expected" in result.stderr
    assert "Traceback" not in result.output


# --- hooks -----------------------------------------------------------------------------------------------------------


def test_chains_are_printed_in_the_order_in_which_they_are_called(run: Run, install: Install) -> None:
    """on_error is asked innermost first: the reverse of pre_request."""
    install("limits", LIMITS)
    install("last", LAST)
    by_hook = {one["hook"]: one for one in json.loads(run("hooks", "--json", only="last,limits").stdout)}
    assert [one["name"] for one in by_hook["on_error"]["plugins"]] == ["limits", "last"]
    assert by_hook["on_error"]["combine"] == "first"
    assert list(by_hook) == ["pre_request", "on_error"]


def test_the_users_order_is_what_is_printed(run: Run, install: Install) -> None:
    """Outermost first as it was written, so innermost first for on_error."""
    install("limits", LIMITS)
    install("last", LAST)
    order = {"CLIPPY_ORDER": '["limits", "last"]'}
    (chain,) = json.loads(run("hooks", "--hook", "on_error", "--json", only="last,limits", **order).stdout)
    assert [one["name"] for one in chain["plugins"]] == ["last", "limits"]


def test_each_plugin_is_shown_with_the_failure_policy_that_holds_for_it(run: Run, install: Install) -> None:
    """The configuration before the plugin before the hook."""
    install("limits", LIMITS)
    install("last", LAST)
    policy = {"CLIPPY_ON_FAILURE__LIMITS": "raise"}
    (chain,) = json.loads(run("hooks", "--hook", "on_error", "--json", only="last,limits", **policy).stdout)
    said = {one["name"]: (one["on_failure"], one["on_failure_from"]) for one in chain["plugins"]}
    assert said == {"limits": ("raise", "configuration"), "last": ("disable", "plugin")}
    text = run("hooks", "--hook", "on_error", only="last,limits", **policy).stdout
    assert "on failure: disable (said by the plugin)" in text
    assert "async def" in text


def test_all_hooks_are_shown_on_request(run: Run) -> None:
    """Each with its policy, though nobody implements it."""
    documents = json.loads(run("hooks", "--all", "--json").stdout)
    assert [one["hook"] for one in documents] == list(POLICIES)
    assert {one["hook"] for one in documents if not one["may_await"]} >= {"on_chunk", "observe", "lifespan"}
    assert "nobody; a failure would raise" in run("hooks", "--hook", "on_chunk").stdout


# --- config ----------------------------------------------------------------------------------------------------------


def test_a_right_configuration_has_no_faults(run: Run) -> None:
    """Exit 0, and the file that was read."""
    Path("clippy.toml").write_text("trust_headers = true\n")
    result = run("config", "check")
    assert (result.exit_code, "clippy.toml" in result.stdout) == (0, True)


def test_every_fault_is_listed_with_its_path_and_what_is_expected(run: Run, install: Install) -> None:
    """Faults of the host and of a plugin's settings together; exit 1."""
    install("limits", LIMITS)
    Path("clippy.toml").write_text("trust_headers = 3\nnonsense = 1\n[plugins.limits]\nlimit = 'many'\n")
    result = run("config", "check", only="limits")
    assert result.exit_code == 1
    assert "clippy.toml: trust_headers: expected bool, got 3" in result.stdout
    assert "nonsense: unknown setting" in result.stdout
    assert "plugins.limits.limit: expected int, got 'many'" in result.stdout
    document = run("config", "check", "--json", only="limits")
    assert document.exit_code == 1
    assert len(json.loads(document.stdout)["faults"]) == 3


def test_every_setting_is_shown_with_who_set_it(run: Run, install: Install) -> None:
    """Defaults of host and plugins included; file, environment and default are told apart."""
    install("limits", LIMITS)
    Path("clippy.toml").write_text("trust_headers = true\n")
    shown = run("config", "show", "--json", only="limits", CLIPPY_LIMITS__LIMIT="5")
    rows = {row["path"]: (row["value"], row["origin"]) for row in json.loads(shown.stdout)["settings"]}
    assert rows["trust_headers"] == (True, "clippy.toml")
    assert rows["plugins.limits.limit"] == (5, "environment CLIPPY_LIMITS__LIMIT")
    assert rows["trace"] == (False, "default")
    assert rows["abandoned_after"] == (60.0, "default")
    assert rows["deadlines.total"] == (None, "default")
    assert rows["disable"] == ([], "default")
    assert rows["salt_path"][0].endswith("salt")
    text = run("config", "show", "--origin", only="limits", CLIPPY_LIMITS__LIMIT="5").stdout
    assert "environment CLIPPY_LIMITS__LIMIT" in text


def test_a_value_is_shown_as_it_is_in_force(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A yes of the environment as true, and a file where the plugin looks for it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert run("plugins", "lock").exit_code == 0
    assert "\nlocked = true\n" in run("config", "show", CLIPPY_LOCKED="1").stdout
    folder = platformdirs.user_state_path("clippy", appauthor=False)
    shown = run("config", "show", only="audit").stdout
    assert f"plugins.audit.path = {json.dumps(str(folder / 'audit.jsonl'))}\n" in shown
    shown = run("config", "show", only="audit", CLIPPY_AUDIT__PATH="other.jsonl", CLIPPY_AUDIT__REQUIRED="yes").stdout
    assert f"plugins.audit.path = {json.dumps(str(folder / 'other.jsonl'))}\n" in shown
    assert "plugins.audit.required = true\n" in shown


@pytest.mark.parametrize("command", [("plugins", "list"), ("hooks",), ("config", "show")])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_shows_the_installation_tells_every_fault(
    run: Run, install: Install, command: tuple[str, ...], form: tuple[str, ...]
) -> None:
    """Those of the host's settings and those of the plugins' alike, as ``config check`` does."""
    install("limits", LIMITS)
    bad = "[plugins.limits]\nlimit = 'many'\nlimt = 3\n"
    Path("clippy.toml").write_text(bad)
    result = run(*command, *form, only="limits")
    assert result.exit_code == 1
    assert "clippy.toml: plugins.limits.limit: expected int" in result.output
    assert "clippy.toml: plugins.limits.limt: unknown" in result.output
    Path("clippy.toml").write_text(f"abandoned_aftr = 1\ntrust_headers = 'perhaps'\n{bad}")
    result = run(*command, *form, only="limits")
    told = ("abandoned_aftr: unknown", "trust_headers: expected bool", "limits.limit: expected int", "limits.limt: unk")
    assert [what for what in told if what not in result.output] == []
    assert result.exit_code == (1 if command[0] == "config" else 2)


def test_secrets_are_never_shown(run: Run, install: Install) -> None:
    """Neither a plugin's nor a route's, in no form of the command."""
    install("limits", LIMITS)
    Path("clippy.toml").write_text(
        "[routes.main]\nkey = 'sk-1234567890'\n[plugins.limits]\napi_key = 'sk-0987654321'\n"
    )
    for options in ((), ("--origin",), ("--json",)):
        result = run("config", "show", *options, only="limits")
        assert result.exit_code == 0
        assert "sk-1234567890" not in result.output
        assert "sk-0987654321" not in result.output


def test_the_file_can_be_named(run: Run, tmp_path: Path) -> None:
    """--config stands before the nearest file; one that is not there is a fault."""
    (tmp_path / "other.toml").write_text("trace = true\n")
    assert "trace = true" in run("--config", str(tmp_path / "other.toml"), "config", "show").stdout
    assert run("--config", "missing.toml", "plugins", "list").exit_code == 2


def test_values_of_the_configuration_cannot_act_on_the_terminal(run: Run) -> None:
    """Control characters and direction marks of a setting are written out."""
    Path("clippy.toml").write_text('[routes.main]\nmodel = "\\u009b31m\\u202egnp"\n', encoding="utf-8")
    for options in ((), ("--json",)):
        output = run("config", "show", *options).stdout
        assert "\x9b" not in output
        assert "\u202e" not in output


EVIL = "e\x1b]0;t\x07\x9b31m\u202e\u200b\u3164\u115f" + "\u0300" * 30 + "\ufe0f\ufe0f"


@pytest.mark.parametrize(
    "words",
    [
        *([EVIL], [f"--{EVIL}"], ["hooks", EVIL], ["demo", EVIL], ["plugins", EVIL], ["plugins", "list", EVIL]),
        *(["config", EVIL], ["doctor", f"--{EVIL}"], ["new-plugin", EVIL], ["--config", f"{EVIL}.toml", "doctor"]),
    ],
    ids=range(10),
)
def test_an_argument_that_is_wrong_is_told_without_what_a_terminal_obeys(run: Run, words: list[str]) -> None:
    """A shell gives whatever a file is called."""
    result = run(*words)
    assert result.exit_code != 0
    assert not set(result.output) & set("\x1b\x07\x9b\u202e\u200b\u3164\u115f")
    assert "\u0300" * 9 not in result.output


def test_no_kind_of_hostile_text_reaches_the_terminal_from_a_file(run: Run) -> None:
    """As a key, a name, a value, a route, a broken line; in every command that reads the configuration."""
    quoted = json.dumps(EVIL)
    whole = f"{quoted} = 1\norder = [{quoted}]\ndisable = [{quoted}]\n[plugins.{quoted}]\n[routes.{quoted}]\nkey = 1\n"
    for text in (f"{whole}model = {quoted}\napi = {quoted}\n", f"a = {EVIL}"):
        Path("clippy.toml").write_text(text, encoding="utf-8")
        for words in (["config", "check"], ["config", "show", "--origin"], ["plugins", "list"], ["hooks"], ["doctor"]):
            told = run(*words).output
            assert not set(told) & set("\x1b\x07\x9b\u202e\u200b\u3164\u115f"), (text, words)
            assert "\u0300" * 9 not in told, (text, words)


# --- doctor ----------------------------------------------------------------------------------------------------------


def test_the_doctor_finds_nothing_where_nothing_is_wrong(run: Run) -> None:
    """Versions of the core, the contract and the HTTP libraries; exit 0."""
    result = run("doctor")
    assert result.exit_code == 0
    for name in ("clippy-core", "clippy-hookspecs", "pluggy", "httpx", "httpx2"):
        assert name in result.stdout


def test_the_doctor_shows_quarantined_plugins_with_reason_and_traceback(run: Run, install: Install) -> None:
    """Exit 1; the traceback is the plugin's own."""
    install("bad", "\n\nraise RuntimeError('not today')")
    result = run("doctor", CLIPPY_PLUGINS="", only="")
    assert result.exit_code == 1
    assert "RuntimeError: not today" in result.stdout
    assert ", line 6" in result.stdout
    document = json.loads(run("doctor", "--json", CLIPPY_PLUGINS="", only="").stdout)
    assert document["ok"] is False
    assert "Traceback" in next(one for one in document["quarantined"] if one["name"] == "bad")["traceback"]


# --- commands of plugins ---------------------------------------------------------------------------------------------

GREETS = """
    @define(eq=False)
    class Plugin:
        @hookimpl
        def register_commands(self, cli):
            @cli.command()
            def greet():
                'Say hello\\x1b[2J.'
                click.echo("hello")
"""


def test_a_plugin_adds_a_command(run: Run, install: Install) -> None:
    """It runs and stands in the help, where its words cannot act on the terminal."""
    install("greets", GREETS)
    assert run("greet", only="greets").stdout == "hello\n"
    help_text = run("--help", only="greets").stdout
    assert "greet" in help_text
    assert "\x1b" not in help_text


COUNTS = """
    from contextlib import contextmanager
    from clippy_hookspecs import StateStore

    @define(eq=False)
    class Plugin:
        step: int = 2
        opened: bool = False

        @hookimpl
        @contextmanager
        def lifespan(self, host):
            self.opened = True
            yield
            self.opened = False

        @hookimpl
        def register_commands(self, cli):
            @cli.command()
            def count():
                with cli.host() as host:
                    own = host.plugins["counts"]
                    store = host.services.get(StateStore)
                    total = cli.run(store.add("counts", own.step, 60.0))
                    click.echo(f"{total:g} {own.opened}")
                click.echo(own.opened)
"""


def test_the_command_of_a_plugin_gets_an_open_host_of_the_configuration(
    run: Run, install: Install, tmp_path: Path
) -> None:
    """Its own plugin is there as configured, and services of either colour can be asked."""
    install("counts", COUNTS)
    file = tmp_path / "clippy.toml"
    file.write_text("[plugins.counts]\nstep = 5\n")
    assert run("--config", str(file), "count", only="counts").stdout == "5 True\nFalse\n"
    file.write_text("[plugins.counts]\nstap = 5\n")
    wrong = run("--config", str(file), "count", only="counts")
    assert wrong.exit_code == 2
    assert "stap" in wrong.stderr


def test_a_command_that_a_fault_keeps_away_is_told_behind_the_fault(run: Run, install: Install) -> None:
    """What has to be mended comes first; that there is no such command is what came of it."""
    install("limits", LIMITS)
    Path("clippy.toml").write_text("[plugins.limits]\nlimt = 3\n")
    result = run("limits", only="limits")
    assert result.exit_code == 2
    fault, consequence = result.stderr.splitlines()
    assert "plugins.limits.limt: unknown setting; did you mean limit?" in fault
    assert consequence == "No such command 'limits': because of what is said above the commands of limits are not there"


def test_a_plugin_that_waits_for_its_settings_is_idle_and_not_loaded(run: Run, install: Install) -> None:
    """In every command the same word for it."""
    install("waits", LAST.replace('on_failure = "disable"', 'idle = "no url is set"'))
    assert "plugins: 0 loaded, 1 idle, " in run("doctor", only="waits").stdout
    assert "idle" in run("plugins", "list", only="waits").stdout.splitlines()[1]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise KeyError('no\\nluck')", "KeyError"),
        ("cli.command('early')(lambda: None); raise SystemExit(3)", "SystemExit"),
        ("cli.command('demo')(lambda: None)", "there is a command 'demo' already"),
    ],
)
def test_a_plugin_that_fails_to_add_commands_is_one_line_and_adds_none(
    run: Run, install: Install, body: str, reason: str
) -> None:
    """The others' commands and ours are there as ever; ours cannot be replaced."""
    install("fails", f"@define(eq=False)\nclass Plugin:\n @hookimpl\n def register_commands(self, cli):\n  {body}\n")
    install("greets", GREETS)
    result = run("--help", only="fails,greets")
    assert result.exit_code == 0
    assert len(result.stderr.splitlines()) == 1
    assert "plugin fails 1.2: register_commands" in result.stderr
    assert reason in result.stderr
    assert "greet" in result.stdout
    assert "early" not in result.stdout
    assert run("demo", "--help", only="fails").stdout.startswith("Usage: clippy demo")


def test_an_unexpected_error_is_one_line_unless_its_place_is_asked_for(run: Run, install: Install) -> None:
    """A traceback of ours helps nobody who did not ask for it."""
    source = GREETS.replace('click.echo("hello")', 'raise LookupError("what\\x07")')
    install("greets", source)
    result = run("greet", only="greets")
    assert result.exit_code == 1
    assert result.stderr == r"Error: LookupError: what\x07 (clippy --traceback COMMAND shows where)" + "\n"
    assert isinstance(run("--traceback", "greet", only="greets").exception, LookupError)


# --- the process -----------------------------------------------------------------------------------------------------


def process(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLIPPY_")}
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**clean, **environ},
        timeout=300,
    )


def test_commands_that_only_list_import_nothing_that_is_slow_and_only_needed_elsewhere() -> None:
    """Nobody waits for an HTTP library, a client of a server or a library of arrays to read a list."""
    code = (
        "import sys\nfrom clippy_core.cli import command_line\n"
        "for command in (['plugins', 'list', '--all'], ['hooks'], ['config', 'check'], ['--help']):\n"
        "    command_line().main(command, standalone_mode=False)\n"
        "slow = 'httpx httpx2 anyio openai anthropic aiohttp jinja2 redis numpy asyncio opentelemetry.sdk'.split()\n"
        "print([name for name in slow if name in sys.modules])"
    )
    done = process("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_the_module_runs_as_the_script_does() -> None:
    """``python -m clippy_core.cli --version`` prints the version of the distribution."""
    done = process("-m", "clippy_core.cli", "--version")
    assert done.returncode == 0
    assert done.stdout.split()[0] == "clippy"
    assert done.stdout.split()[1][0].isdigit()


def test_an_encoding_without_our_signs_is_no_error() -> None:
    """What the terminal cannot show is written out."""
    done = process("-m", "clippy_core.cli", "config", "show", PYTHONIOENCODING="cp1252", CLIPPY_ROUTES__A__MODEL="a✓")
    assert done.returncode == 0
    assert r"a\u2713" in done.stdout


def test_empty_lists_are_empty_in_words(run: Run, install: Install) -> None:
    """With everything off, a reader sees that nothing was forgotten."""
    install("limits", LIMITS)
    assert "no plugin is active" in run("plugins", "list").stdout
    assert "no active plugin implements on_chunk" in run("plugins", "list", "--hook", "on_chunk").stdout
    assert "no active plugin implements a hook" in run("hooks").stdout


def test_an_option_that_is_hidden_is_not_proposed_for_a_misspelt_one(run: Run) -> None:
    """The workers' own of ``clippy serve``."""
    result = run("serve", "--prot", "3", only="gateway")
    assert (2, True, False) == (result.exit_code, "--port" in result.output, "--parent" in result.output)
