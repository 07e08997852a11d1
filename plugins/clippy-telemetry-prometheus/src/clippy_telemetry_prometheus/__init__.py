"""Numbers of every request for Prometheus: ``/metrics`` on a gateway, a collector beside any program."""

from .plugin import PrometheusTelemetry

__all__ = ["PrometheusTelemetry"]
