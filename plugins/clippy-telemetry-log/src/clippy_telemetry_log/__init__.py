"""Tells of each request through Python's ``logging``: one record each, with fields and without content."""

from .formatter import JsonFormatter
from .telemetry import LogTelemetry

__all__ = ["JsonFormatter", "LogTelemetry"]
