"""Shows what a program asks of its models, in pages of its own."""

from .attaching import attach
from .inspect import Inspect

__all__ = ["Inspect", "attach"]
