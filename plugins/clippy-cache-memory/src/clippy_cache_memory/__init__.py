"""Answers repeated requests from this process's memory."""

from attrs import define


@define(eq=False)
class MemoryCache:
    """Answers repeated requests from this process's memory."""
