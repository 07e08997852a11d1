"""Reports failed requests to Sentry: what failed, where and how often it was tried, and no content."""

from .telemetry import SentryTelemetry

__all__ = ["SentryTelemetry"]
