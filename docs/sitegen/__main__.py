"""``python -m docs.sitegen``: see the package."""

from __future__ import annotations

import click

from .build import build
from .pages import write_pages


@click.group()
def main() -> None:
    """Make what of the documentation is made from the code."""


@main.command()
def pages() -> None:
    """Write the reference pages anew; they are committed."""
    write_pages()


@main.command("build")
def build_site() -> None:
    """Build the site into site/, with its diagrams.  Needs the dependency group docs."""
    build()


if __name__ == "__main__":
    main(prog_name="python -m docs.sitegen")
