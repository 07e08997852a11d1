"""Pauses, resumes, limits and cancels live streams, and tells how far they are."""

from clippy_stream_monitor import UnknownStream

from .controller import StreamController
from .progress import Progress

__all__ = ["Progress", "StreamController", "UnknownStream"]
