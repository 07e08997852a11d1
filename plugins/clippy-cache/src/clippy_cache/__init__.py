"""Says what caches may do for each request, and counts what they did; the caches themselves keep."""

from .asking import caching
from .failures import CacheFailures
from .policy import CachePolicy
from .statistics import Latency, Saving, Statistics

__all__ = ["CacheFailures", "CachePolicy", "Latency", "Saving", "Statistics", "caching"]
