"""Stops sending to a route that is down, and finds out with single probes when it is back."""

from .breaker import CircuitBreaker

__all__ = ["CircuitBreaker"]
