"""Tells OpenTelemetry of each request and each attempt, in the words of its GenAI conventions."""

from .plugin import OtelTelemetry

__all__ = ["OtelTelemetry"]
