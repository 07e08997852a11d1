"""The commands that pages show are there, with the options that they are shown with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from doc_pages import ROOT, blocks

from clippy_core.cli import command_line

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "plugins").glob("*/README.md")])
_COMMAND = re.compile(r"clippy (?![0-9a-f]{16} )")
"""Not the lines of a trace, where an id follows."""


def commands(page: Path) -> list[list[str]]:
    """The lines of a page's blocks without a language or for a shell that begin with our command."""
    lines = [line for language in ("", "sh") for block in blocks(page, language) for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if _COMMAND.match(line)]


def parsed(words: list[str]) -> str:
    """The name of the command that *words* call.  Raises UsageError for a command or an option that is not there."""
    group, context = command_line(), click.Context(command_line(), info_name="clippy")
    found: click.Command = group
    while isinstance(found, click.Group):
        name, sub, words = found.resolve_command(context, words)
        assert sub is not None
        found, context = sub, click.Context(sub, context, info_name=name, **sub.context_settings)
    found.make_parser(context).parse_args(list(words))
    return context.command_path


@pytest.mark.parametrize("page", [one for one in PAGES if commands(one)], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_are_there(page: Path) -> None:
    """Each with its options; what their values are is for the command."""
    for words in commands(page):
        assert parsed(words).startswith("clippy ")


@pytest.mark.parametrize("line", ["cache stats --weeks 2", "cache count", "never"])
def test_a_command_that_is_not_there_is_found(line: str) -> None:
    """Else the test above could not fail."""
    with pytest.raises(click.UsageError):
        parsed(line.split())
