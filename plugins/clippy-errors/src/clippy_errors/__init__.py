"""Says what kind of failure an upstream failure is."""

from attrs import define


@define(eq=False)
class ErrorClassifier:
    """Says what kind of failure an upstream failure is."""
