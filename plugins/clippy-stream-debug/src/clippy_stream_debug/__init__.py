"""Records the bytes and chunks of streams, to be looked at and replayed."""

from .debugger import StreamDebugger
from .dumps import Dump, Line, Piece, load, replay

__all__ = ["Dump", "Line", "Piece", "StreamDebugger", "load", "replay"]
