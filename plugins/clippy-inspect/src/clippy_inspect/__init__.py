"""Shows what a program asks of its models, in pages of its own."""

from .inspect import Inspect

__all__ = ["Inspect"]
