"""The suites that every plugin and every observer must pass, in the registry of the process."""

from __future__ import annotations

from clippy_telemetry_prometheus import PrometheusTelemetry

from clippy_core.testing import ObserverContract, PluginContract


def counting() -> PrometheusTelemetry:
    return PrometheusTelemetry(identity=True)


class TestIsAPlugin(PluginContract):
    """A good citizen while it counts."""

    def make(self) -> PrometheusTelemetry:
        return counting()


class TestObserves(ObserverContract):
    """Changes, delays and keeps nothing while it counts."""

    def make(self) -> PrometheusTelemetry:
        return counting()
