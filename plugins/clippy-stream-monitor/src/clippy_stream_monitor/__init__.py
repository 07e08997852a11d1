"""Measures streams: time to the first token, gaps, rates and usage."""

from .meter import METER, Meter, Metrics
from .monitor import StreamMonitor
from .streams import Streams, UnknownStream

__all__ = ["METER", "Meter", "Metrics", "StreamMonitor", "Streams", "UnknownStream"]
