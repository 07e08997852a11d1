"""Slows streams down to a rate, in pieces that a reader can take in."""

from .cutting import boundary, last_boundary, last_line, last_word
from .throttle import Throttle

__all__ = ["Throttle", "boundary", "last_boundary", "last_line", "last_word"]
