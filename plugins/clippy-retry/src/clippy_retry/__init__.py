"""Repeats what is worth repeating."""

from attrs import define


@define(eq=False)
class RetryPolicy:
    """Repeats what is worth repeating."""
