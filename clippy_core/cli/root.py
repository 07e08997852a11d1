"""The ``clippy`` command: its own commands, those of plugins, and what an error looks like."""

from __future__ import annotations

import importlib
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click
from clippy_hookspecs import POLICIES, ClippyError, ConfigError

from ..config_names import did_you_mean
from .help_of import help_of
from .installation import installation
from .output import say, visible

if TYPE_CHECKING:
    from ..client import Client
    from ..discovery import Discovered
    from ..host import Host
    from .apart import Apart
    from .catalogue import InstalledPlugin

T = TypeVar("T")
DISTRIBUTION = "clippy-core"
OWN = {
    name: f"{__package__}.{name.replace('-', '_')}:{name.replace('-', '_')}"
    for name in ("bench", "config", "demo", "doctor", "hooks", "new-plugin", "plugins", "run")
}
"""Our own commands, each with the place of its function: ``module:name``."""


class Failure(click.ClickException):
    """An error as its lines, without a traceback."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)

    def show(self, file: Any = None) -> None:
        for line in self.lines:
            say(line, err=True)


class Misconfigured(Failure):
    """A failure because the configuration is wrong."""

    exit_code = 2


class CommandLine(click.Group):
    """A click group that imports a command when it is asked for, and those of plugins no sooner than it must.

    A plugin whose metadata tells its commands is asked for them when one of these is named; who tells nothing is asked
    when all names are wanted, or one that nobody told.  Plugins may add commands but not replace one.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._asked: set[str] = set()

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command.  Raises ValueError if there is one of this name."""
        wanted = name or cmd.name
        if wanted in self.commands or wanted in OWN:
            raise ValueError(f"there is a command {wanted!r} already")
        super().add_command(cmd, name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in OWN:
            module, _, name = OWN[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(module), name)
            return command
        found = super().get_command(ctx, cmd_name)
        if found is None:
            here = installation(ctx)
            self.ask_plugins(here.of(here.who_told(cmd_name)))
            found = super().get_command(ctx, cmd_name)
            if found is None:  # nobody told of it, or who did did not add it
                self.ask_plugins(here.discovered)
                found = super().get_command(ctx, cmd_name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            # Which commands a plugin has is not known while the configuration keeps it from being there.
            found = installation(ctx)
            broken = [one for one in found.discovered.plugins if one.status == "quarantined"]
            told = [one.reason for one in broken if args and one.name in found.who_told(args[0])]
            if not (found.faults or told):
                meant = did_you_mean(args[0], self.list_commands(ctx)) if args else ""
                said = error.message.rstrip(".")  # without what newer versions of click think was meant
                raise click.UsageError(f"{said}{meant}", error.ctx) from error
            away = " and ".join(one.name for one in broken) or "a plugin"
            why = f"because of what is said above the commands of {away} are not there"
            raise Misconfigured([*(found.faults or told), f"{error.message.rstrip('.')}: {why}"]) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        here = installation(ctx)
        self.ask_plugins(here.of(here.silent))
        return sorted({*OWN, *here.told, *self.commands})

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Group(commands=self._shown(ctx)).format_commands(ctx, formatter)

    def _shown(self, ctx: click.Context) -> dict[str, click.Command]:
        """Every command as a list shows it; what is known from files is not imported for that."""
        told = installation(ctx).told | OWN
        shown = {}
        for name in self.list_commands(ctx):
            text = help_of(told[name]) if name in told and name not in self.commands else None
            command = click.Command(name, help=text) if text is not None else self.get_command(ctx, name)
            if command is not None:
                shown[name] = command
        return shown

    def get_help(self, ctx: click.Context) -> str:
        return visible(super().get_help(ctx), keep="\n")  # it has the words of plugins in it

    @contextmanager
    def host(self, *, recorded: bool = True) -> Iterator[Host]:
        """The host that the configuration describes, open while a plugin's command uses it.

        With *recorded* false no plugin's ``audit`` and ``observe`` are called, for commands that only ask what would
        become of a request.  Raises ConfigError with every fault of the configuration.
        """
        from ..host import Host

        made = Host.from_config(installation(click.get_current_context()).path)
        made.for_command = True
        with made as host:
            if not recorded:
                host._serving.current.record_nothing()  # noqa: SLF001 (a host made here, before its first request)
            yield host

    @staticmethod
    @contextmanager
    def bare() -> Iterator[Host]:
        """A host without plugins and routes, whatever is configured: for what a host does by itself, as telling an
        answer in another wire API.
        """
        from ..host import Host

        with Host() as host:
            yield host

    @contextmanager
    def apart(self, routes: Mapping[str, Any] = MappingProxyType({}), *, live: bool = False) -> Iterator[Apart]:
        """A host as the configuration describes, for commands that try things out, with what was left out of it.

        Its stores begin empty, its files go with it, and nothing that other programs share is read or written.  Waits
        are over at once, unless it is *live*: for requests that are sent to a provider.  *routes* are tables for those
        that the configuration may lack.  Raises ConfigError.
        """
        from .apart import host_apart

        with host_apart(installation(click.get_current_context()).path, routes, live) as found:
            yield found

    @staticmethod
    def run(awaitable: Coroutine[Any, Any, T]) -> T:
        """The result of what a host or one of its services offers as ``async``, in a command, which waits for it."""
        from ..driven import drive

        return drive(awaitable)

    @staticmethod
    def client(host: Host) -> Client:
        """A client of our own on the routes of *host*, for a plugin's command; close it, or use ``with``."""
        from ..client import Client

        return Client(host)

    @staticmethod
    def installed() -> tuple[InstalledPlugin, ...]:
        """Every installed plugin, those set aside included with the reason, as a plugin's command may know of it."""
        from .catalogue import catalogue

        return catalogue(installation(click.get_current_context()).discovered)

    @staticmethod
    def chains() -> list[dict[str, Any]]:
        """For each hook who is called, in calling order: what ``clippy hooks --json --all`` prints.

        Raises ConfigError when the configuration is so wrong that it is not known what is active.
        """
        found = installation(click.get_current_context())
        found.require_readable()
        from .hooks import chain_document

        return [chain_document(name, found.discovered) for name in POLICIES]

    def ask_plugins(self, discovered: Discovered) -> None:
        """Let those that were not asked yet add their commands; one that fails is told of in a line, and adds none."""
        from ..chains import compile_step

        for plugin in discovered.chain("register_commands"):
            if plugin.name in self._asked:
                continue
            self._asked.add(plugin.name)
            before = dict(self.commands)
            try:
                method = plugin.method("register_commands")
                compile_step("register_commands", plugin.name, plugin.version, method, None).function(self)
            except (Exception, SystemExit) as error:
                self.commands = before
                what = plugin.sentence("register_commands", f"raised {type(error).__name__}: {error}")
                say(f"{_one_line(what)}; its commands are left out", err=True)

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Read the options that stand before a command."""
        try:
            return super().make_context(*args, **more)
        except click.ClickException as error:
            _make_visible(error)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what it raises becomes lines on stderr."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise Misconfigured([line for fault in error.faults for line in fault.splitlines()]) from error
        except click.ClickException as error:
            if isinstance(error, click.NoSuchOption):
                _keep_hidden(error)
            _make_visible(error)
            raise
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("traceback"):
                raise
            raise Failure([_one_line(_unexpected(error))]) from error


def _make_visible(error: click.ClickException) -> None:
    """An argument that is wrong is repeated in the error, and may be the name of a file that somebody else chose."""
    error.message = visible(error.message, keep="\n")  # type: ignore[misc]  # final for click, which shows it next


def _keep_hidden(error: click.NoSuchOption) -> None:
    """Of the options that somebody may have meant, click names those that it hides from the help."""
    options = [] if error.ctx is None else error.ctx.command.params
    hidden = {name for one in options if getattr(one, "hidden", False) for name in one.opts}
    meant = [name for name in error.possibilities or () if name not in hidden]
    error.possibilities = meant  # type: ignore[misc]  # final for click, which shows it next


def _unexpected(error: Exception) -> str:
    if isinstance(error, ClippyError):
        return f"Error: {error}"
    return f"Error: {type(error).__name__}: {error} (clippy --traceback COMMAND shows where)"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def core_version() -> str:
    """The version of this distribution, ``unknown`` where it was not installed as one."""
    import importlib.metadata  # a fifth of what ``clippy --version`` would take without it

    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        say(f"clippy {core_version()}")
        ctx.exit()


def command_line() -> CommandLine:
    """The ``clippy`` command, fresh: plugins are asked once for each."""
    version = click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_print_version,
        help="Print the version and stop.",
    )
    file = click.Option(
        ["--config"],
        type=click.Path(path_type=Path, dir_okay=False),
        help="Read this file instead of the nearest clippy.toml or pyproject.toml.",
    )
    trace = click.Option(["--traceback"], is_flag=True, help="Show where an unexpected error came from.")
    about = "Plugins between a Python program and any model provider."
    group = CommandLine("clippy", help=about, params=[version, file, trace])
    group.callback = _nothing
    return group


def _nothing(**_: object) -> None:
    """The group itself does nothing: its options are read by its commands."""
