"""Repeats what is worth repeating, within a budget; see the distribution's README for the settings."""

from .backoff import Backoff, Decorrelated, Exponential, Fixed
from .budget import RetryBudget
from .policy import RetryPolicy

__all__ = ["Backoff", "Decorrelated", "Exponential", "Fixed", "RetryBudget", "RetryPolicy"]
