"""The reference pages are what the code says, and nothing public is missing from them."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import clippy_hookspecs
import pytest
from clippy_docs import text
from clippy_docs.values import PARTS
from clippy_hookspecs import POLICIES

from docs.sitegen.pages import PAGES, REGENERATE
from docs.sitegen.plugins import first_party

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    """Made anew from the live objects it is the same to the letter."""
    said, found = (DOCS / name).read_text(encoding="utf-8").splitlines(), PAGES[name]().splitlines()
    differing = [f"- {line}" for line in said if line not in found] + [
        f"+ {line}" for line in found if line not in said
    ]
    assert said == found, "\n".join([f"docs/{name} is out of date: {REGENERATE}", *differing])


def test_every_hook_has_its_section() -> None:
    """In calling order."""
    headings = re.findall(r"^### (\w+)$", (DOCS / "hooks.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == list(POLICIES)


def test_every_public_name_of_the_contract_has_its_section() -> None:
    """Each once, in a part of the page; a new name must be given one."""
    names = [name for part in PARTS.values() for name in part]
    assert sorted(names) == sorted(clippy_hookspecs.__all__)
    headings = re.findall(r"^### (\w+)$", (DOCS / "values.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == names


def test_every_setting_of_every_plugin_has_its_row() -> None:
    """With the name of its environment variable."""
    page = (DOCS / "plugins.md").read_text(encoding="utf-8")
    for plugin in first_party():
        section = page.partition(f"\n## {plugin.name}\n")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| `(\w+)` \|.*\| `CLIPPY_(\w+)` \|", section, re.MULTILINE)
        prefix = plugin.name.replace("-", "_").upper()
        settings = [field.name for field in attrs.fields(plugin.cls) if field.init]
        assert rows == [(name, f"{prefix}__{name.upper()}") for name in settings]


# --- how docstrings become Markdown -----------------------------------------------------------------------------------


def test_a_reference_in_a_docstring_becomes_a_link() -> None:
    """To the page that has the name; a name that no page has is code."""
    said = "Raises :class:`~clippy_hookspecs.Refusal` for\n    ``x`` as :func:`attrs.evolve` does; see *key*."
    assert text.prose(said) == "Raises [`Refusal`](values.md#refusal) for `x` as `evolve` does; see `key`."
    assert text.prose(":class:`~clippy_hookspecs.Refusal`", text.VALUES) == "[`Refusal`](#refusal)"


def test_an_annotation_has_no_vertical_line() -> None:
    """A table of Markdown would take it for the end of a cell."""
    assert text.annotation("Request | None") == "[`Request`](values.md#request) or None"
    assert text.annotation("tuple[str | None, ...]") == "`tuple[str or None, ...]`"
    assert text.annotation("Literal['a', 'b']") == "`'a'`, `'b'`"
    assert text.annotation("EventKind").startswith("`'request'`, ")


def test_an_example_in_a_docstring_stays_as_it_is() -> None:
    """What is indented after two colons is code."""

    class Documented:
        """For what it is::

            call(1)
            call(2)

        And more.
        """

    assert text.paragraphs(Documented) == ["For what it is:", "```\ncall(1)\ncall(2)\n```", "And more."]
