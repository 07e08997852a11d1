"""Keeps a conversation within a token budget."""

from attrs import define


@define(eq=False)
class ContextWindow:
    """Keeps a conversation within a token budget."""
