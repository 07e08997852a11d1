"""Where the campaigns find the ways of cancelling, which belong to the test kit."""

from clippy_core.testing.cancelling import STOPS, Stopped, quiet, stopped

__all__ = ["STOPS", "Stopped", "quiet", "stopped"]
