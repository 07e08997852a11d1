"""Docstrings and annotations as Markdown that a git host and the site both read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args, get_origin

import clippy_hookspecs
from clippy_hookspecs import policy, records, types

_ROLE = re.compile(r":\w+:`~?([\w.]+)`")
_LITERAL = re.compile(r"``(.+?)``")
_NAMED = re.compile(r"(?<![\w*])\*([a-z_]\w*)\*(?![\w*])")
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_COLLECTIONS = re.compile(r"collections\.abc\.|typing\.|clippy_hookspecs\.\w+\.")
PUBLIC = frozenset(clippy_hookspecs.__all__)
_WORDS = {
    name: get_args(value)
    for module in (policy, records, types)
    for name, value in vars(module).items()
    if get_origin(value) is Literal
}
"""The sets of words that fields refer to by a name which is not public."""
VALUES = "values.md"
HOOKS = "hooks.md"


def prose(text: str, page: str = "") -> str:
    """One paragraph of a docstring: literals as code, references to what is on our pages as links.

    *page* is the page it stands on, whose own headings are linked without the page's name.
    """
    joined = " ".join(text.split())
    joined = _NAMED.sub(r"`\1`", joined)
    joined = _LITERAL.sub(r"`\1`", joined)
    return _ROLE.sub(lambda match: reference(match[1].rpartition(".")[2], page), joined)


def paragraphs(documented: Any, page: str = "") -> list[str]:
    """A docstring as blocks of Markdown: its paragraphs, and its indented parts as code."""
    blocks: list[str] = []
    after_colons = False
    for part in re.split(r"\n\s*\n", inspect.getdoc(documented) or ""):
        if not part.strip():
            continue
        if after_colons or part.startswith("    "):
            blocks.append(f"```\n{inspect.cleandoc(part)}\n```")
            after_colons = False
            continue
        after_colons = part.rstrip().endswith("::")
        blocks.append(prose(part.rstrip()[:-1] if after_colons else part, page))
    return blocks


def sentences(text: str) -> list[str]:
    """The lines of a docstring joined to the statements they are: each ends with the line that ends it."""
    found: list[str] = []
    begun = ""
    for line in text.splitlines():
        begun = f"{begun} {line.strip()}".strip()
        if begun.endswith("."):
            found.append(begun)
            begun = ""
    return [*found, begun] if begun else found


def first_sentence(documented: Any, page: str = "") -> str:
    """What a docstring says before its first empty line, on one line."""
    return prose((inspect.getdoc(documented) or "").partition("\n\n")[0], page)


def reference(name: str, page: str = "") -> str:
    """A name as code, with a link where one of our pages has it."""
    if name in clippy_hookspecs.POLICIES:
        return f"[`{name}`]({'' if page == HOOKS else HOOKS}#{name})"
    if name in PUBLIC and name[0].isupper():
        return f"[`{name}`]({'' if page == VALUES else VALUES}#{name.lower()})"
    return f"`{name}`"


def annotation(kind: Any, page: str = "") -> str:
    """An annotation in words: ``Request | None`` is "Request or None", with links.

    No vertical line: in a table one Markdown wants it escaped and another shows the escape.
    """
    written = kind if isinstance(kind, str) else inspect.formatannotation(kind)
    written = _COLLECTIONS.sub("", written).strip("'")
    return " or ".join(_member(member, page) for member in _split(written, "|"))


def _member(written: str, page: str) -> str:
    """One member of a union."""
    if written.startswith("Literal["):
        return ", ".join(f"`{word}`" for word in _split(written[8:-1], ","))
    if written in _WORDS and written not in PUBLIC:
        return ", ".join(f"`{word!r}`" for word in _WORDS[written])
    if written == "None":
        return "None"
    names = [name for name in _NAME.findall(written) if name in PUBLIC]
    if _NAME.fullmatch(written):
        return reference(written, page)
    shown = f"`{' or '.join(_split(written, '|'))}`" if "[" not in written else f"`{written.replace(' | ', ' or ')}`"
    links = ", ".join(reference(name, page) for name in dict.fromkeys(names))
    return f"{shown} ({links})" if links else shown


def _split(written: str, separator: str) -> list[str]:
    """*written* at each *separator* that stands in no bracket."""
    parts, depth = [""], 0
    for letter in written:
        depth += (letter in "[(") - (letter in "])")
        if letter == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown, with an empty line after it."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in rows:
        cells = [" ".join(cell.replace("|", "\\|").split()) for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def page(title: str, made_of: str, *parts: str | Sequence[str]) -> str:
    """A page: title, a comment that says where it comes from, and its blocks with empty lines between them."""
    note = f"<!-- Made from {made_of} by: python -m docs.sitegen pages. Change that, not this page. -->"
    lines = [f"# {title}", "", note, ""]
    for part in parts:
        lines += [part, ""] if isinstance(part, str) else part
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
    return text.rstrip("\n") + "\n"
