"""Writes the reference of everything installed, as Markdown and as pages."""

from .plugin import Docs

__all__ = ["Docs"]
